import type { Failures } from '@tidemark/core/adapter'
import type { CheckpointTables, Query } from './checkpoint-tables.ts'
import { endFailureSql, listFailuresSql, tellFailureSql, toFailure } from './failure-rows.ts'

/**
 * What failed last at each unit: the table `projection_failures`.
 *
 * @param operatorQuery - for what operators ask, from a process that has prepared nothing
 */
export function failures(query: Query, operatorQuery: Query, tables: CheckpointTables): Failures {
  return {
    tell: async (failure, signal) => {
      await query(tellFailureSql(tables, failure), signal)
    },
    over: async (unit, node, signal) => {
      await query(endFailureSql(tables, unit, node), signal)
    },
    list: async (filter, signal) =>
      (await operatorQuery(listFailuresSql(tables, filter), signal)).map(toFailure),
  }
}
