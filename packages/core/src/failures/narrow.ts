import { isReached, type PositionOrder } from '../ports/position.ts'

/**
 * A batch has failed: its events are handed out in smaller ones, until the last of them is committed. After that batches
 * grow again, step by step.
 */
export interface Narrowing<P> {
  /** How many events a batch may have. Those that share a position stay together, even if they are more. */
  readonly limit: number
  /** The last event of the batch that failed; `undefined` once it is behind. */
  readonly through: P | undefined
  /** The size that works, as far as is known; `limit` is larger while a larger one is tried. */
  readonly works: number
  /** How many batches have passed since then. */
  readonly passed: number
  /** After how many a larger one is tried. */
  readonly patience: number
}

/** What a batch held. */
export interface BatchExtent<P> {
  readonly events: number
  readonly first: P
  readonly last: P
}

/** A handler that fails at every large batch is given one in so many. */
const MOST_PATIENCE = 256

/** Whether a failed batch can be parted: a smaller one says more about which event it is. */
export function isNarrowable<P>(
  order: PositionOrder<P>,
  before: Narrowing<P> | undefined,
  { first, last }: BatchExtent<P>,
): boolean {
  // A source that parts no further when asked for one event has nothing smaller.
  return order.compare(first, last) !== 0 && before?.limit !== 1
}

/** Whether a batch is larger than what works, which has been tried to find out whether that works by now. */
function isGrown(
  narrowing: Narrowing<unknown> | undefined,
  { events }: Pick<BatchExtent<unknown>, 'events'>,
): boolean {
  return narrowing !== undefined && narrowing.limit > narrowing.works && events > narrowing.works
}

/**
 * After a batch has failed: half of it, or the same one again where that cannot be parted. A larger one that was tried goes
 * back to what works, and the next is tried after twice as many batches.
 */
export function narrowed<P>(
  before: Narrowing<P> | undefined,
  { events, last }: BatchExtent<P>,
  batchSize: number,
): Narrowing<P> {
  const patience = before?.patience ?? 1
  if (before !== undefined && isGrown(before, { events })) {
    const { works } = before
    return narrowedTo(works, last, Math.min(patience * 2, MOST_PATIENCE))
  }
  // Events that share a position may have made it larger than it was asked for.
  const asked = Math.min(events, before?.limit ?? batchSize)
  return narrowedTo(Math.max(1, Math.floor(asked / 2)), last, patience)
}

/**
 * After the event at `at` could not be mapped while a page was loaded: half the page. What is before it is handled that way,
 * until it stands first. `undefined`: a page can be no smaller.
 */
export function narrowedBefore<P>(
  before: Narrowing<P> | undefined,
  at: P,
  batchSize: number,
): Narrowing<P> | undefined {
  const asked = batchLimit(before, batchSize)
  return asked <= 1 ? undefined : narrowedTo(Math.floor(asked / 2), at, before?.patience ?? 1)
}

function narrowedTo<P>(limit: number, through: P, patience: number): Narrowing<P> {
  return { limit, through, works: limit, passed: 0, patience }
}

/**
 * After everything up to `reached` is looked at, of it that many events in one batch that has passed. `undefined`: batches
 * are whole again.
 */
export function narrowedAt<P>(
  order: PositionOrder<P>,
  narrowing: Narrowing<P> | undefined,
  reached: P,
  events: number,
  batchSize: number,
): Narrowing<P> | undefined {
  if (narrowing === undefined) return undefined
  const { through } = narrowing
  const isBehind = through === undefined || isReached(order, through, reached)
  const now = isBehind && through !== undefined ? { ...narrowing, through: undefined } : narrowing
  return events === 0 ? now : passedBy(now, events, batchSize)
}

function passedBy<P>(narrowing: Narrowing<P>, events: number, batchSize: number): Narrowing<P> | undefined {
  const { limit, through, works, passed, patience } = narrowing
  if (isGrown(narrowing, { events })) {
    const working = { ...narrowing, works: limit, passed: 0, patience: Math.ceil(patience / 2) }
    return passedBy(working, events, batchSize)
  }
  // A larger one is tried already, as soon as there are so many events.
  if (limit > works) return narrowing
  if (through === undefined && works >= batchSize) return undefined
  const counted = { ...narrowing, passed: passed + 1 }
  if (through !== undefined || counted.passed < patience) return counted
  return { ...counted, limit: Math.min(limit * 2, batchSize), passed: 0 }
}

/** Whether a batch has failed whose end is not committed yet. */
export function isParting(narrowing: Narrowing<unknown> | undefined): boolean {
  return narrowing !== undefined && narrowing.through !== undefined
}

/** How many events are asked for. */
export function batchLimit(narrowing: Narrowing<unknown> | undefined, batchSize: number): number {
  return narrowing?.limit ?? batchSize
}
