import type { NodeControl } from '@tidemark/core/adapter'
import type { CheckpointTables } from './checkpoint-tables.ts'
import {
  decideNodesSql,
  listNodesSql,
  nodeAuditSql,
  toListedNode,
  toNodeAuditEntry,
} from './node-control-sql.ts'
import type { OperatorQueries } from './operator-errors.ts'

/** What operators want of nodes, in their rows, and in the table `node_audit`. */
export function nodeControl({ reads, changes }: OperatorQueries, tables: CheckpointTables): NodeControl {
  return {
    list: async (source, signal) => (await reads(listNodesSql(tables, source), signal)).map(toListedNode),
    decide: async (decision, signal) => {
      const rows = await changes(decideNodesSql(tables, decision), signal)
      return rows.filter(({ id }) => id !== undefined).map(toNodeAuditEntry)
    },
    audit: async (filter, signal) =>
      (await reads(nodeAuditSql(tables, filter), signal)).map(toNodeAuditEntry),
  }
}
