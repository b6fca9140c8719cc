import type { CrossedRun } from './checkpoint-store.ts'
import type { SkipReason, SkipTotals } from './stored-unit.ts'

/** The totals with these runs in them. */
export function addCrossed(totals: SkipTotals, crossed: readonly CrossedRun[]): SkipTotals {
  const sum: Partial<Record<SkipReason, bigint>> = { ...totals }
  for (const { reason, count } of crossed) sum[reason] = (sum[reason] ?? 0n) + count
  return sum
}

/** How many events, or positions, they are. */
export function countOf(runs: readonly CrossedRun[]): number {
  return runs.reduce((sum, { count }) => sum + Number(count), 0)
}
