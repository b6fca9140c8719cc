/** When to poll next. Pure. */
export interface Cadence {
  /** The longest wait between two polls. */
  readonly pollIntervalMs: number
  /** How far apart polls begin while there is something to learn all the time. */
  readonly pollDelayMs: number
  /** The share of time that polls may take, above 0 and at most 1. */
  readonly pollTimeShare: number
}

export interface PollOutcome {
  /**
   * Whether settled, the mark or the head moved. A head that moved counts by itself: events that are appended behind a
   * holder wait for its end, and a long back-off would delay all of them.
   */
  readonly moved: boolean
  /** Whether settled stands below the head, so that it may move without anything being appended. */
  readonly behind: boolean
  /** Whether the source tells of whatever is appended next. */
  readonly isTold: boolean
  /** The back-off before this poll. */
  readonly backOffMs: number
}

const FIRST_BACK_OFF_MS = 1
/**
 * When a holder is in the way and nothing is appended, waits grow slowly. Noticing its end then adds about a fifth to
 * the time that it was open, and at most this. 20 polls of about 1 ms a second are 2 % of a connection's time.
 */
const GROWTH_WHILE_BEHIND = 1.25
const LONGEST_WHILE_BEHIND_MS = 50
const GROWTH_WHILE_IDLE = 2

/**
 * Where something stands in the way: none while events flow, growing from 1 ms. Where everything is settled and the source tells of
 * the next append, there is nothing to be learned before it does; where nobody tells, a guess is no reason to poll any closer
 * than `pollDelayMs`, so that the poll of an event that is told has not to keep apart from guesses.
 */
export function nextBackOffMs(cadence: Cadence, { moved, behind, isTold, backOffMs }: PollOutcome): number {
  const { pollIntervalMs, pollDelayMs } = cadence
  if (isTold && !behind) return pollIntervalMs
  const [growth, longestMs] = behind
    ? [GROWTH_WHILE_BEHIND, Math.min(pollIntervalMs, LONGEST_WHILE_BEHIND_MS)]
    : [GROWTH_WHILE_IDLE, pollIntervalMs]
  const grownMs = moved ? 0 : Math.max(FIRST_BACK_OFF_MS, backOffMs * growth)
  return Math.min(longestMs, Math.max(grownMs, behind ? 0 : pollDelayMs))
}

/**
 * The least wait after a poll that keeps polling within its share of time; never longer than the poll interval. A poll
 * that took long met a suspended machine, a hung server or a full disk. That says nothing about the cost of the next
 * one. Quick polls are within their share already by being `pollDelayMs` apart: the few in a row, of which the first often comes
 * before the commit, rest for as long as they took.
 */
export function restMs({ pollIntervalMs, pollDelayMs, pollTimeShare }: Cadence, storeMs: number): number {
  const restOfShareMs = Math.min(pollIntervalMs, storeMs * (1 / pollTimeShare - 1))
  return storeMs <= pollDelayMs * pollTimeShare ? Math.min(storeMs, restOfShareMs) : restOfShareMs
}

/**
 * The part of that rest that a wake-up does not end: what the quickest of the last polls asks for. So wake-ups, however
 * many, keep within the share of time, and one slow poll keeps nobody waiting.
 */
export function leastRestMs(cadence: Cadence, lastPollsMs: readonly number[]): number {
  return restMs(cadence, Math.min(...lastPollsMs))
}

export const POLLS_REMEMBERED = 8

/**
 * After a quiet spell so many polls need not be apart. A number is told when it is handed out, and its transaction commits some
 * milliseconds later: the first poll seldom finds the event.
 */
export const POLLS_IN_A_ROW = 4

/** Up to when the polls so far would reach if each was followed by `pollDelayMs`; a poll begins now. */
export function spacedToMs({ pollDelayMs }: Cadence, before: number, nowMs: number): number {
  return Math.min(Math.max(before, nowMs) + pollDelayMs, nowMs + POLLS_IN_A_ROW * pollDelayMs)
}

/** How long it takes from now until the next poll is apart from those before. */
export function apartMs({ pollDelayMs }: Cadence, spacedTo: number, nowMs: number): number {
  return Math.max(0, spacedTo - (POLLS_IN_A_ROW - 1) * pollDelayMs - nowMs)
}
