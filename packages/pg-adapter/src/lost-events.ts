import type { LostEvents } from '@tidemark/core/adapter'
import type { CheckpointTables, Query } from './checkpoint-tables.ts'
import {
  claimLostSql,
  listLostSql,
  recordLostSql,
  toKeptLoss,
  toLossTotal,
  toldLostSql,
  totalsLostSql,
} from './lost-event-rows.ts'
import { keepPassedSql, passedSql, toPassed } from './passed-positions.ts'

/**
 * Which events consumers have lost that Tidemark does not run: the tables `lost_events`, `lost_event_totals` and
 * `passed_positions`.
 *
 * @param operatorQuery - for what operators ask, from a process that has prepared nothing
 */
export function lostEvents(query: Query, operatorQuery: Query, tables: CheckpointTables): LostEvents {
  return {
    record: async (source, losses, signal) =>
      (await query(recordLostSql(tables, source, losses), signal)).map(toKeptLoss),
    claim: async (source, due, signal) =>
      (await query(claimLostSql(tables, source, due), signal)).map(toKeptLoss),
    told: async (source, losses, signal) => {
      await query(toldLostSql(tables, source, losses), signal)
    },
    totals: async (source, signal) =>
      (await operatorQuery(totalsLostSql(tables, source), signal)).map(toLossTotal),
    list: async (source, limit, signal) =>
      (await operatorQuery(listLostSql(tables, source, limit), signal)).map(toKeptLoss),
    keepPassed: async (source, consumer, passed, signal) => {
      await query(keepPassedSql(tables, source, consumer, passed), signal)
    },
    passed: async (source, consumer, signal) =>
      (await query(passedSql(tables, source, consumer), signal)).map(toPassed)[0],
  }
}
