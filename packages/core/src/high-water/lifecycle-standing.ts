import type { HighWaterReading, OpenedSource } from '../ports/event-source.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'
import type { HighWaterStatus } from './status.ts'

export type Phase =
  /** Not started. */
  | 'idle'
  | 'starting'
  /** The source is being opened: the poll at hand begins anew. */
  | 'opening'
  /** The stored progress is being read. */
  | 'recalling'
  /** The source polls. */
  | 'reading'
  /** What the poll has passed without proof is being stored; its reading is not used yet. */
  | 'recording'
  /** Settled is being stored; the reading is used already. */
  | 'saving'
  /** Between two polls. */
  | 'resting'
  /** The operator decides. */
  | 'halted'
  /** `stop()` was called, and the poll at hand has no answer yet. What it says counts for nothing. */
  | 'stopping'
  | 'stopped'

/** Where an agent stands, and all that its next step depends on. */
export interface Standing<P> {
  readonly phase: Phase
  /** What operators are shown. Another object with each poll: whoever waits for a change looks again. */
  readonly shown: Shown
  /** What holds now; `undefined` while nothing does. */
  readonly known: Known<P> | undefined
  /** The newest reading, of whatever incarnation. */
  readonly newest: HighWaterReading<P> | undefined
  /** The incarnation that the next poll has to look at again. */
  readonly doubted: string | undefined
  /** The newest poll. */
  readonly poll: Poll<P>
  readonly pace: Pace
  /** The newest settled position that was stored by itself. */
  readonly saved: { readonly reading: HighWaterReading<P>; readonly atMs: number } | undefined
}

export interface Shown {
  readonly state: HighWaterStatus<unknown>['state']
  readonly error: unknown
}

/** What a source has said when it was opened, and what is known of the checkpoints since. */
export interface OpenedRun {
  readonly opened: OpenedSource
  /** See `HighWaterRequest.sharesLog`. */
  readonly sharesLog: boolean
}

interface Known<P> {
  readonly run: OpenedRun
  readonly reading: HighWaterReading<P>
  readonly ofPoll: number
}

export interface Poll<P> {
  /** Counted from 1. */
  readonly number: number
  /** The reading when it began. */
  readonly before: HighWaterReading<P> | undefined
  /** What it reads; `undefined` until the source is opened. */
  readonly run: OpenedRun | undefined
  /** Whether it has begun anew: it does so once. */
  readonly isAnew: boolean
  /** Whether it has needed the stored progress though it goes on from a reading: it is given that once. */
  readonly asksStored: boolean
  /** What is not used before its skipped runs are recorded. */
  readonly reading: HighWaterReading<P> | undefined
}

export interface Pace {
  readonly failuresInARow: number
  readonly backOffMs: number
  /** How long the last polls have kept the store busy. */
  readonly lastPollsMs: readonly number[]
  /** See cadence.ts. */
  readonly spacedToMs: number
}

export const NOT_STARTED: Standing<never> = {
  phase: 'idle',
  shown: { state: 'idle', error: undefined },
  known: undefined,
  newest: undefined,
  doubted: undefined,
  poll: {
    number: 0,
    before: undefined,
    run: undefined,
    isAnew: false,
    asksStored: false,
    reading: undefined,
  },
  pace: { failuresInARow: 0, backOffMs: 0, lastPollsMs: [], spacedToMs: 0 },
  saved: undefined,
}

export function isFirstPoll({ poll }: Pick<Standing<unknown>, 'poll'>): boolean {
  return poll.number === 1
}

/** Whether settled, the mark or the head moved. */
export function hasMoved<P>(
  order: PositionOrder<P>,
  before: HighWaterReading<P> | undefined,
  now: HighWaterReading<P>,
): boolean {
  if (before === now) return false
  if (before === undefined) return true
  const same = (a: P | undefined, b: P | undefined): boolean =>
    isReached(order, a, b) && isReached(order, b, a)
  return !same(before.settled, now.settled) || !same(before.mark, now.mark) || !same(before.head, now.head)
}

/** Whether settled stands below the head. */
export function isBehind<P>(order: PositionOrder<P>, { head, settled }: HighWaterReading<P>): boolean {
  return !isReached(order, head, settled)
}

/** Settled positions without a checkpoint are stored at most once a second. */
const SAVE_SETTLED_EVERY_MS = 1_000
/** While events come, checkpoints carry it, and a save would keep the next poll, and so an event, waiting. */
const SAVE_SETTLED_BESIDE_EVENTS_EVERY_MS = 10_000

/**
 * If nothing is projected, no checkpoint carries the settled position. It is stored by itself, so that a restart goes
 * on from it.
 */
export function isSaveDue<P>(
  { saved, poll: { before } }: Pick<Standing<P>, 'saved' | 'poll'>,
  reading: HighWaterReading<P>,
  order: PositionOrder<P>,
  nowMs: number,
): boolean {
  const { settled, mark, incarnation } = reading
  if (settled === undefined) return false
  if (saved === undefined) return true
  const isQuiet = !isBehind(order, reading) && isReached(order, mark, before?.mark)
  const leastMs = isQuiet ? SAVE_SETTLED_EVERY_MS : SAVE_SETTLED_BESIDE_EVENTS_EVERY_MS
  if (nowMs - saved.atMs < leastMs) return false
  return saved.reading.incarnation !== incarnation || !isReached(order, settled, saved.reading.settled)
}
