import type { SourceNodes } from '@tidemark/console/status'
import { ago, argument } from '@tidemark/console/status'
import { unitName } from '@tidemark/core/adapter'
import type { ListedNode } from '@tidemark/core/operations'
import type { Line } from '../lines.ts'
import { table } from '../table.ts'
import type { ListFormat } from './list-format.ts'

type NodesFormat = Omit<ListFormat, 'limit'>

/** Pure. */
export function formatNodes(sources: readonly SourceNodes[], format: NodesFormat): readonly Line[] {
  if (sources.length === 0) return ['There is no checkpoint yet, and so nothing to share.']
  return sources.flatMap((of, n) => [...(n === 0 ? [] : ['']), ...sourceLines(of, format)])
}

function sourceLines(
  { source, nodes, unowned }: SourceNodes,
  { columns, nowMs }: NodesFormat,
): readonly Line[] {
  if (nodes.length === 0)
    return [
      `${source}: no node is there. Its daemons run without the option nodes, or none runs: tidemark status says what stands.`,
    ]
  const rows = nodes.map((node) => ({
    cells: [
      node.name,
      stateOf(node),
      String(node.capacity),
      String(node.units.length),
      node.units.map(unitName).join(', '),
    ],
    ...(node.isAlive ? {} : { tone: 'bad' as const }),
  }))
  const free: readonly Line[] =
    unowned.length === 0
      ? []
      : [
          { text: `! No node that is alive has: ${unowned.map(unitName).join(', ')}`, tone: 'bad' },
          ...freeLines(nodes),
        ]
  return [
    { text: source, tone: 'strong' },
    ...table(['node', 'state', 'capacity', 'units', 'has'], rows, columns),
    ...nodes.flatMap((node) => wantedLines(node, nowMs)),
    ...free,
  ]
}

/** What is to be done about units that nobody has. */
function freeLines(nodes: readonly ListedNode[]): readonly Line[] {
  const alive = nodes.filter(({ isAlive, isLeaving }) => isAlive && !isLeaving)
  if (alive.length > 0 && alive.every(({ desired }) => desired !== 'open')) {
    return [
      '    Each node that is alive is drained or cordoned, and so takes nothing. To let one take part again:',
      ...alive.map(({ name }) => `    tidemark nodes open ${argument(name)} --why "..."`),
    ]
  }
  return [
    '    Others take over by themselves, at the latest when the lease of the node that is gone has ended (10 s by default).',
    '    If this stays, start a process that has them.',
  ]
}

/** Who has drained or cordoned it, and why. */
function wantedLines({ name, desired, decision }: ListedNode, nowMs: number): readonly Line[] {
  if (desired === 'open' || decision === undefined) return []
  const { who, why, sinceMs } = decision
  return [`- ${name} is ${desired}, as ${who} has wanted ${ago(sinceMs, nowMs)}: ${why}`]
}

function stateOf({ isAlive, isLeaving, presence, desired }: ListedNode): string {
  const life = isAlive ? (isLeaving ? 'leaving' : 'alive') : 'gone'
  const seen = isAlive && presence === 'gone' ? ', its connection is gone' : ''
  return `${life}${seen}${desired === 'open' ? '' : `, ${desired}`}`
}
