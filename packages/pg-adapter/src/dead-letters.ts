import type { DeadLetters } from '@tidemark/core/adapter'
import type { CheckpointTables, Query } from './checkpoint-tables.ts'
import type { PgClient } from './client.ts'
import { burySql, closeSql, countsSql, findSql, listSql, toDeadLetter } from './dead-letter-rows.ts'
import { boundedClient } from './query-timeout.ts'
import { limitSql } from './transaction.ts'

/** One statement a letter; counting reads one row a projection and one letter of each. */
export function deadLetters<C extends PgClient>(
  query: Query,
  tables: CheckpointTables,
  queryTimeoutMs: number,
): DeadLetters<C> {
  return {
    bury: async (tx, unit, letter) => {
      const client = boundedClient(tx, queryTimeoutMs)
      await client.query(`${limitSql(client)}; ${burySql(tables, unit, letter)}`)
    },
    list: async (filter, page, signal) =>
      (await query(listSql(tables, filter, page), signal)).map(toDeadLetter),
    find: async (id, signal) => {
      const [row] = await query(findSql(tables, id), signal)
      return row && toDeadLetter(row)
    },
    close: async (ids, closing, signal) =>
      (await query(closeSql(tables, ids, closing), signal)).map(({ id }) => String(id)),
    counts: async (signal) =>
      (await query(countsSql(tables), signal)).map(({ projection, version, open, oldestAtMs }) => ({
        projection: String(projection),
        version: Number(version),
        open: Number(open),
        oldestAtMs: Number(oldestAtMs),
      })),
  }
}
