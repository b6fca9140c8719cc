import type { BoundedClient, PgClient } from './client.ts'
import { sqlState } from './sql-state.ts'
import { type Prepared, plainSql, prepared, type Statement } from './statement.ts'
import { transactUnlessLocked } from './transaction.ts'

/** How one of the statements is written into a message. */
export type Written = (statement: Statement) => string

/**
 * Sends what `send` makes of statements, in one message that begins a transaction. On a connection that leads to one
 * backend for as long as it lives, they are prepared once and then executed: to parse and to plan them takes twice as
 * long as to run them. Elsewhere they are written out.
 *
 * Prepared statements belong to a backend, and whoever shares the pool may discard them. So where one is not there, all
 * is sent again, written out, and the connection is not prepared again.
 */
export async function sendKept<T>(
  client: BoundedClient,
  statements: readonly Statement[],
  send: (written: Written, areKept: boolean) => Promise<T>,
): Promise<T> {
  const kept = keptBy(client.driver)
  if (!kept.isOwnBackend || kept.isGivenUp) return await send(plainSql, false)
  try {
    const known = new Map(statements.map((statement) => [statement, prepared(statement)]))
    await prepareMissing(client, kept, [...known.values()])
    return await send((statement) => known.get(statement)?.executeSql ?? plainSql(statement), true)
  } catch (error) {
    if (!cannotBeExecuted(error)) throw error
    kept.isGivenUp = true
    await client.query('rollback')
    return await send(plainSql, false)
  }
}

/** How a statement is executed that was prepared on this connection before; `undefined`: it has to be written out. */
export function executeSql({ driver }: BoundedClient, statement: Statement): string | undefined {
  const kept = keptBy(driver)
  if (!kept.isOwnBackend || kept.isGivenUp) return undefined
  const { name, executeSql } = prepared(statement)
  return kept.names.has(name) ? executeSql : undefined
}

/**
 * Says which backend has answered on this connection. A driver is told a backend's pid when it connects. A pooler that
 * gives each transaction another backend tells it a number of its own.
 */
export function tellBackend({ driver }: BoundedClient, pid: string): void {
  keptBy(driver).isOwnBackend = driver.processID !== undefined && String(driver.processID) === pid
}

/** Whether a statement failed since it was executed instead of being written out. */
export function cannotBeExecuted(error: unknown): boolean {
  return CANNOT_BE_EXECUTED.has(sqlState(error))
}

/**
 * invalid_sql_statement_name: DEALLOCATE, DISCARD ALL, another backend. duplicate_prepared_statement: somebody else's wrapper
 * of this connection has prepared it. feature_not_supported: "cached plan must not change result type".
 */
const CANNOT_BE_EXECUTED: ReadonlySet<string | undefined> = new Set(['26000', '42P05', '0A000'])

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
