import { count, utc } from '@tidemark/console/status'
import { unitName } from '@tidemark/core/adapter'
import type {
  AuditEntry,
  AuditedState,
  DesiredNode,
  NodeAuditEntry,
  NodeOperationName,
} from '@tidemark/core/operations'
import type { Line } from '../lines.ts'
import { table } from '../table.ts'
import type { ListFormat } from './list-format.ts'

/** Pure. */
export function formatEntries(
  entries: readonly AuditEntry[],
  { limit, columns }: Omit<ListFormat, 'nowMs'>,
): readonly Line[] {
  const last = entries.at(-1)
  if (last === undefined) return ['Nobody has done anything yet.']
  const rows = entries.map((entry) => ({
    cells: [
      String(entry.id),
      utc(entry.atMs),
      entry.who,
      entry.refused === undefined ? entry.operation : `${entry.operation}, refused`,
      unitName(entry.unit),
      changeOf(entry),
      entry.refused === undefined ? entry.why : `${entry.why} (refused: ${entry.refused})`,
    ],
    ...(entry.refused === undefined ? {} : { tone: 'warn' as const }),
  }))
  return [
    ...table(['id', 'when', 'who', 'did', 'to', 'change', 'why'], rows, columns),
    ...(entries.length < limit ? [] : ['', `There may be more: --before ${last.id}`]),
  ]
}

const DID: Readonly<Record<DesiredNode, NodeOperationName>> = {
  draining: 'drain',
  cordoned: 'cordon',
  open: 'open',
}

/** What was wanted of nodes; pure. */
export function formatNodeEntries(
  entries: readonly NodeAuditEntry[],
  { limit, columns }: Omit<ListFormat, 'nowMs'>,
): readonly Line[] {
  const last = entries.at(-1)
  if (last === undefined) return ['Nobody has wanted anything of a node yet.']
  const rows = entries.map(({ id, atMs, who, desired, node, source, runs, why }) => ({
    cells: [String(id), utc(atMs), who, DID[desired], node, `${count(runs.length, 'run')} of ${source}`, why],
  }))
  return [
    ...table(['id', 'when', 'who', 'did', 'to', 'of which', 'why'], rows, columns),
    ...(entries.length < limit ? [] : ['', `There may be more: --before ${last.id}`]),
  ]
}

function changeOf({ before, after }: AuditEntry): string {
  if (after === undefined) return `${stateOf(before)} -> gone`
  const [from, to] = [stateOf(before), stateOf(after)]
  return from === to ? from : `${from} -> ${to}`
}

function stateOf({ role, desired, position, lateEvents }: AuditedState): string {
  if (lateEvents !== undefined) return `${lateEvents.open} late events open, ${lateEvents.asked} asked for`
  const state = role === 'retired' ? 'retired' : desired
  return `${state}${role === 'beside' ? ' beside' : ''} at ${position ?? 'its beginning'}`
}
