import type { CrossedRun } from './checkpoint-store.ts'
import type { SkipReason, SkipTotals } from './stored-unit.ts'

/** The totals with these runs in them. */
export function addCrossed(totals: SkipTotals, crossed: readonly CrossedRun[]): SkipTotals {
  const sum: Partial<Record<SkipReason, bigint>> = { ...totals }
  for (const { reason, count } of crossed) sum[reason] = (sum[reason] ?? 0n) + count
  return sum
}

/** Every shard passes the same positions; what one has given up is its own. */
const PASSED_BY_EACH: ReadonlySet<SkipReason> = new Set(['stale_high_water_mark', 'historical_gap', 'moved'])

/** Of the totals of a shard those that every shard has. */
export function passedByEach(skipped: SkipTotals): SkipTotals {
  return Object.fromEntries(
    Object.entries(skipped).filter(([reason]) => PASSED_BY_EACH.has(reason as SkipReason)),
  )
}

/** The totals of several shards as one; `undefined` where those of one are not known. */
export function wholeSkipped(all: readonly (SkipTotals | undefined)[]): SkipTotals | undefined {
  const whole: Partial<Record<SkipReason, bigint>> = {}
  for (const skipped of all) {
    if (skipped === undefined) return undefined
    for (const [reason, count] of Object.entries(skipped) as [SkipReason, bigint][]) {
      const before = whole[reason] ?? 0n
      whole[reason] = PASSED_BY_EACH.has(reason) ? (count > before ? count : before) : before + count
    }
  }
  return whole
}

/** How many events, or positions, they are. */
export function countOf(runs: readonly CrossedRun[]): number {
  return runs.reduce((sum, { count }) => sum + Number(count), 0)
}
