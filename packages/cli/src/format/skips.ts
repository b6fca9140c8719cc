import { ago } from '@tidemark/console/status'
import { unitName } from '@tidemark/core/adapter'
import type { PassedRun } from '@tidemark/core/operations'
import type { Line } from '../lines.ts'
import { table } from '../table.ts'
import type { ListFormat } from './list-format.ts'

/** Pure. */
export function formatSkips(
  skips: readonly PassedRun[],
  { limit, nowMs, columns }: ListFormat,
): readonly Line[] {
  if (skips.length === 0) return ['Nothing was passed without proof.']
  const rows = skips.map(({ from, to, count, recordedAtMs, heldBy, passedBy, late, thereNow }) => ({
    cells: [
      from === to ? from : `${from} to ${to}`,
      String(count),
      ago(recordedAtMs, nowMs),
      heldBy === undefined
        ? 'not known'
        : heldBy
            .map(({ pid, applicationName }) => `${pid ?? 'prepared'} ${applicationName ?? ''}`.trim())
            .join(', ') || 'nobody',
      passedBy.map(({ unit }) => unitName(unit)).join(', ') || 'nobody',
      String(late.length),
      thereNow === undefined ? '?' : String(thereNow.length),
    ],
    ...((thereNow?.length ?? 0) > 0 ? { tone: 'warn' as const } : {}),
  }))
  const head = ['positions', 'count', 'passed', 'held by', 'projections behind it', 'came late', 'there now']
  return [
    ...table(head, rows, columns),
    ...(skips.length < limit ? [] : ['', 'There may be more: --limit']),
    '',
    'What came late, and what has become of it: tidemark late --state any',
  ]
}
