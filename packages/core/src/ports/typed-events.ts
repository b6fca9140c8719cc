/**
 * Part of a source that says which field of its events is their type. Where the events are a union, a projection with
 * `eventTypes` is then given those of the union that have one of these types.
 *
 * @typeParam K - the name of the field; `PropertyKey`: the source does not say
 */
export interface EventsTypedBy<K extends PropertyKey> {
  readonly typeField?: K | undefined
}

/** Those of the union `E` whose field `K` may be one of `Types`. All of them where the source does not say the field. */
export type NarrowedEvent<E, K extends PropertyKey, Types> = PropertyKey extends K
  ? E
  : E extends { readonly [Field in K]: infer Type }
    ? [Type & Types] extends [never]
      ? never
      : E
    : E

/** What `eventTypes` of `Types` has to be: of the types of the union, where one of them is of none of its events. */
export type KnownEventTypes<E, K extends PropertyKey, Types> = PropertyKey extends K
  ? unknown
  : [UnknownType<TypeOf<E, K>, Types>] extends [never]
    ? unknown
    : { readonly eventTypes?: readonly TypeOf<E, K>[] }

type TypeOf<E, K extends PropertyKey> = E extends { readonly [Field in K]: infer Type } ? Type : string

type UnknownType<Known, Types> = Types extends string
  ? [Types & Known] extends [never]
    ? Types
    : never
  : never
