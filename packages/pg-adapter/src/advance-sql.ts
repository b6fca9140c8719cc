import type { AdvanceRequest, CrossedRun } from '@tidemark/core/adapter'
import { DESIRED_COLUMNS } from './checkpoint-rows.ts'
import { type CheckpointTables, isUnitSql } from './checkpoint-tables.ts'
import type { BoundedClient } from './client.ts'
import { quoteLiteral } from './identifiers.ts'
import { isKnownSql } from './server/backends.ts'
import { lsnOf } from './server/log-position.ts'
import { limitSql, THEIR_LIMIT } from './transaction.ts'

/** Locks the checkpoint, and reads what is compared before the handler runs, with the skipped runs that it will cross. */
export function lockSql(
  { checkpoints, skips }: CheckpointTables,
  { unit, source, from, to, evidence }: AdvanceRequest,
  keys: readonly string[],
): string {
  const lsn = lsnOf(evidence.logPosition)
  return `select c.position, c.skipped::text as skipped, ${DESIRED_COLUMNS}, pg_current_xact_id()::text as transaction,
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
     for update of c skip locked`
}

/** Moves it, and commits. Fails, and so commits nothing, where the handler has ended the transaction. */
export function moveSql(
  client: BoundedClient,
  { checkpoints }: CheckpointTables,
  { unit, to, evidence }: AdvanceRequest,
  transaction: string,
  skipped: string,
): string {
  return `${limitSql(client)};
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
       commit`
}

/** What fails, as a cast, where the checkpoint was not moved in the transaction that locked it. */
export const TRANSACTION_ENDED = 'tidemark: the handler ended the transaction, this is '

/** The runs that `lockSql` has read. */
export function toCrossed(json: unknown): readonly CrossedRun[] {
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
