import { isReached, type PositionOrder } from '../ports/position.ts'

/** What readings of the head have shown. Every function here returns a new one. */
export interface HeadHistory<P> {
  readonly head: P | undefined
  readonly readAtMs: number | undefined
  /** When a reading last showed that everything was processed. */
  readonly processedAllAtMs: number | undefined
  /** While readings show the head ahead: since when nothing has arrived, and how many readings that were. */
  readonly ahead:
    | { readonly quietSinceMs: number; readonly arrivals: number; readonly readings: number }
    | undefined
}

export function startHeadHistory<P>(): HeadHistory<P> {
  return {
    head: undefined,
    readAtMs: undefined,
    processedAllAtMs: undefined,
    ahead: undefined,
  }
}

/** Another subscription begins: how long the one before was quiet says nothing of it. */
export function resumeHeadHistory<P>(history: HeadHistory<P>): HeadHistory<P> {
  return { ...history, ahead: undefined }
}

export interface HeadReading<P> {
  readonly head: P | undefined
  readonly nowMs: number
  /** How far anything had arrived when the reading came. */
  readonly reached: P | undefined
  /** Up to where everything was processed. */
  readonly processedTo: P | undefined
  /** How much had arrived by then. */
  readonly arrivals: number
}

export function observeHead<P>(
  history: HeadHistory<P>,
  { head, nowMs, reached, processedTo, arrivals }: HeadReading<P>,
  order: PositionOrder<P>,
): HeadHistory<P> {
  const { ahead } = history
  const isAhead = !isReached(order, head, reached)
  const quietSinceMs = ahead?.arrivals === arrivals ? ahead.quietSinceMs : nowMs
  return {
    head,
    readAtMs: nowMs,
    processedAllAtMs: isReached(order, head, processedTo) ? nowMs : history.processedAllAtMs,
    ahead: isAhead ? { quietSinceMs, arrivals, readings: (ahead?.readings ?? 0) + 1 } : undefined,
  }
}

/** A node that follows the leader may for a moment not have what another has already delivered. */
const READINGS_THAT_TELL = 2

/** All that was there is gone: nothing waits, and where the log ends is not known. */
export function observeNothingLeft<P>(history: HeadHistory<P>, nowMs: number): HeadHistory<P> {
  return { head: history.head, readAtMs: nowMs, processedAllAtMs: nowMs, ahead: undefined }
}

/** What the head alone tells of a subscription whose server does not say it itself. */
export function phaseOf<P>({ ahead, readAtMs }: HeadHistory<P>): 'caught_up' | 'fell_behind' | undefined {
  if (readAtMs === undefined) return undefined
  if (ahead === undefined) return 'caught_up'
  return ahead.readings >= READINGS_THAT_TELL ? 'fell_behind' : undefined
}

/** Whether the head has stood ahead for `stallAfterMs` and nothing arrived. */
export function isQuiet<P>(
  { ahead }: HeadHistory<P>,
  arrivals: number,
  nowMs: number,
  stallAfterMs: number,
): boolean {
  return ahead !== undefined && ahead.arrivals === arrivals && nowMs - ahead.quietSinceMs >= stallAfterMs
}
