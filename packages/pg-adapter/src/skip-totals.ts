import { SKIP_REASONS, type SkipReason, type SkipTotals } from '@tidemark/core/adapter'

/** `{"historical_gap": "3"}`, as the checkpoint row has it: as texts, since not every count is a number of JavaScript. */
export function parseSkipTotals(json: unknown): SkipTotals {
  const stored = typeof json === 'string' ? (JSON.parse(json) as Record<string, unknown>) : {}
  const totals: Partial<Record<SkipReason, bigint>> = {}
  for (const reason of SKIP_REASONS)
    if (stored[reason] !== undefined) totals[reason] = BigInt(String(stored[reason]))
  return totals
}

export function formatSkipTotals(totals: SkipTotals): string {
  return `{${Object.entries(totals)
    .map(([reason, count]) => `${JSON.stringify(reason)}: "${count}"`)
    .join(', ')}}`
}
