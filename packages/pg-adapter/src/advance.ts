import {
  type Advanced,
  type AdvanceRequest,
  CheckpointConflictError,
  type CrossedRun,
  HandlerEndedTransactionError,
  IncarnationChangedError,
} from '@tidemark/core'
import type { KnownBackends } from './backends.ts'
import type { CheckpointTables } from './checkpoint-tables.ts'
import type { PgClient } from './client.ts'
import { sqlState, TransactionFailedError } from './errors.ts'
import { BACKEND_KEY_SQL } from './incarnation.ts'
import { compareBackend } from './load.ts'
import { addCrossed, formatSkipTotals, parseSkipTotals } from './skip-totals.ts'

/**
 * Moves one checkpoint in one transaction on `client`: lock the row, compare the server's incarnation, run the handler,
 * move the row, commit. `backends` is given when the events are in the same log.
 */
export async function advanceCheckpoint(
  client: PgClient,
  tables: CheckpointTables,
  backends: KnownBackends | undefined,
  request: AdvanceRequest,
  work: () => Promise<void>,
): Promise<Advanced> {
  const { projection, evidence } = request
  await client.query('begin isolation level read committed')
  try {
    const locked = await lockCheckpoint(client, tables, backends?.of(evidence.incarnation) ?? [], request)
    if (backends && !locked.isKnownBackend) await compareBackend(client, backends, evidence.incarnation)
    if (backends && !locked.isAtOrAboveLsn) {
      throw new IncarnationChangedError(
        evidence.incarnation,
        `a server below log position ${evidence.logPosition}`,
      )
    }
    await work()
    const skipped = addCrossed(parseSkipTotals(locked.skipped), locked.crossed)
    await moveCheckpoint(client, tables, request, locked.transaction, formatSkipTotals(skipped))
    const { command } = await client.query('commit')
    if (command !== 'COMMIT')
      throw new TransactionFailedError(projection, `COMMIT was answered by ${command}`)
    return { position: request.to, skipped, crossed: locked.crossed }
  } catch (error) {
    // The connection is destroyed after an error; this ends the transaction at once, where it still can.
    await client.query('rollback').catch(() => {})
    throw error
  }
}

interface LockedCheckpoint {
  /** The transaction's id: what tells that a handler has ended it. */
  readonly transaction: string
  readonly isKnownBackend: boolean
  readonly isAtOrAboveLsn: boolean
  readonly skipped: unknown
  readonly crossed: readonly CrossedRun[]
}

/** Before the handler runs, so that the loser of two owners does no work. */
async function lockCheckpoint(
  client: PgClient,
  { checkpoints, skips }: CheckpointTables,
  keys: readonly string[],
  { projection, source, from, to, evidence }: AdvanceRequest,
): Promise<LockedCheckpoint> {
  const { rows } = await client.query(
    `select c.position, c.skipped::text as skipped, pg_current_xact_id()::text as transaction,
       coalesce(${BACKEND_KEY_SQL} = any ($2::text[]), false)::text as "isKnownBackend",
       (case when $3::text is null then true else pg_current_wal_insert_lsn() >= $3::pg_lsn end)::text as "isAtOrAboveLsn",
       (select json_agg(json_build_object('stored', s.stored::text, 'current', s.current::text, 'count', s.count::text,
            'isHistorical', s.current <= c.started_at_head::numeric) order by s.current)::text
          from ${skips} s
          where s.source = $4 and s.current > $5::numeric and s.current <= $6::numeric) as crossed
     from ${checkpoints} c
     where c.projection = $1
     for update of c skip locked`,
    [
      projection,
      keys,
      isLsn(evidence.logPosition) ? evidence.logPosition : null,
      source,
      from === undefined ? '-Infinity' : integerOrNull(from),
      integerOrNull(to),
    ],
  )
  const row = rows[0]
  if (row === undefined) throw new CheckpointConflictError(projection, 'another owner is working on it')
  const position = row.position ?? undefined
  if (position !== from) {
    throw new CheckpointConflictError(
      projection,
      `another owner moved its checkpoint to ${String(position ?? 'none')}, expected ${from ?? 'none'}`,
    )
  }
  return {
    transaction: String(row.transaction),
    isKnownBackend: row.isKnownBackend === 'true',
    isAtOrAboveLsn: row.isAtOrAboveLsn === 'true',
    skipped: row.skipped,
    crossed: toCrossed(row.crossed),
  }
}

async function moveCheckpoint(
  client: PgClient,
  { checkpoints }: CheckpointTables,
  { projection, to, evidence, startedAtHead }: AdvanceRequest,
  transaction: string,
  skipped: string,
): Promise<void> {
  const { rowCount } = await client
    .query(
      `update ${checkpoints}
       set position = $2, settled = $3, incarnation = $4, log_position = $5, skipped = $6::jsonb,
         started_at_head = coalesce(started_at_head, $7), updated_at = clock_timestamp()
       where projection = $1 and pg_current_xact_id()::text = $8`,
      [
        projection,
        to,
        evidence.settled ?? null,
        evidence.incarnation,
        evidence.logPosition ?? null,
        skipped,
        startedAtHead ?? null,
        transaction,
      ],
    )
    .catch((error: unknown) => {
      if (sqlState(error) !== IN_FAILED_SQL_TRANSACTION) throw error
      throw new TransactionFailedError(
        projection,
        'its transaction had failed before its checkpoint could move',
        {
          cause: error,
        },
      )
    })
  if (rowCount !== 1) throw new HandlerEndedTransactionError(projection)
}

const IN_FAILED_SQL_TRANSACTION = '25P02'

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
function integerOrNull(position: string): string | null {
  return /^-?\d+$/.test(position) ? position : null
}

function isLsn(logPosition: string | undefined): logPosition is string {
  return logPosition !== undefined && /^[0-9A-F]+\/[0-9A-F]+$/i.test(logPosition)
}
