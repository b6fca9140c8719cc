import type { SkipLedger } from '@tidemark/core/adapter'
import type { CheckpointTables, Query } from './checkpoint-tables.ts'
import { listSkipsSql, recordSql, toRecordedRun } from './skip-rows.ts'

/** @param operatorQuery - for what operators ask, from a process that has prepared nothing */
export function skipLedger(query: Query, operatorQuery: Query, tables: CheckpointTables): SkipLedger {
  return {
    record: async (source, runs, signal) => {
      await query(recordSql(tables, source, runs), signal)
    },
    list: async (filter, limit, signal) =>
      (await operatorQuery(listSkipsSql(tables, filter, limit), signal)).map(toRecordedRun),
  }
}
