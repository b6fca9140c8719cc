import {
  type Advanced,
  type AdvanceRequest,
  CheckpointConflictError,
  type CrossedRun,
  HandlerEndedTransactionError,
  IncarnationChangedError,
  TidemarkError,
} from '@tidemark/core/adapter'
import { type CheckpointTables, isUnitSql } from './checkpoint-tables.ts'
import type { BoundedClient, Connection } from './client.ts'
import { CommitRefusedError, QueryTimeoutError, TransactionFailedError } from './errors.ts'
import { errorOfHandler, errorOfStatement } from './handler-end.ts'
import { quoteLiteral } from './identifiers.ts'
import {
  compareBackend,
  INVALID_TEXT_REPRESENTATION,
  isKnownSql,
  type KnownBackends,
} from './server/backends.ts'
import { lsnOf } from './server/log-position.ts'
import { addCrossed, formatSkipTotals, parseSkipTotals } from './skip-totals.ts'
import { IN_FAILED_SQL_TRANSACTION, sqlState } from './sql-state.ts'
import { beginForOthers, limitSql, manyResults, THEIR_LIMIT } from './transaction.ts'
import type { UnansweredCommits } from './unanswered-commits.ts'

export interface AdvanceParts {
  readonly client: BoundedClient
  readonly connection: Connection
  readonly tables: CheckpointTables
  /** Given when the events are in the same log. */
  readonly backends: KnownBackends | undefined
  readonly unanswered: UnansweredCommits
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
  const { client, connection, backends, unanswered } = parts
  const { evidence, unit } = request
  const { projection } = unit
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
    await work().catch(async (thrown: unknown) => {
      throw await errorOfHandler(given, thrown)
    })
    const skipped = addCrossed(parseSkipTotals(locked.skipped), locked.crossed)
    await moveAndCommit(parts, request, locked.transaction, formatSkipTotals(skipped)).catch(
      (error: unknown) => {
        if (!isAnswer(error)) unanswered.add(unit, locked)
        throw errorOfStatement(given, error)
      },
    )
    return { position: request.to, skipped, crossed: locked.crossed }
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

interface LockedCheckpoint {
  /** The transaction's id: what tells that a handler has ended it. */
  readonly transaction: string
  readonly pid: string
  readonly isKnownBackend: boolean
  readonly isAtOrAboveLsn: boolean
  readonly skipped: unknown
  readonly crossed: readonly CrossedRun[]
}

/** Before the handler runs, so that the loser of two owners does no work. */
async function beginAndLock(
  { client, tables: { checkpoints, skips }, backends, unanswered }: AdvanceParts,
  { unit, source, from, to, evidence }: AdvanceRequest,
): Promise<LockedCheckpoint> {
  const lsn = lsnOf(evidence.logPosition)
  const keys = backends?.of(evidence.incarnation) ?? []
  const [locked] = await beginForOthers(
    client,
    `select c.position, c.skipped::text as skipped, pg_current_xact_id()::text as transaction,
       pg_backend_pid()::text as pid, ${THEIR_LIMIT} as limit,
       ${isKnownSql(keys)}::text as "isKnownBackend",
       (${lsn === undefined} or pg_current_wal_insert_lsn() >= ${quoteLiteral(lsn)}::pg_lsn)::text as "isAtOrAboveLsn",
       (select json_agg(json_build_object('stored', s.stored::text, 'current', s.current::text, 'count', s.count::text,
            'isHistorical',
            s.current <= c.started_at_head::numeric) order by s.current)::text
          from ${skips} s
          where s.source = ${quoteLiteral(source)} and s.current > ${from === undefined ? "'-Infinity'" : integer(from)}::numeric
            and s.current <= ${integer(to)}::numeric) as crossed
     from ${checkpoints} c
     where ${isUnitSql('c', unit)}
     for update of c skip locked`,
  )
  const row = locked?.rows[0]
  if (row === undefined) {
    await unanswered.requireEnded(client, unit)
    throw new CheckpointConflictError(unit.projection, 'another owner is working on it')
  }
  const position = row.position ?? undefined
  if (position !== from) {
    throw new CheckpointConflictError(
      unit.projection,
      `another owner moved its checkpoint to ${String(position ?? 'none')}, expected ${from ?? 'none'}`,
    )
  }
  return {
    transaction: String(row.transaction),
    pid: String(row.pid),
    isKnownBackend: row.isKnownBackend === 'true',
    isAtOrAboveLsn: row.isAtOrAboveLsn === 'true',
    skipped: row.skipped,
    crossed: toCrossed(row.crossed),
  }
}

/** The statement fails, and so nothing is committed, where the handler has ended the transaction. */
async function moveAndCommit(
  { client, tables: { checkpoints } }: AdvanceParts,
  { unit, to, evidence }: AdvanceRequest,
  transaction: string,
  skipped: string,
): Promise<void> {
  const { projection } = unit
  const results = await client
    .query(
      `${limitSql(client)};
       with moved as (
         update ${checkpoints} c
         set position = ${quoteLiteral(to)}, settled = ${quoteLiteral(evidence.settled)},
           incarnation = ${quoteLiteral(evidence.incarnation)}, log_position = ${quoteLiteral(evidence.logPosition)},
           skipped = ${quoteLiteral(skipped)}::jsonb, updated_at = clock_timestamp()
         where ${isUnitSql('c', unit)} and pg_current_xact_id()::text = ${quoteLiteral(transaction)}
         returning true
       )
       select case when (select count(*) from moved) = 1 then true
         else ('${TRANSACTION_ENDED}' || pg_current_xact_id())::boolean end;
       commit`,
    )
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

/** What fails, as a cast, where the checkpoint was not moved in the transaction that locked it. */
const TRANSACTION_ENDED = 'tidemark: the handler ended the transaction, this is '
/** Classes of what deferred constraints and triggers raise: integrity_constraint_violation, PL/pgSQL's RAISE. */
const REFUSALS: ReadonlySet<string | undefined> = new Set(['23', 'P0'])

function toCrossed(json: unknown): readonly CrossedRun[] {
  if (typeof json !== 'string') return []
  const runs = JSON.parse(json) as {
    stored: string
    current: string
    count: string
    isHistorical: boolean | null
  }[]
  return runs.map(({ stored, current, count, isHistorical }) => ({
    stored,
    current,
    count: BigInt(count),
    reason: isHistorical ? 'historical_gap' : 'stale_high_water_mark',
  }))
}

/** Positions of sources that skip are integers; others cross nothing. */
function integer(position: string): string {
  return quoteLiteral(/^-?\d+$/.test(position) ? position : undefined)
}
