import { argument, count } from '@tidemark/console/status'
import { unitName } from '@tidemark/core/adapter'
import type { ListedNode, NodeOperationName, NodeOutcome } from '@tidemark/core/operations'
import type { Line } from '../lines.ts'

/** What an operation on a node would do. `nodes`: all that there are. Pure, as all that follow. */
export function formatWouldChangeNodes(
  operation: NodeOperationName,
  would: readonly ListedNode[],
  nodes: readonly ListedNode[],
): readonly Line[] {
  if (would.length === 0) return ['Nothing would change: that is wanted of it already.']
  return [
    ...would.map(standing),
    ...WOULD[operation],
    ...(operation === 'open' ? [] : lastLines(would, nodes)),
  ]
}

function standing({ name, source, isAlive, desired, units }: ListedNode): Line {
  const has = units.length === 0 ? 'has nothing' : `has ${units.map(unitName).join(', ')}`
  return `${name} of ${source} is ${isAlive ? 'alive' : 'gone'}${desired === 'open' ? '' : ` and ${desired}`}, and ${has}.`
}

const WOULD: Readonly<Record<NodeOperationName, readonly Line[]>> = {
  drain: [
    '  It would give back what it has, each after the batch at hand, and be given no more. Its process runs on.',
    '  So would every process that starts under that name, until it is opened.',
  ],
  cordon: [
    '  It would keep what it has, and be given no more.',
    '  So would every process that starts under that name, until it is opened.',
  ],
  open: ['  It would take part again, and be given its share.'],
}

/** Who is drained last takes everything down. */
function lastLines(changed: readonly ListedNode[], nodes: readonly ListedNode[]): readonly Line[] {
  const isChanged = ({ id }: ListedNode): boolean => changed.some((each) => each.id === id)
  const sources = [...new Set(changed.map(({ source }) => source))]
  return sources.flatMap((source): readonly Line[] => {
    const others = nodes.filter((node) => node.source === source && !isChanged(node) && isOpen(node))
    if (others.length > 0) return []
    return [
      {
        text: `! No other node of ${source} is alive and open: what none of them has stands still.`,
        tone: 'bad',
      },
    ]
  })
}

const isOpen = ({ isAlive, isLeaving, desired }: ListedNode): boolean =>
  isAlive && !isLeaving && desired === 'open'

/** What an operation on a node has come to. `nodes`: all that there are now. */
export function formatNodeOutcome(
  operation: NodeOperationName,
  node: string,
  { outcome, entries }: NodeOutcome,
  nodes: readonly ListedNode[],
): readonly Line[] {
  if (outcome === 'already') return [`${node}: ${ALREADY[operation]} already. Nothing was changed.`]
  const runs = nodes.filter(({ id }) => entries.some((entry) => entry.runs.includes(id)))
  const units = runs.flatMap((run) => run.units)
  const has = units.length === 0 ? '' : ` It still has ${count(units.length, 'unit')}.`
  const open = `To let it take part again: tidemark nodes open ${argument(node)} --why "..."`
  return [
    { text: `${node} ${DONE[operation]}`, tone: 'good' },
    ...(operation === 'open' ? [] : lastLines(runs, nodes)),
    ...(operation === 'drain'
      ? [`This takes as long as its batches.${has} To see it: tidemark nodes --watch`]
      : []),
    ...(operation === 'open' ? [] : [open]),
    ...entries.map(({ id, source, who, why }) => `Audit entry ${id} of nodes (${source}), by ${who}: ${why}`),
  ]
}

const DONE: Readonly<Record<NodeOperationName, string>> = {
  drain: 'is draining: it gives back what it has, each after the batch at hand, and is given no more.',
  cordon: 'is cordoned: it keeps what it has, and is given no more.',
  open: 'is open: it takes part again, and is given its share.',
}

const ALREADY: Readonly<Record<NodeOperationName, string>> = {
  drain: 'it is draining',
  cordon: 'it is cordoned',
  open: 'it is open',
}
