import {
  type Advanced,
  type AdvanceRequest,
  addCrossed,
  CheckpointConflictError,
  type CrossedRun,
  IncarnationChangedError,
  type LockedUnit,
  ProjectionPausedError,
  UNKNOWN_DECISION,
  unitName,
} from '@tidemark/core/adapter'
import { lockStatement, moveStatement, toRuns } from './advance-sql.ts'
import { textOf, toDesired, toRole } from './checkpoint-rows.ts'
import type { CheckpointTables, Row } from './checkpoint-tables.ts'
import type { BoundedClient, Connection } from './client.ts'
import { PreparedStatementLostError, QueryTimeoutError } from './errors.ts'
import { cannotBeExecuted, executeSql, sendKept, tellBackend } from './kept-statements.ts'
import { inOrderSql } from './late-event-rows.ts'
import { compareBackend, type KnownBackends } from './server/backends.ts'
import { formatSkipTotals, parseSkipTotals } from './skip-totals.ts'
import { plainSql } from './statement.ts'
import { beginForOthers, limitForOthers, limitSql } from './transaction.ts'
import type { GivenTransaction, UnendedTransactions } from './unended-transactions.ts'
import { commitIn, errorAfter, type UserTransaction, workIn } from './user-transaction.ts'

export interface AdvanceParts {
  readonly client: BoundedClient
  readonly connection: Connection
  readonly tables: CheckpointTables
  /** Given when the events are in the same log. */
  readonly backends: KnownBackends | undefined
  readonly unended: UnendedTransactions
  /** Whether handlers leave the statements of this store prepared, as far as is known. */
  readonly moves: { areKept: boolean }
}

/**
 * Moves one checkpoint in one transaction on `client`: lock the row, compare the server's incarnation, run the handler,
 * move the row, commit. BEGIN travels with the lock, and COMMIT with the move: two messages besides the handler's own,
 * since each costs every page a round trip. Both are executed where they are prepared (`sendKept`).
 */
export async function advanceCheckpoint(
  parts: AdvanceParts,
  request: AdvanceRequest,
  work: (locked: LockedUnit) => Promise<void>,
): Promise<Advanced> {
  const { client, connection, backends, unended } = parts
  const { evidence, unit, signal } = request
  try {
    const locked = await beginAndLock(parts, request)
    if (backends) await compareRun(client, backends, evidence, locked.answer)
    const given = { client, connection, unended, unit, locked }
    const { furthest, bound } = locked.answer
    const row = { role: toRole(locked.answer), furthest: textOf(furthest), bound: textOf(bound) }
    await workIn(given, signal, () => work(row))
    const crossed = [...locked.crossed, ...(request.passed ?? [])]
    const skipped = addCrossed(parseSkipTotals(locked.skipped), crossed)
    await moveAndCommit(parts, request, given, formatSkipTotals(skipped))
    return { position: request.to, skipped, crossed }
  } catch (error) {
    // The connection is destroyed after an error; this ends the transaction at once, where it still can.
    if (!(error instanceof QueryTimeoutError)) await client.query('rollback').catch(() => {})
    throw error
  }
}

/**
 * A handler may have run DEALLOCATE. An EXECUTE then fails the transaction, with all that the handler wrote. That is no fault
 * of its own: the batch is tried again, and moves are written out from then on. Unless it has ended the transaction as well.
 */
async function moveAndCommit(
  { client, tables, moves }: AdvanceParts,
  request: AdvanceRequest,
  given: UserTransaction & { readonly locked: LockedCheckpoint },
  skipped: string,
): Promise<void> {
  const { unit, source, positions = [] } = request
  const { transaction, inOrder: areInOrder } = given.locked
  const inOrder = areInOrder(positions)
  const move = moveStatement(tables, request, { transaction, skipped })
  const executed = moves.areKept ? executeSql(client, move) : undefined
  const statements = [
    limitSql(client),
    ...(inOrder.length === 0 ? [] : [inOrderSql(tables, unit, source, inOrder)]),
    executed ?? plainSql(move),
    'commit',
  ]
  try {
    await commitIn(given, statements.join('; '))
  } catch (error) {
    if (executed === undefined || !cannotBeExecuted(error)) throw error
    moves.areKept = false
    throw await errorAfter(given, new PreparedStatementLostError(unitName(unit), { cause: error }))
  }
}

/** Throws where this is not the run of the server that the page was read from, or one that went back. */
export async function compareRun(
  client: BoundedClient,
  backends: KnownBackends,
  { incarnation, logPosition }: AdvanceRequest['evidence'],
  { backend, isAtOrAboveLsn }: Row,
): Promise<void> {
  const isKnown = backends.of(incarnation).includes(String(backend))
  if (!isKnown) await compareBackend(client, backends, incarnation)
  if (isAtOrAboveLsn !== 'true') {
    throw new IncarnationChangedError(incarnation, `a server below log position ${logPosition}`)
  }
}

/** The transaction's id also tells that a handler has ended it. */
interface LockedCheckpoint extends GivenTransaction {
  /** Of the statement that has locked it. */
  readonly answer: Row
  readonly skipped: unknown
  readonly crossed: readonly CrossedRun[]
  /** Of positions that are handled, those that a mark has passed before. */
  readonly inOrder: (positions: readonly string[]) => readonly string[]
}

/** Before the handler runs, so that the loser of two owners does no work. */
async function beginAndLock(parts: AdvanceParts, request: AdvanceRequest): Promise<LockedCheckpoint> {
  const { client, tables, unended } = parts
  const { unit, from, evidence, tenure, fence } = request
  const [limit, lock] = [limitForOthers(client), lockStatement(tables, request)]
  const move = moveStatement(tables, request, { transaction: '', skipped: '{}' })
  const [locked] = await sendKept(client, [limit, lock, move], (written) =>
    beginForOthers(client, written(lock), written(limit)),
  )
  const row = locked?.rows[0]
  if (row !== undefined) tellBackend(client, String(row.pid))
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
  if (fence !== undefined && String(row.fence) !== String(fence)) {
    throw new CheckpointConflictError(unitName(unit), 'another node has its lease')
  }
  return {
    transaction: String(row.transaction),
    pid: String(row.pid),
    backend: String(row.backend),
    incarnation: evidence.incarnation,
    answer: row,
    skipped: row.skipped,
    ...toRuns(row.runs),
  }
}
