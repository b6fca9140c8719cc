import { HandlerEndedTransactionError, type Unit, unitName } from '@tidemark/core/adapter'
import { TRANSACTION_ENDED } from './advance-sql.ts'
import type { BoundedClient, Connection, PgResult } from './client.ts'
import { CommitRefusedError, isAnswer, TransactionFailedError } from './errors.ts'
import { errorOfHandler, errorOfStatement } from './handler-end.ts'
import { INVALID_TEXT_REPRESENTATION } from './server/backends.ts'
import { hasSaid, IN_FAILED_SQL_TRANSACTION, sqlState } from './sql-state.ts'
import { manyResults } from './transaction.ts'
import type { GivenTransaction, UnendedTransactions } from './unended-transactions.ts'

/** The transaction in which a unit is locked and the user's function writes. */
export interface UserTransaction {
  readonly client: BoundedClient
  readonly connection: Connection
  readonly unended: UnendedTransactions
  readonly unit: Unit
  readonly locked: GivenTransaction
}

/** Runs the user's function, until the signal fires. What it throws is told with what it has done to the transaction. */
export async function workIn<T>(
  given: UserTransaction,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const { unended, unit, locked } = given
  const giveUp = (): void => unended.givenUp(unit, locked)
  signal.throwIfAborted()
  signal.addEventListener('abort', giveUp)
  const result = await work()
    .catch(async (thrown: unknown) => {
      throw await errorAfter(given, thrown)
    })
    .finally(() => signal.removeEventListener('abort', giveUp))
  signal.throwIfAborted()
  return result
}

/** The same for what failed afterwards, before anything could tell whether the transaction had ended. */
export async function errorAfter(given: UserTransaction, thrown: unknown): Promise<unknown> {
  return await errorOfHandler(toHandlers(given), thrown)
}

/**
 * Sends the last statements, which commit. They have to fail, with `TRANSACTION_ENDED`, and so commit nothing, where the user's
 * function has ended the transaction.
 */
export async function commitIn(given: UserTransaction, sql: string): Promise<readonly PgResult[]> {
  const { client, unended, unit, locked } = given
  const projection = unitName(unit)
  try {
    const results = manyResults(await client.query(sql).catch((error: unknown) => explain(projection, error)))
    const command = results.at(-1)?.command
    if (command !== 'COMMIT')
      throw new TransactionFailedError(projection, `COMMIT was answered by ${command}`)
    return results
  } catch (error) {
    if (!isAnswer(error)) unended.commitSent(unit, locked)
    throw errorOfStatement(toHandlers(given), error)
  }
}

function toHandlers({
  client,
  connection,
  unit,
  locked,
}: UserTransaction): Parameters<typeof errorOfHandler>[0] {
  return { client, connection, projection: unitName(unit), transaction: locked.transaction }
}

function explain(projection: string, error: unknown): never {
  if (sqlState(error) === IN_FAILED_SQL_TRANSACTION) {
    throw new TransactionFailedError(
      projection,
      'its transaction had failed before its checkpoint could move',
      {
        cause: error,
      },
    )
  }
  if (hasSaid(error, INVALID_TEXT_REPRESENTATION, TRANSACTION_ENDED)) {
    throw new HandlerEndedTransactionError(projection)
  }
  if (error instanceof Error && REFUSALS.has(sqlState(error)?.slice(0, 2)))
    throw new CommitRefusedError(projection, error)
  throw error
}

/** Classes of what deferred constraints and triggers raise: integrity_constraint_violation, PL/pgSQL's RAISE. */
const REFUSALS: ReadonlySet<string | undefined> = new Set(['23', 'P0'])
