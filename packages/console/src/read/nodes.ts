import { unitName } from '@tidemark/core/adapter'
import type { NodeOperations } from '@tidemark/core/operations'
import { decisionOf } from '../look/wire.ts'
import type { NodeAuditAnswer, NodeMove, NodesAnswer } from '../protocol.ts'
import type { Snapshot } from '../status/snapshot.ts'
import type { Query } from './query.ts'

/** Pure. */
export function nodesAnswer({ sources }: Snapshot, moves: readonly NodeMove[]): NodesAnswer {
  return {
    sources: sources.flatMap(({ nodes: of }) => {
      if (of === undefined) return []
      const { source, nodes, unowned } = of
      return [
        {
          source,
          nodes: nodes.map((node) => ({
            id: node.id,
            name: node.name,
            source: node.source,
            capacity: node.capacity,
            isAlive: node.isAlive,
            isLeaving: node.isLeaving,
            desired: node.desired,
            decision: decisionOf(node.decision),
            presence: node.presence,
            units: node.units.map(unitName),
          })),
          unowned: unowned.map(unitName),
        },
      ]
    }),
    moves,
  }
}

export async function nodeAudit(
  nodes: Pick<NodeOperations, 'audit'>,
  query: Query,
): Promise<NodeAuditAnswer> {
  const limit = query.limit()
  const node = query.text('node')
  const before = query.digits('before')
  const entries = await nodes.audit({
    limit,
    ...(node === undefined ? {} : { node }),
    ...(before === undefined ? {} : { before: BigInt(before) }),
  })
  return {
    entries: entries.map(({ id, source, node: of, desired, who, why, atMs }) => ({
      id: String(id),
      source,
      node: of,
      desired,
      who,
      why,
      atMs,
    })),
    before: entries.length < limit ? null : String(entries.at(-1)?.id),
  }
}
