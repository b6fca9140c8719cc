import { isReached, type PositionOrder } from '../ports/position.ts'

/** A batch has failed: its events are handed out in smaller ones, until the last of them is committed. */
export interface Narrowing<P> {
  /** How many events a batch may have. Those that share a position stay together, even if they are more. */
  readonly limit: number
  /** The last event of the batch that failed. */
  readonly through: P
}

/** What a batch held. */
export interface BatchExtent<P> {
  readonly events: number
  readonly first: P
  readonly last: P
}

/** Whether a failed batch can be parted: a smaller one says more about which event it is. */
export function isNarrowable<P>(
  order: PositionOrder<P>,
  before: Narrowing<P> | undefined,
  { first, last }: BatchExtent<P>,
): boolean {
  // A source that parts no further when asked for one event has nothing smaller.
  return order.compare(first, last) !== 0 && before?.limit !== 1
}

/** After a batch has failed: half of it, or the same one again where that cannot be parted. */
export function narrowed<P>(
  before: Narrowing<P> | undefined,
  { events, last }: BatchExtent<P>,
): Narrowing<P> {
  // Events that share a position may have made it larger than it was asked for.
  const asked = Math.min(events, before?.limit ?? events)
  return { limit: Math.max(1, Math.floor(asked / 2)), through: last }
}

/** After everything up to `reached` is committed. */
export function narrowedAt<P>(
  order: PositionOrder<P>,
  narrowing: Narrowing<P> | undefined,
  reached: P,
): Narrowing<P> | undefined {
  return narrowing && isReached(order, narrowing.through, reached) ? undefined : narrowing
}
