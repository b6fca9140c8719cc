import { unitName } from '@tidemark/core/adapter'
import type { ListedNode } from '@tidemark/core/operations'
import type { Line } from '../lines.ts'
import type { SourceNodes } from '../read/nodes.ts'
import { table } from '../table.ts'

/** Pure. */
export function formatNodes(sources: readonly SourceNodes[], columns: number | undefined): readonly Line[] {
  if (sources.length === 0) return ['There is no checkpoint yet, and so nothing to share.']
  return sources.flatMap((of, n) => [...(n === 0 ? [] : ['']), ...sourceLines(of, columns)])
}

function sourceLines({ source, nodes, unowned }: SourceNodes, columns: number | undefined): readonly Line[] {
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
          '    Others take over by themselves, at the latest when the lease of the node that is gone has ended (10 s by default).',
          '    If this stays, start a process that has them.',
        ]
  return [
    { text: source, tone: 'strong' },
    ...table(['node', 'state', 'capacity', 'units', 'has'], rows, columns),
    ...free,
  ]
}

function stateOf({ isAlive, isLeaving, presence, desired }: ListedNode): string {
  const life = isAlive ? (isLeaving ? 'leaving' : 'alive') : 'gone'
  const seen = isAlive && presence === 'gone' ? ', its connection is gone' : ''
  return `${life}${seen}${desired === 'open' ? '' : `, ${desired}`}`
}
