/** What was seen of one figure, the oldest first. */
export type History = readonly Sample[]

export interface Sample {
  readonly atMs: number
  readonly value: number
}

/** How much of the past a line shows. */
export const KEPT_MS = 10 * 60_000

/** As many as a line has pixels; what comes quicker takes the place of the last one. */
const LEAST_APART_MS = 2_000

/** A line is never narrower: what has just begun would look as if it jumped. */
const LEAST_SHOWN_MS = 60_000

/** From when lines that are compared begin: where there is something of one of them. Pure. */
export function shownFromMs(histories: Iterable<History>, nowMs: number): number {
  let firstMs = nowMs - LEAST_SHOWN_MS
  for (const [first] of histories) firstMs = Math.min(firstMs, first?.atMs ?? firstMs)
  return Math.max(firstMs, nowMs - KEPT_MS)
}

/** Pure: what is known after one more look. */
export function seen(history: History, sample: Sample): History {
  const last = history.at(-1)
  // A look that came late, after a newer one.
  if (last !== undefined && sample.atMs <= last.atMs) return history
  const before = history.at(-2)
  const isTooClose = before !== undefined && sample.atMs - before.atMs < LEAST_APART_MS
  const kept = isTooClose ? history.slice(0, -1) : history
  const oldest = kept.findIndex(({ atMs }) => atMs >= sample.atMs - KEPT_MS)
  return [...(oldest === -1 ? [] : kept.slice(oldest)), sample]
}
