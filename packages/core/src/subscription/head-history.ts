import { isReached, type PositionOrder } from '../ports/position.ts'
import { type Progress, reachedBy } from './progress.ts'

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

/** What one reading has found. `nothing left`: all that was there is gone, and where the log ends is not known. */
export type HeadFound<P> = { readonly head: P | undefined } | 'nothing left'

/** `progress`: how far the subscription had come when the reading came. */
export function observe<P>(
  history: HeadHistory<P>,
  found: HeadFound<P>,
  {
    nowMs,
    progress,
    order,
  }: { readonly nowMs: number; readonly progress: Progress<P>; readonly order: PositionOrder<P> },
): HeadHistory<P> {
  if (found === 'nothing left') {
    return { head: history.head, readAtMs: nowMs, processedAllAtMs: nowMs, ahead: undefined }
  }
  const { head } = found
  const { arrivals, processedTo } = progress
  const { ahead } = history
  const isAhead = !isReached(order, head, reachedBy(progress, order))
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
