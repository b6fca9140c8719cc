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
import { lockSql, moveSql, toRuns } from './advance-sql.ts'
import { textOf, toDesired, toRole } from './checkpoint-rows.ts'
import type { CheckpointTables, Row } from './checkpoint-tables.ts'
import type { BoundedClient, Connection } from './client.ts'
import { QueryTimeoutError } from './errors.ts'
import { compareBackend, type KnownBackends } from './server/backends.ts'
import { formatSkipTotals, parseSkipTotals } from './skip-totals.ts'
import { beginForOthers } from './transaction.ts'
import type { GivenTransaction, UnendedTransactions } from './unended-transactions.ts'
import { commitIn, workIn } from './user-transaction.ts'

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
  work: (locked: LockedUnit) => Promise<void>,
): Promise<Advanced> {
  const { client, connection, tables, backends, unended } = parts
  const { evidence, unit, signal } = request
  try {
    const locked = await beginAndLock(parts, request)
    if (backends) await compareRun(client, backends, evidence, locked.answer)
    const given = { client, connection, unended, unit, locked }
    await workIn(given, signal, () =>
      work({ role: toRole(locked.answer), furthest: textOf(locked.answer.furthest) }),
    )
    const crossed = [...locked.crossed, ...(request.passed ?? [])]
    const skipped = addCrossed(parseSkipTotals(locked.skipped), crossed)
    const inOrder = locked.inOrder(request.positions ?? [])
    const changed = { skipped: formatSkipTotals(skipped), inOrder }
    await commitIn(given, moveSql(client, tables, request, locked.transaction, changed))
    return { position: request.to, skipped, crossed }
  } catch (error) {
    // The connection is destroyed after an error; this ends the transaction at once, where it still can.
    if (!(error instanceof QueryTimeoutError)) await client.query('rollback').catch(() => {})
    throw error
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
  const { unit, from, evidence, tenure } = request
  const [locked] = await beginForOthers(client, lockSql(tables, request))
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
    backend: String(row.backend),
    incarnation: evidence.incarnation,
    answer: row,
    skipped: row.skipped,
    ...toRuns(row.runs),
  }
}
