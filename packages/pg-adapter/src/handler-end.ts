import { HandlerEndedTransactionError } from '@tidemark/core/adapter'
import type { BoundedClient, Connection } from './client.ts'
import { ConnectionLostError, QueryTimeoutError, TransactionTimedOutError } from './errors.ts'
import { quoteLiteral } from './identifiers.ts'
import { IN_FAILED_SQL_TRANSACTION, sqlState, transactionTimeoutIn } from './sql-state.ts'
import { manyResults } from './transaction.ts'
import { isDriverFault, noteTransaction } from './transience.ts'

/** The transaction that a handler works in. */
export interface HandlersTransaction {
  readonly client: BoundedClient
  readonly connection: Connection
  readonly projection: string
  /** Its id. */
  readonly transaction: string
}

/**
 * The error of a batch whose handler threw `thrown`: that one, unless the handler had ended its transaction before. Then
 * what it wrote may be committed, and each further try would commit it again.
 */
export async function errorOfHandler(given: HandlersTransaction, thrown: unknown): Promise<unknown> {
  try {
    const state = await stateOf(given)
    noteTransaction(thrown, state === 'failed')
    if (state !== 'ended') return thrown
    return new HandlerEndedTransactionError(given.projection, { cause: thrown })
  } catch (error) {
    if (!(error instanceof Error)) return thrown
    // What the handler asked last may still be on its way; unless that has had no answer either.
    if (error instanceof QueryTimeoutError && !isDriverFault(thrown)) {
      noteTransaction(thrown, false)
      return thrown
    }
    return (
      timedOut(given, thrown, error) ??
      new ConnectionLostError(given.connection.lostReason ?? error, { cause: thrown })
    )
  }
}

/** What a statement failed with, or that the server had ended the transaction before it for the time it took. */
export function errorOfStatement(given: HandlersTransaction, error: unknown): unknown {
  return timedOut(given, error) ?? error
}

function timedOut(
  { connection, projection }: HandlersTransaction,
  ...errors: unknown[]
): TransactionTimedOutError | undefined {
  const found = transactionTimeoutIn(connection.lostReason, ...errors)
  return found && new TransactionTimedOutError(projection, found)
}

/** `failed`: a statement in it has, so that it can only be rolled back. Throws where the connection can no longer be asked. */
async function stateOf({ client, transaction }: HandlersTransaction): Promise<'usable' | 'failed' | 'ended'> {
  try {
    const { rows } = await client.query('select pg_current_xact_id_if_assigned()::text as transaction')
    return rows[0]?.transaction === transaction ? 'usable' : 'ended'
  } catch (error) {
    if (sqlState(error) !== IN_FAILED_SQL_TRANSACTION) throw error
    return (await isRolledBack(client, transaction)) ? 'failed' : 'ended'
  }
}

/**
 * Whether the transaction in which a statement has failed may be the one that was given: nothing of that one is
 * committed or prepared. A handler that rolled it back, and then failed in one of its own, is not told apart.
 */
async function isRolledBack(client: BoundedClient, transaction: string): Promise<boolean> {
  const results = await client.query(
    `rollback; select pg_xact_status(${quoteLiteral(transaction)}::xid8)::text as status`,
  )
  return manyResults(results).at(-1)?.rows[0]?.status === 'aborted'
}
