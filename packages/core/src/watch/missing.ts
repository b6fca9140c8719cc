import type { Gap } from '../ports/event-source.ts'
import type { Look } from '../ports/watch-source.ts'

/** Positions that were not visible at the newest look, and may still become so. */
export interface Missing {
  /** Up to here was looked. */
  readonly through: bigint
  /** The lowest first. */
  readonly runs: readonly Gap<bigint>[]
}

/** A look at a run is one descent of the index: so many cost some milliseconds. */
const MOST_RUNS = 1_000

/** How far below the head a first look begins, where nothing is settled yet. */
const FIRST_LOOK_POSITIONS = 5_000n

export function startMissing(settled: bigint | undefined, head: bigint): Missing {
  if (settled !== undefined) return { through: settled, runs: [] }
  // No sequence begins below 0 as a rule: what is there would be taken for missing.
  const through = head > 0n && head < FIRST_LOOK_POSITIONS ? 0n : head - FIRST_LOOK_POSITIONS
  return { through, runs: [] }
}

/**
 * What is missing after a look. What is at or below `settled` is left out: who might have filled it had ended before the
 * look, so it is visible there or never.
 */
export function missingAfter(missing: Missing, look: Look, settled: bigint | undefined): Missing {
  const gone = [...look.appeared.map(({ position }) => ({ from: position, to: position })), ...look.unseen]
  const kept = without(missing.runs, gone.toSorted(byStart))
  const fresh = without(
    look.through > missing.through ? [{ from: missing.through + 1n, to: look.through }] : [],
    look.visible.map(({ position }) => ({ from: position, to: position })),
  )
  const open = [...kept, ...fresh].flatMap(({ from, to }) => {
    if (settled === undefined || from > settled) return [{ from, to }]
    return to > settled ? [{ from: settled + 1n, to }] : []
  })
  return { through: look.through, runs: boundedRuns(open) }
}

/** The lowest, which whoever is slowest holds, and the newest. */
export function boundedRuns(runs: readonly Gap<bigint>[]): readonly Gap<bigint>[] {
  return runs.length <= MOST_RUNS ? runs : [...runs.slice(0, MOST_RUNS / 2), ...runs.slice(-MOST_RUNS / 2)]
}

/** Both the lowest first. */
function without(runs: readonly Gap<bigint>[], gone: readonly Gap<bigint>[]): readonly Gap<bigint>[] {
  const left: Gap<bigint>[] = []
  let next = 0
  for (const run of runs) {
    let { from } = run
    while (next > 0 && (gone[next - 1]?.to ?? from) >= from) next--
    for (; next < gone.length; next++) {
      const hole = gone[next]
      if (hole === undefined || hole.from > run.to) break
      if (hole.to < from) continue
      if (hole.from > from) left.push({ from, to: hole.from - 1n })
      from = hole.to + 1n
    }
    if (from <= run.to) left.push({ from, to: run.to })
  }
  return left
}

/** What is in both. Both the lowest first, and so is what is returned. */
export function overlap(
  some: readonly Gap<bigint>[],
  others: readonly Gap<bigint>[],
): readonly Gap<bigint>[] {
  const both: Gap<bigint>[] = []
  let next = 0
  for (const { from, to } of some) {
    while ((others[next]?.to ?? from) < from) next++
    for (let index = next; index < others.length; index++) {
      const other = others[index]
      if (other === undefined || other.from > to) break
      both.push({
        from: higher(from, other.from),
        to: lower(to, other.to),
      })
    }
  }
  return both
}

const higher = (a: bigint, b: bigint): bigint => (a > b ? a : b)
const lower = (a: bigint, b: bigint): bigint => (a < b ? a : b)

export function byStart(a: Gap<bigint>, b: Gap<bigint>): number {
  return a.from < b.from ? -1 : a.from > b.from ? 1 : 0
}
