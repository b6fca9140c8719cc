import { TidemarkError } from '../kernel/errors.ts'

/** `keyOf` has no key for an event, or several for the events of one position. It counts as a failure of the handler. */
class EventKeyError extends TidemarkError {
  readonly code = 'TIDEMARK_EVENT_KEY'
}

const LONGEST_KEY = 1_000

export type KeyOf<E> = (event: E) => string

/** The events of one position. */
export interface KeyedGroup<P, E> {
  readonly key: string
  readonly position: P
  readonly events: readonly E[]
  /** Where the source knows them. */
  readonly types: readonly string[]
}

interface KeyedPage<P, E> {
  readonly events: readonly E[]
  readonly positions: readonly P[]
  readonly types?: readonly string[] | undefined
}

/** The events of a page by position, oldest first, each with its key. Throws what `keyOf` throws, and `EventKeyError`. */
export function keyedGroups<P, E>(
  { events, positions, types }: KeyedPage<P, E>,
  keyOf: KeyOf<E>,
  isSame: (a: P, b: P) => boolean,
): readonly KeyedGroup<P, E>[] {
  const groups: { key: string; position: P; events: E[]; types: string[] }[] = []
  for (const [index, position] of positions.entries()) {
    const event = events[index] as E
    const type = types?.[index]
    const last = groups.at(-1)
    if (last && isSame(last.position, position)) {
      last.events.push(event)
      if (type !== undefined && !last.types.includes(type)) last.types.push(type)
    } else groups.push({ key: '', position, events: [event], types: type === undefined ? [] : [type] })
  }
  for (const group of groups) group.key = keyOfAll(group.events, keyOf)
  return groups
}

/** The key of events that share a position: they are parked together, so they have one. */
export function keyOfAll<E>(events: readonly E[], keyOf: KeyOf<E>): string {
  const keys = [...new Set(events.map((event) => requireKey(keyOf(event))))]
  const [key] = keys
  if (key !== undefined && keys.length === 1) return key
  if (key === undefined) throw new EventKeyError('an event that cannot be mapped has no key')
  throw new EventKeyError(
    `expected one key of the events that share a position, found ${keys
      .slice(0, 3)
      .map((each) => JSON.stringify(each))
      .join(', ')}`,
  )
}

/** Throws `EventKeyError`. */
export function requireKey(key: unknown): string {
  if (typeof key === 'string' && key !== '' && key.length <= LONGEST_KEY && !key.includes('\0')) return key
  const found = typeof key === 'string' ? JSON.stringify(key.slice(0, 100)) : typeof key
  throw new EventKeyError(`expected keyOf to return a text of 1 to ${LONGEST_KEY} characters, found ${found}`)
}

export interface Parted<P, E> {
  /** The events that are handed out, in their order. */
  readonly handed: readonly E[]
  /** What follows a dead letter of its key. */
  readonly parked: readonly KeyedGroup<P, E>[]
}

/** What is handed out of a batch, and what is not since its key is parked. */
export function partedByKey<P, E>(
  groups: readonly KeyedGroup<P, E>[],
  isParked: (key: string) => boolean,
): Parted<P, E> {
  const parked = groups.filter(({ key }) => isParked(key))
  const handed = groups.filter(({ key }) => !isParked(key)).flatMap(({ events }) => events)
  return { handed, parked }
}
