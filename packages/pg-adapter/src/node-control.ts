import type { NodeControl } from '@tidemark/core/adapter'
import type { CheckpointTables, Query } from './checkpoint-tables.ts'
import {
  decideNodesSql,
  listNodesSql,
  nodeAuditSql,
  toListedNode,
  toNodeAuditEntry,
} from './node-control-sql.ts'

/** What operators want of nodes, in their rows, and in the table `node_audit`. */
export function nodeControl(query: Query, tables: CheckpointTables): NodeControl {
  return {
    list: async (source, signal) => (await query(listNodesSql(tables, source), signal)).map(toListedNode),
    decide: async (decision, signal) => {
      const rows = await query(decideNodesSql(tables, decision), signal)
      return rows.filter(({ id }) => id !== undefined).map(toNodeAuditEntry)
    },
    audit: async (filter, signal) =>
      (await query(nodeAuditSql(tables, filter), signal)).map(toNodeAuditEntry),
  }
}
