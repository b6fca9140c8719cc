import { isReached, type PositionOrder } from '../position.ts'

/** What readings of the head have shown. Every function here returns a new one. */
export interface HeadWatch<P> {
  readonly head: P | undefined
  readonly readAtMs: number | undefined
  /** When a reading last showed that everything had arrived. */
  readonly caughtUpAtMs: number | undefined
  /** While readings show the head ahead: since when nothing has arrived, and how many readings that were. */
  readonly ahead:
    | { readonly quietSinceMs: number; readonly arrivals: number; readonly readings: number }
    | undefined
  /** The checkpoint that the subscription began at, while nothing has shown that the store has come that far. */
  readonly unconfirmedStart: P | undefined
  /** How many readings in a row stood below it, not counting those that prove nothing (see `observeHead`). */
  readonly belowStart: number
}

export function startHeadWatch<P>(from: P | undefined): HeadWatch<P> {
  return {
    head: undefined,
    readAtMs: undefined,
    caughtUpAtMs: undefined,
    ahead: undefined,
    unconfirmedStart: from,
    belowStart: 0,
  }
}

export interface HeadReading<P> {
  readonly head: P | undefined
  readonly nowMs: number
  /** How far anything had arrived when the reading came. */
  readonly reached: P | undefined
  /** How much had arrived by then. */
  readonly arrivals: number
  readonly isFiltered: boolean
}

export function observeHead<P>(
  watch: HeadWatch<P>,
  { head, nowMs, reached, arrivals, isFiltered }: HeadReading<P>,
  order: PositionOrder<P>,
): HeadWatch<P> {
  const { ahead, unconfirmedStart: start } = watch
  const isBelowStart = arrivals === 0 && !isReached(order, start, head)
  // A filter's checkpoint may stand at a record of the server's own that no reading shows (a group's checkpoint in $all), so
  // that the head stands below it in a healthy store. The next event stands above it, unless this is another log: a second
  // reading proves something only once the head has moved.
  const tells =
    !isFiltered || head === undefined || watch.belowStart === 0 || !isReached(order, head, watch.head)
  const isAhead = !isReached(order, head, reached)
  const quietSinceMs = ahead?.arrivals === arrivals ? ahead.quietSinceMs : nowMs
  return {
    head,
    readAtMs: nowMs,
    caughtUpAtMs: isAhead ? watch.caughtUpAtMs : nowMs,
    ahead: isAhead ? { quietSinceMs, arrivals, readings: (ahead?.readings ?? 0) + 1 } : undefined,
    unconfirmedStart: isBelowStart ? start : undefined,
    belowStart: isBelowStart ? watch.belowStart + (tells ? 1 : 0) : 0,
  }
}

/** A node that follows the leader may for a moment not have what another has already delivered. */
const READINGS_THAT_TELL = 2

/** Whether the checkpoint that the subscription began at stands above all that the store has. */
export function isBeyondHead<P>({ belowStart }: HeadWatch<P>): boolean {
  return belowStart >= READINGS_THAT_TELL
}

/** What the head alone tells of a subscription whose server does not say it itself. */
export function phaseOf<P>({ ahead, readAtMs }: HeadWatch<P>): 'caught_up' | 'fell_behind' | undefined {
  if (readAtMs === undefined) return undefined
  if (ahead === undefined) return 'caught_up'
  return ahead.readings >= READINGS_THAT_TELL ? 'fell_behind' : undefined
}

/** Whether the head has stood ahead for `stallAfterMs` and nothing arrived. */
export function isQuiet<P>(
  { ahead }: HeadWatch<P>,
  arrivals: number,
  nowMs: number,
  stallAfterMs: number,
): boolean {
  return ahead !== undefined && ahead.arrivals === arrivals && nowMs - ahead.quietSinceMs >= stallAfterMs
}
