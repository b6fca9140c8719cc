import type { Gap } from '../ports/event-source.ts'

/** So many runs are watched at most: a look at them is one descent of the index for each. */
export const MOST_WATCHED_RUNS = 100

/**
 * The runs of positions that were proven empty and are looked at again, lowest first. An event that becomes visible in one
 * of them was passed: its number was taken outside the transaction that inserted it, or was written by hand. The newest
 * runs are kept. Those that touch or overlap are one.
 */
export function watchEmpty(
  watched: readonly Gap<bigint>[],
  provenEmpty: readonly Gap<bigint>[],
): readonly Gap<bigint>[] {
  if (provenEmpty.length === 0) return watched
  const runs: Gap<bigint>[] = []
  for (const run of [...watched, ...provenEmpty].toSorted(byStart)) {
    const last = runs.at(-1)
    if (last === undefined || run.from > last.to + 1n) runs.push(run)
    else if (run.to > last.to) runs[runs.length - 1] = { from: last.from, to: run.to }
  }
  return runs.slice(-MOST_WATCHED_RUNS)
}

/**
 * The positions above the last visible one, up to settled, after that one was looked up: they are proven empty too.
 *
 * @param lowest - the first position that the store ever hands out: what there is to watch where nothing is visible
 */
export function emptyTail(
  settled: bigint,
  lastVisible: bigint | undefined,
  lowest: bigint,
): readonly Gap<bigint>[] {
  const from = lastVisible === undefined ? lowest : lastVisible + 1n
  return from <= settled ? [{ from, to: settled }] : []
}

function byStart(a: Gap<bigint>, b: Gap<bigint>): number {
  return a.from < b.from ? -1 : a.from > b.from ? 1 : 0
}
