import type { LateEvents } from '@tidemark/core/adapter'
import type { CheckpointTables, Query } from './checkpoint-tables.ts'
import type { PgClient } from './client.ts'
import { askSql, discardSql } from './late-event-decisions.ts'
import {
  closeLateSql,
  countsLateSql,
  dueSql,
  failedLateSql,
  listLateSql,
  ofOthersSql,
  openSql,
  recordLateSql,
  toListedLate,
  toOpenedLate,
  toOpenLate,
  toRecordedLate,
  toWatchedRun,
  watchedSql,
} from './late-event-rows.ts'
import type { OperatorQueries } from './operator-errors.ts'
import { boundedClient } from './query-timeout.ts'
import { limitSql, manyResults, THEIR_LIMIT } from './transaction.ts'

interface LateParts {
  /** Asks in a transaction of its own. */
  readonly query: Query
  /** The same, for what operators ask. */
  readonly operatorQueries: OperatorQueries
  readonly tables: CheckpointTables
  readonly queryTimeoutMs: number
}

/** Which events came late, and what has become of them: the tables `late_events` and `late_event_units`. */
export function lateEvents<C extends PgClient>(parts: LateParts): LateEvents<C> {
  const { query, operatorQueries, tables, queryTimeoutMs } = parts
  const counted = async (sql: string, signal: AbortSignal): Promise<number> => {
    const [row] = await operatorQueries.changes(sql, signal)
    return Number(row?.count ?? 0)
  }
  return {
    watched: async (source, page, signal) =>
      (await query(watchedSql(tables, source, page), signal)).map(toWatchedRun),
    record: async (source, as, events, signal) =>
      (await query(recordLateSql(tables, source, as, events), signal)).map(toRecordedLate),
    open: async (source, units, found, signal) =>
      (await query(openSql(tables, source, units, found), signal)).map(toOpenedLate),
    counts: async (source, signal) => (await query(countsLateSql(tables, source), signal)).map(toOpenLate),
    due: async (unit, source, of, signal) =>
      (await query(dueSql(tables, unit, source, of), signal)).map(({ position }) => String(position)),
    close: async (tx, unit, source, positions, as) => {
      const client = boundedClient(tx, queryTimeoutMs)
      const closing = `${limitSql(client)}; ${closeLateSql(tables, unit, source, positions, as)}`
      const rows = manyResults(await client.query(closing)).at(-1)?.rows ?? []
      return rows.map(({ position }) => String(position))
    },
    ofOthers: async (tx, unit, source, positions) => {
      const client = boundedClient(tx, queryTimeoutMs)
      const sent = `${limitSql(client)}; ${ofOthersSql(tables, unit, source, positions)}; select ${THEIR_LIMIT}`
      const rows = manyResults(await client.query(sent))[1]?.rows ?? []
      return rows.map(({ position }) => String(position))
    },
    failed: async (unit, source, positions, error, signal) => {
      await query(failedLateSql(tables, unit, source, positions, error), signal)
    },
    ask: (filter, decision, signal) => counted(askSql(tables, filter, decision), signal),
    discard: (filter, decision, signal) => counted(discardSql(tables, filter, decision), signal),
    list: async (filter, limit, signal) =>
      (await operatorQueries.reads(listLateSql(tables, filter, limit), signal)).map(toListedLate),
  }
}
