import type { BoundedClient, PgClient, PgResult } from './client.ts'
import { TransactionLeftOpenError } from './errors.ts'
import { sqlState } from './sql-state.ts'
import { plainSql, type Statement } from './statement.ts'

/**
 * READ COMMITTED, whatever the role's default is: each statement needs a snapshot of its own. And a transaction of our
 * own: a pool hands out what it was given back, also a connection with a transaction open, in which BEGIN only warns, an
 * old snapshot hides events, and our COMMIT or somebody's ROLLBACK would end the other's work too. An isolation level
 * cannot be changed once a snapshot was taken (`check_XactIsoLevel`, since 16 `check_transaction_isolation`), and
 * whichever one the open transaction has, one of these two changes it. Where no snapshot was taken nothing was read or
 * written, and ours takes its place.
 */
const BEGIN = 'begin isolation level repeatable read; set transaction isolation level read committed'

/**
 * For what reads events or their sequence, which queues behind DDL (ALTER SEQUENCE, TRUNCATE, VACUUM FULL, ATTACH): it
 * then fails, and says so. Given up by us alone, its backend would wait on, and the next attempt take another one, until
 * the server has none left.
 */
export const LOCK_TIMEOUT_MS = 2_000
export const LOCK_TIMEOUT: string = `set local lock_timeout = ${LOCK_TIMEOUT_MS}`

/**
 * Takes the locks of a query and reads nothing. A statement looks up the partitions, then waits for their locks, then
 * takes its snapshot. If rows of the default partition are moved to a new partition during that wait, the statement sees
 * them gone from the one and does not look at the other. The statement after this one is planned when the wait is over,
 * so it knows the new partition. The lock on the default partition keeps further ones from being attached.
 */
export function locksSql(query: string): string {
  return `select from (${query}) as locked limit 0;`
}

/** Takes the lock of a table alone. From then on, only ATTACH PARTITION can change its partitions. */
export function lockTableSql(table: string): string {
  return `select from only ${table} limit 0;`
}

/**
 * The server's part of `queryTimeoutMs`, for each of the statements that follow. It does not end a COMMIT, which would
 * then be called done before its standbys have it.
 */
export function limitSql({ queryTimeoutMs }: Pick<BoundedClient, 'queryTimeoutMs'>): string {
  return `set local statement_timeout = ${toSetting(queryTimeoutMs)}`
}

/** An integer of 32 bits; 0 would be no limit. */
export function toSetting(ms: number): number {
  return Math.min(Math.ceil(ms), 2 ** 31 - 1)
}

/** active_sql_transaction; in_failed_sql_transaction */
const STILL_OPEN: ReadonlySet<string | undefined> = new Set(['25001', '25P02'])

/**
 * Begins a transaction and runs `sql` in it, in one message, which cannot bind values. Returns the results of `sql`. A
 * connection on which a transaction is open already is an error, after which it has to be destroyed.
 */
export async function begin(client: BoundedClient, sql: string): Promise<readonly PgResult[]> {
  return (await beginAlone(client, `${limitSql(client)}; ${sql}`)).slice(1)
}

/**
 * The same where others go on with the transaction: `sql` has to give them their own limit back (`THEIR_LIMIT`).
 *
 * @param limit - how `limitForOthers` is written
 */
export async function beginForOthers(
  client: BoundedClient,
  sql: string,
  limit: string = plainSql(limitForOthers(client)),
): Promise<readonly PgResult[]> {
  const [_begun, limited, ...results] = await unlessOpen(
    client,
    `begin isolation level read committed; ${limit}; ${sql}`,
  )
  if (limited?.rows[0]?.hasJustBegun !== 'true') throw new TransactionLeftOpenError({})
  return results
}

/**
 * What it needs anyway says too whether the transaction began with its message, in place of a second isolation level. So it
 * is one statement less for each batch.
 */
export function limitForOthers({ queryTimeoutMs }: Pick<BoundedClient, 'queryTimeoutMs'>): Statement {
  return () => `select set_config('${KEPT}', current_setting('statement_timeout'), true),
    set_config('statement_timeout', '${toSetting(queryTimeoutMs)}', true),
    ${HAS_JUST_BEGUN} as "hasJustBegun"`
}

/** Whether the transaction began with the message that runs this. */
export const HAS_JUST_BEGUN = '(transaction_timestamp() = statement_timestamp())::text'

const KEPT = 'tidemark.statement_timeout'
export const THEIR_LIMIT: string = `set_config('statement_timeout', current_setting('${KEPT}'), true)`

/** As `begin`, of `sql` that sets its own limit. */
export async function beginAlone(client: PgClient, sql: string): Promise<readonly PgResult[]> {
  return (await unlessOpen(client, `${BEGIN}; ${sql}`)).slice(2)
}

/** Sends it; a connection on which somebody has left a failed transaction open, or one that has read, is an error. */
export async function unlessOpen(client: PgClient, sql: string): Promise<readonly PgResult[]> {
  try {
    return manyResults(await client.query(sql))
  } catch (error) {
    if (STILL_OPEN.has(sqlState(error))) throw new TransactionLeftOpenError({ cause: error })
    throw error
  }
}

/** The same, and commits. */
export async function transact(client: BoundedClient, sql: string): Promise<readonly PgResult[]> {
  return (await begin(client, `${sql}; commit`)).slice(0, -1)
}

/** The same for what may wait for DDL: fails where it would wait for longer than that. */
export async function transactUnlessLocked(client: BoundedClient, sql: string): Promise<readonly PgResult[]> {
  return (await transact(client, `${LOCK_TIMEOUT}; ${sql}`)).slice(1)
}

/** node-postgres returns an array where a message holds several statements. */
export function manyResults(results: PgResult | readonly PgResult[]): readonly PgResult[] {
  return Array.isArray(results) ? results : [results as PgResult]
}
