import type { BoundedClient, PgClient } from './client.ts'
import { sqlState } from './sql-state.ts'
import { type Prepared, plainSql, prepared, type Statement } from './statement.ts'
import { STATEMENT_NAME } from './statement-name.ts'
import { manyResults, transact, transactUnlessLocked } from './transaction.ts'

/** How one of the statements is written into a message. */
export type Written = (statement: Statement) => string

/**
 * Sends what `send` makes of statements, in one message that begins a transaction. On a connection that leads to one
 * backend for as long as it lives, they are prepared once and then executed: to parse and to plan them takes twice as
 * long as to run them. Elsewhere they are written out.
 *
 * Prepared statements belong to a backend, and whoever shares the pool may discard them; and a table that is altered may
 * outgrow them. Where one cannot be executed, what is not there is prepared anew, and all is sent once more; if that fails
 * too, it is written out. A connection on which this happens again and again is not prepared any more.
 */
export async function sendKept<T>(
  client: BoundedClient,
  statements: readonly Statement[],
  send: (written: Written, areKept: boolean) => Promise<T>,
): Promise<T> {
  const kept = keptBy(client.driver)
  for (let tries = 0; tries < MOST_TRIES && isUsable(kept); tries++) {
    try {
      const known = new Map(statements.map((statement) => [statement, prepared(statement)]))
      await prepareMissing(client, kept, [...known.values()])
      const answer = await send((statement) => known.get(statement)?.executeSql ?? plainSql(statement), true)
      kept.executedSinceLoss++
      return answer
    } catch (error) {
      if (!cannotBeExecuted(error)) throw error
      await lookWhatIsThere(client, kept)
      if (sqlState(error) === FEATURE_NOT_SUPPORTED) await deallocateAll(client, kept)
      noteLoss(kept)
    }
  }
  return await send(plainSql, false)
}

/** How a statement is executed that was prepared on this connection before; `undefined`: it has to be written out. */
export function executeSql({ driver }: BoundedClient, statement: Statement): string | undefined {
  const kept = keptBy(driver)
  if (!isUsable(kept)) return undefined
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

/** "cached plan must not change result type", in the server's language. */
const FEATURE_NOT_SUPPORTED = '0A000'

/**
 * invalid_sql_statement_name: DEALLOCATE, DISCARD ALL, another backend. duplicate_prepared_statement: somebody else's wrapper
 * of this connection has prepared it.
 */
const CANNOT_BE_EXECUTED: ReadonlySet<string | undefined> = new Set(['26000', '42P05', FEATURE_NOT_SUPPORTED])

interface Kept {
  isOwnBackend: boolean
  isGivenUp: boolean
  /** What is prepared there, as far as is known. */
  readonly names: Set<string>
  /** How often in a row something was lost soon after the time before. */
  losses: number
  executedSinceLoss: number
}

const connections = new WeakMap<PgClient, Kept>()

function keptBy(driver: PgClient): Kept {
  let kept = connections.get(driver)
  if (kept === undefined) {
    kept = { isOwnBackend: false, isGivenUp: false, names: new Set(), losses: 0, executedSinceLoss: 0 }
    connections.set(driver, kept)
  }
  return kept
}

function isUsable({ isOwnBackend, isGivenUp }: Kept): boolean {
  return isOwnBackend && !isGivenUp
}

const MOST_TRIES = 2
/** A migration may alter a table several times in a row. Whoever discards everything after each use does so for ever. */
const MOST_LOSSES = 10
/** After so many messages, what a loss costs is far outweighed by what was saved. */
const WORTH_A_LOSS = 100
/** A table whose sequence is replaced again and again makes new statements each time. */
const MOST_NAMES = 100

function noteLoss(kept: Kept): void {
  kept.losses = kept.executedSinceLoss < WORTH_A_LOSS ? kept.losses + 1 : 1
  kept.executedSinceLoss = 0
  if (kept.losses >= MOST_LOSSES) kept.isGivenUp = true
}

/** After a message that has failed. A pooler may give it another backend by now. */
async function lookWhatIsThere(client: BoundedClient, kept: Kept): Promise<void> {
  const answers = await client.query(`rollback; select pg_backend_pid()::text as pid,
    array_to_string(array(select name from pg_prepared_statements where name ~ '${STATEMENT_NAME}'), ' ') as names`)
  const row = manyResults(answers).at(-1)?.rows[0]
  tellBackend(client, String(row?.pid))
  kept.names.clear()
  for (const name of String(row?.names).match(/\S+/g) ?? []) kept.names.add(name)
}

async function deallocateAll(client: BoundedClient, kept: Kept): Promise<void> {
  if (!kept.isOwnBackend || kept.names.size === 0) return
  const names = [...kept.names]
  kept.names.clear()
  await transact(client, names.map((name) => `deallocate ${name}`).join('; '))
}

/** In a transaction before the message: to analyze a statement takes a snapshot, and may wait for DDL. */
async function prepareMissing(
  client: BoundedClient,
  kept: Kept,
  statements: readonly Prepared[],
): Promise<void> {
  if (statements.every(({ name }) => kept.names.has(name))) return
  if (kept.names.size + statements.length > MOST_NAMES) {
    await deallocateAll(client, kept)
    noteLoss(kept)
  }
  const missing = new Map<string, Prepared>()
  for (const one of statements) {
    if (!kept.names.has(one.name)) missing.set(one.name, one)
  }
  await transactUnlessLocked(client, [...missing.values()].map(({ prepareSql }) => prepareSql).join('; '))
  for (const name of missing.keys()) kept.names.add(name)
}
