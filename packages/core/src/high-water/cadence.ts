/** When to poll next. Pure. */
export interface Cadence {
  /** The longest wait while nothing is open. */
  readonly pollIntervalMs: number
  /** The share of time that polls may take, above 0 and at most 1. */
  readonly pollTimeShare: number
}

export interface PollOutcome {
  /**
   * Whether settled, the mark or the head moved. The head alone counts: what is appended behind a holder waits for its
   * end, and a back-off that had grown meanwhile would delay all of it.
   */
  readonly moved: boolean
  /** Whether settled stands below the head, so that it may move without anything being appended. */
  readonly behind: boolean
  /** The back-off before this poll. */
  readonly backOffMs: number
}

const FIRST_BACK_OFF_MS = 1
/**
 * Behind a holder with nothing appended, waits grow slowly, so that noticing its end adds about a fifth to what it held
 * up, and at most this: 20 polls of about 1 ms a second are 2 % of a connection's time.
 */
const GROWTH_WHILE_BEHIND = 1.25
const LONGEST_WHILE_BEHIND_MS = 50
const GROWTH_WHILE_IDLE = 2

/** At once while events flow, backing off from 1 ms when nothing does. */
export function nextBackOffMs(cadence: Cadence, { moved, behind, backOffMs }: PollOutcome): number {
  if (moved) return 0
  const growth = behind ? GROWTH_WHILE_BEHIND : GROWTH_WHILE_IDLE
  const longest = behind ? Math.min(cadence.pollIntervalMs, LONGEST_WHILE_BEHIND_MS) : cadence.pollIntervalMs
  return Math.min(longest, Math.max(FIRST_BACK_OFF_MS, backOffMs * growth))
}

const LONGEST_REST_MS = 10_000

/**
 * The least wait after a poll that keeps polling within its share of time, and at most 10 s: a poll that seems to have
 * taken minutes met a suspended machine or a hung server, which says nothing about what the next one costs.
 */
export function restMs(cadence: Cadence, durationMs: number): number {
  return Math.min(LONGEST_REST_MS, durationMs * (1 / cadence.pollTimeShare - 1))
}
