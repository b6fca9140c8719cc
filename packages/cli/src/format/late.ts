import { ago, count, shortened } from '@tidemark/console/status'
import { unitName } from '@tidemark/core/adapter'
import type { ListedLate } from '@tidemark/core/operations'
import type { Line } from '../lines.ts'
import { table } from '../table.ts'
import { type ListFormat, LONGEST_CELL } from './list-format.ts'

/** Late events, one row for each projection that has passed one; pure. */
export function formatLate(
  late: readonly ListedLate[],
  { limit, nowMs, columns }: ListFormat,
): readonly Line[] {
  if (late.length === 0) return ['There are none.']
  const rows = late.flatMap((event) =>
    event.units.map(({ unit, state, failures, error, decision }) => ({
      cells: [
        event.position,
        event.type ?? '?',
        unitName(unit),
        decision === undefined ? state : `${state}, asked by ${decision.who}`,
        event.passed === 'proven_empty' ? 'proven empty' : 'without proof',
        ago(event.foundAtMs, nowMs),
        error === undefined ? '' : shortened(`failed ${failures} times: ${error}`, LONGEST_CELL),
      ],
    })),
  )
  const isOpen = late.some(({ units }) => units.some(({ state }) => state === 'open'))
  return [
    ...table(['position', 'type', 'projection', 'state', 'passed as', 'found', 'error'], rows, columns),
    ...(late.length < limit ? [] : ['', 'There may be more: --limit']),
    ...(isOpen ? ['', ...NEXT] : []),
  ]
}

const NEXT: readonly Line[] = [
  'A projection has missed what is open. If it may be handled out of its order:',
  '    tidemark late reprocess --from <position> --to <position> --projection <name> --why "..."',
  'If not, rebuild it, or bring the effect about by hand; then: discard, in place of reprocess.',
]

export function formatWouldDecide(late: readonly ListedLate[], verb: string): readonly Line[] {
  const [first] = late
  if (first === undefined) return ['No late event is open there.']
  return [
    `Would ${verb} ${count(late.length, 'late event')}: ${late
      .map(({ position }) => position)
      .slice(0, 20)
      .join(', ')}`,
  ]
}
