import {
  type Advanced,
  type AdvanceRequest,
  addCrossed,
  CheckpointConflictError,
  type CrossedRun,
  HandlerEndedTransactionError,
  IncarnationChangedError,
  ProjectionPausedError,
  TidemarkError,
  UNKNOWN_DECISION,
  unitName,
} from '@tidemark/core/adapter'
import { lockSql, moveSql, TRANSACTION_ENDED, toRuns } from './advance-sql.ts'
import { toDesired } from './checkpoint-rows.ts'
import type { CheckpointTables } from './checkpoint-tables.ts'
import type { BoundedClient, Connection } from './client.ts'
import { CommitRefusedError, QueryTimeoutError, TransactionFailedError } from './errors.ts'
import { errorOfHandler, errorOfStatement } from './handler-end.ts'
import { compareBackend, INVALID_TEXT_REPRESENTATION, type KnownBackends } from './server/backends.ts'
import { formatSkipTotals, parseSkipTotals } from './skip-totals.ts'
import { IN_FAILED_SQL_TRANSACTION, sqlState } from './sql-state.ts'
import { beginForOthers, manyResults } from './transaction.ts'
import type { OwnTransaction, UnendedTransactions } from './unended-transactions.ts'

export interface AdvanceParts {
  readonly client: BoundedClient
  readonly connection: Connection
  readonly tables: CheckpointTables
  /** Given when the events are in the same log. */
  readonly backends: KnownBackends | undefined
  readonly unended: UnendedTransactions
}

/**
 * Moves one checkpoint in one transaction on `client`: lock the row, compare the server's incarnation, run the handler,
 * move the row, commit. BEGIN travels with the lock, and COMMIT with the move: two messages besides the handler's own,
 * since each costs every page a round trip.
 */
export async function advanceCheckpoint(
  parts: AdvanceParts,
  request: AdvanceRequest,
  work: () => Promise<void>,
): Promise<Advanced> {
  const { client, connection, backends, unended } = parts
  const { evidence, unit, signal } = request
  const projection = unitName(unit)
  try {
    const locked = await beginAndLock(parts, request)
    if (backends && !locked.isKnownBackend) await compareBackend(client, backends, evidence.incarnation)
    if (backends && !locked.isAtOrAboveLsn) {
      throw new IncarnationChangedError(
        evidence.incarnation,
        `a server below log position ${evidence.logPosition}`,
      )
    }
    const given = { client, connection, projection, transaction: locked.transaction }
    const giveUp = (): void => unended.givenUp(unit, locked)
    signal.throwIfAborted()
    signal.addEventListener('abort', giveUp)
    await work()
      .catch(async (thrown: unknown) => {
        throw await errorOfHandler(given, thrown)
      })
      .finally(() => signal.removeEventListener('abort', giveUp))
    signal.throwIfAborted()
    const crossed = [...locked.crossed, ...(request.passed ?? [])]
    const skipped = addCrossed(parseSkipTotals(locked.skipped), crossed)
    const changed = { skipped: formatSkipTotals(skipped), inOrder: locked.inOrder }
    await moveAndCommit(parts, request, locked.transaction, changed).catch((error: unknown) => {
      if (!isAnswer(error)) unended.commitSent(unit, locked)
      throw errorOfStatement(given, error)
    })
    return { position: request.to, skipped, crossed }
  } catch (error) {
    // The connection is destroyed after an error; this ends the transaction at once, where it still can.
    if (!(error instanceof QueryTimeoutError)) await client.query('rollback').catch(() => {})
    throw error
  }
}

/** Whether the server said how a COMMIT ended; what the driver or this adapter says of the connection does not. */
function isAnswer(error: unknown): boolean {
  if (error instanceof QueryTimeoutError) return error.cause !== undefined
  return error instanceof TidemarkError || sqlState(error)?.length === 5
}

/** The transaction's id also tells that a handler has ended it. */
interface LockedCheckpoint extends OwnTransaction {
  readonly isKnownBackend: boolean
  readonly isAtOrAboveLsn: boolean
  readonly skipped: unknown
  readonly crossed: readonly CrossedRun[]
  /** Of the positions that are handled, those that a mark has passed before. */
  readonly inOrder: readonly string[]
}

/** Before the handler runs, so that the loser of two owners does no work. */
async function beginAndLock(parts: AdvanceParts, request: AdvanceRequest): Promise<LockedCheckpoint> {
  const { client, tables, backends, unended } = parts
  const { unit, from, evidence, tenure } = request
  const keys = backends?.of(evidence.incarnation) ?? []
  const [locked] = await beginForOthers(client, lockSql(tables, request, keys))
  const row = locked?.rows[0]
  const hasEnded = await unended.requireEnded(client, unit, evidence.incarnation)
  if (row === undefined) {
    if (hasEnded) {
      await client.query('rollback')
      return await beginAndLock(parts, request)
    }
    throw new CheckpointConflictError(unitName(unit), 'another owner is working on it')
  }
  const { desired, decision } = toDesired(row)
  if (desired === 'paused') throw new ProjectionPausedError(unitName(unit), decision ?? UNKNOWN_DECISION)
  const position = row.position ?? undefined
  if (position !== from) {
    throw new CheckpointConflictError(
      unitName(unit),
      `another owner moved its checkpoint to ${String(position ?? 'none')}, expected ${from ?? 'none'}`,
    )
  }
  if (tenure !== undefined && (row.session ?? undefined) !== tenure.session) {
    throw new CheckpointConflictError(unitName(unit), 'another owner has begun to work on it')
  }
  return {
    transaction: String(row.transaction),
    pid: String(row.pid),
    incarnation: evidence.incarnation,
    isKnownBackend: row.isKnownBackend === 'true',
    isAtOrAboveLsn: row.isAtOrAboveLsn === 'true',
    skipped: row.skipped,
    ...toRuns(row.runs, request.positions ?? []),
  }
}

/** The statement fails, and so nothing is committed, where the handler has ended the transaction. */
async function moveAndCommit(
  { client, tables }: AdvanceParts,
  request: AdvanceRequest,
  transaction: string,
  changed: { readonly skipped: string; readonly inOrder: readonly string[] },
): Promise<void> {
  const projection = unitName(request.unit)
  const results = await client
    .query(moveSql(client, tables, request, transaction, changed))
    .catch((error: unknown) => {
      if (sqlState(error) === IN_FAILED_SQL_TRANSACTION) {
        throw new TransactionFailedError(
          projection,
          'its transaction had failed before its checkpoint could move',
          { cause: error },
        )
      }
      if (sqlState(error) === INVALID_TEXT_REPRESENTATION && String(error).includes(TRANSACTION_ENDED)) {
        throw new HandlerEndedTransactionError(projection)
      }
      if (error instanceof Error && REFUSALS.has(sqlState(error)?.slice(0, 2)))
        throw new CommitRefusedError(projection, error)
      throw error
    })
  const command = manyResults(results).at(-1)?.command
  if (command !== 'COMMIT') throw new TransactionFailedError(projection, `COMMIT was answered by ${command}`)
}

/** Classes of what deferred constraints and triggers raise: integrity_constraint_violation, PL/pgSQL's RAISE. */
const REFUSALS: ReadonlySet<string | undefined> = new Set(['23', 'P0'])
