const FIRST_WAIT_MS = 50
/** A restart or failover takes seconds. A longer wait between two tries would add to the outage. */
export const LONGEST_WAIT_MS = 5_000

/** Anywhere up to `ms`: those whom the same fault has hit do not come back together. `random`: in [0, 1). */
export function fullJitterMs(ms: number, random: number): number {
  return ms * random
}

/** Within a quarter of `ms`, where how long it takes was promised. `random`: in [0, 1). */
export function aroundMs(ms: number, random: number): number {
  return ms * (0.75 + random / 2)
}

/** Doubles from 50 ms to 5 s. */
export function backOffMs(inARow: number): number {
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(inARow - 1, 30))
}
