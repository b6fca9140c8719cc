import type { DeadLetters } from '@tidemark/core/adapter'
import type { CheckpointTables } from './checkpoint-tables.ts'
import type { PgClient } from './client.ts'
import {
  askBehindSql,
  askSql,
  closeRetriedSql,
  nextRetrySql,
  retryFailedSql,
  retryStatesSql,
  takeRetrySql,
  toRetryState,
} from './dead-letter-retries.ts'
import {
  burySql,
  closingSql,
  countsSql,
  findSql,
  handOverSql,
  listSql,
  openSql,
  toDeadLetter,
} from './dead-letter-rows.ts'
import type { OperatorQueries } from './operator-errors.ts'
import { parkedKeysSql, parkSql, TRANSACTION } from './parked-letters.ts'
import { boundedClient } from './query-timeout.ts'
import { limitSql, manyResults, THEIR_LIMIT } from './transaction.ts'

/** One statement a letter; counting reads one row a projection and one letter of each. */
export function deadLetters<C extends PgClient>(
  { reads, changes }: OperatorQueries,
  tables: CheckpointTables,
  queryTimeoutMs: number,
): DeadLetters<C> {
  return {
    bury: async (tx, unit, letter) => {
      const client = boundedClient(tx, queryTimeoutMs)
      await client.query(`${limitSql(client)}; ${burySql(tables, unit, letter)}`)
    },
    parkedKeys: async (tx, unit, keys) => {
      const client = boundedClient(tx, queryTimeoutMs)
      const sent = `${limitSql(client)}; ${parkedKeysSql(tables, unit, keys)}; select ${THEIR_LIMIT}, ${TRANSACTION}`
      const [, found, own] = manyResults(await client.query(sent))
      const transaction = String(own?.rows[0]?.transaction)
      return {
        keys: new Set(found?.rows.map(({ key }) => String(key))),
        park: async (letters) => {
          await client.query(`${limitSql(client)}; ${parkSql(tables, unit, letters, transaction)}`)
        },
      }
    },
    handOver: async (tx, from, to) => {
      const client = boundedClient(tx, queryTimeoutMs)
      await client.query(`${limitSql(client)}; ${handOverSql(tables, from, to)}; select ${THEIR_LIMIT}`)
    },
    list: async (filter, page, signal) =>
      (await reads(listSql(tables, filter, page), signal)).map(toDeadLetter),
    openIds: async (filter, page, signal) =>
      (await reads(openSql(tables, 'd.open_id::text as id', filter, page), signal)).map(({ id }) =>
        String(id),
      ),
    find: async (id, signal) => {
      const [row] = await reads(findSql(tables, id), signal)
      return row && toDeadLetter(row)
    },
    close: async (ids, closing, signal) => {
      const { as, who, why } = closing
      const asker = { who, why: `${as}: ${why}` }
      // In a statement of its own: it sees what others have done while this one waited for the count.
      const closed = await changes(
        `${closingSql(tables, ids, closing)}; ${askBehindSql(tables, ids, asker)}`,
        signal,
      )
      return closed.map(({ id }) => String(id))
    },
    counts: async (signal) =>
      (await reads(countsSql(tables), signal)).map(({ projection, version, open, oldestAtMs }) => ({
        projection: String(projection),
        version: Number(version),
        open: Number(open),
        oldestAtMs: Number(oldestAtMs),
      })),
    askRetry: async (choice, asker, signal) =>
      (await changes(askSql(tables, choice, asker), signal)).map(({ id }) => String(id)),
    retryStates: async (ids, signal) => (await reads(retryStatesSql(tables, ids), signal)).map(toRetryState),
    nextRetry: async (unit, signal) => {
      const [row] = await reads(nextRetrySql(tables, unit), signal)
      return row && toDeadLetter(row)
    },
    takeRetry: async (tx, unit, id) => {
      const client = boundedClient(tx, queryTimeoutMs)
      const sent = `${limitSql(client)}; ${takeRetrySql(tables, unit, id)}; select ${THEIR_LIMIT}`
      const row = manyResults(await client.query(sent))[1]?.rows[0]
      if (row === undefined) return undefined
      const by = { who: String(row.who), why: String(row.why), transaction: String(row.transaction) }
      return {
        close: async () => {
          await client.query(`${limitSql(client)}; ${closeRetriedSql(tables, id, by)}`)
        },
      }
    },
    retryFailed: async (tx, unit, id, error) => {
      const client = boundedClient(tx, queryTimeoutMs)
      await client.query(`${limitSql(client)}; ${retryFailedSql(tables, unit, id, error)}`)
    },
  }
}
