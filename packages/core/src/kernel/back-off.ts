const FIRST_WAIT_MS = 50
/** A restart or failover takes seconds. A longer wait between two tries would add to the outage. */
const LONGEST_WAIT_MS = 5_000

/** Doubles from 50 ms to 5 s. */
export function backOffMs(inARow: number): number {
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(inARow - 1, 30))
}
