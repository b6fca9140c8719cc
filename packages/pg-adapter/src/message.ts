import type { BoundedClient, PgClient, PgResult } from './client.ts'
import { sqlState } from './sql-state.ts'
import { type Prepared, plainSql, prepared, type Statement } from './statement.ts'
import {
  beginAlone,
  LOCK_TIMEOUT,
  LOCK_TIMEOUT_MS,
  limitSql,
  toSetting,
  transactUnlessLocked,
} from './transaction.ts'

/**
 * Selects in the order in which they are run, in one message, each with a snapshot of its own. Those of one transaction
 * are one list. A text is seldom sent, and never prepared.
 */
export interface Message {
  readonly transactions: readonly (readonly (Statement | string)[])[]
  /** `'kept by values'`: which plan is best may hang on the values. `'made anew'`: it is seldom sent. */
  readonly plans: 'kept' | 'kept by values' | 'made anew'
}

/**
 * Runs it. On a connection that leads to one backend for as long as it lives, the statements are prepared once and then
 * executed: to parse and to plan them takes twice as long as to run them.
 *
 * Prepared statements belong to a backend, and whoever shares the pool may discard them. So where one is not there, the
 * whole message is sent again, without any, and the connection is not prepared again.
 */
export async function sendMessage(client: BoundedClient, message: Message): Promise<readonly PgResult[]> {
  const kept = keptBy(client.driver)
  if (message.plans === 'made anew' || !kept.isOwnBackend || kept.isGivenUp)
    return await sendPlain(client, message)
  try {
    const limit = prepared(limits(client, message))
    const transactions = message.transactions.map((parts) =>
      parts.map((part) => (typeof part === 'string' ? part : prepared(part))),
    )
    await prepareMissing(client, kept, [
      limit,
      ...transactions.flat().filter((part) => typeof part !== 'string'),
    ])
    const texts = transactions.map((parts) =>
      parts.map((part) => (typeof part === 'string' ? part : part.executeSql)),
    )
    return await send(client, texts, limit.executeSql)
  } catch (error) {
    if (!CANNOT_BE_EXECUTED.has(sqlState(error))) throw error
    kept.isGivenUp = true
    await client.query('rollback')
    return await sendPlain(client, message)
  }
}

/**
 * Says which backend has answered on this connection. A driver is told a backend's pid when it connects. A pooler that
 * gives each transaction another backend tells it a number of its own.
 */
export function tellBackend({ driver }: BoundedClient, pid: string): void {
  keptBy(driver).isOwnBackend = driver.processID !== undefined && String(driver.processID) === pid
}

interface Kept {
  isOwnBackend: boolean
  isGivenUp: boolean
  readonly names: Set<string>
}

const connections = new WeakMap<PgClient, Kept>()

function keptBy(driver: PgClient): Kept {
  let kept = connections.get(driver)
  if (kept === undefined) {
    kept = { isOwnBackend: false, isGivenUp: false, names: new Set() }
    connections.set(driver, kept)
  }
  return kept
}

/**
 * invalid_sql_statement_name: DEALLOCATE, DISCARD ALL, another backend. duplicate_prepared_statement: somebody else's wrapper
 * of this connection has prepared it. feature_not_supported: "cached plan must not change result type".
 */
const CANNOT_BE_EXECUTED: ReadonlySet<string | undefined> = new Set(['26000', '42P05', '0A000'])

/** A table whose sequence is replaced again and again makes new statements each time. */
const MOST_NAMES = 100

/** In a transaction before the message: to analyze a statement takes a snapshot, and may wait for DDL. */
async function prepareMissing(
  client: BoundedClient,
  kept: Kept,
  statements: readonly Prepared[],
): Promise<void> {
  const missing = new Map<string, Prepared>()
  for (const one of statements) {
    if (!kept.names.has(one.name)) missing.set(one.name, one)
  }
  if (missing.size === 0) return
  await transactUnlessLocked(client, [...missing.values()].map(({ prepareSql }) => prepareSql).join('; '))
  for (const name of missing.keys()) kept.names.add(name)
  if (kept.names.size > MOST_NAMES) kept.isGivenUp = true
}

/**
 * What `limitSql` and `LOCK_TIMEOUT` set. And one plan for all values: left to itself, PostgreSQL plans a look at the end of
 * an index anew each time, since it takes that for cheaper than it would be with values that it does not know. The plan is kept
 * while a table grows that was empty when it was made: so it reads the table by an index.
 */
function limits({ queryTimeoutMs }: BoundedClient, { plans }: Message): Statement {
  const settings = {
    statement_timeout: toSetting(queryTimeoutMs),
    lock_timeout: LOCK_TIMEOUT_MS,
    plan_cache_mode: plans === 'kept' ? 'force_generic_plan' : 'auto',
    enable_seqscan: 'off',
    enable_bitmapscan: 'off',
    // With many partitions a plan costs so much that it would be compiled, at each execution, for a few rows.
    jit: 'off',
  }
  const sets = Object.entries(settings).map(([name, value]) => `set_config('${name}', '${value}', true)`)
  return () => `select ${sets.join(', ')}`
}

async function sendPlain(client: BoundedClient, message: Message): Promise<readonly PgResult[]> {
  const texts = message.transactions.map((parts) =>
    parts.map((part) => (typeof part === 'string' ? part : plainSql(part))),
  )
  return await send(client, texts, `${limitSql(client)}; ${LOCK_TIMEOUT}`)
}

async function send(
  client: BoundedClient,
  transactions: readonly (readonly string[])[],
  limit: string,
): Promise<readonly PgResult[]> {
  const written = transactions.map((texts) => [limit, ...texts, 'commit'].join('; '))
  return await beginAlone(client, written.join('; begin isolation level read committed; '))
}
