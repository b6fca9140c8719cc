import type { AdvanceRequest, CrossedRun, Evidence } from '@tidemark/core/adapter'
import { DESIRED_COLUMNS } from './checkpoint-rows.ts'
import { type CheckpointTables, isUnitSql } from './checkpoint-tables.ts'
import type { BoundedClient } from './client.ts'
import { quoteLiteral } from './identifiers.ts'
import { inOrderSql } from './late-event-rows.ts'
import { BACKEND_KEY_SQL } from './server/incarnation.ts'
import { lsnOf } from './server/log-position.ts'
import { tenureSql } from './tenures.ts'
import { limitSql, THEIR_LIMIT } from './transaction.ts'

/** Locks the checkpoint, and reads what is compared before the handler runs, with the skipped runs that it will cross. */
export function lockSql(
  { checkpoints, skips }: CheckpointTables,
  { unit, source, from, to, evidence, positions = [] }: AdvanceRequest,
): string {
  const lsn = lsnOf(evidence.logPosition)
  // A page may end within a run.
  const upToNextRun = `coalesce((select min(n.current) from ${skips} n
              where n.source = ${quoteLiteral(source)} and n.current > ${integer(to)}::numeric), ${integer(to)}::numeric)`
  return `select c.position, c.role, c.furthest, c.session, c.skipped::text as skipped, ${DESIRED_COLUMNS}, pg_current_xact_id()::text as transaction,
       pg_backend_pid()::text as pid, ${THEIR_LIMIT} as limit,
       ${BACKEND_KEY_SQL} as backend,
       (${lsn === undefined} or pg_current_wal_insert_lsn() >= ${quoteLiteral(lsn)}::pg_lsn)::text as "isAtOrAboveLsn",
       (select json_agg(json_build_object('stored', s.stored::text, 'current', s.current::text, 'count', s.count::text,
            'isHistorical', s.current <= c.started_at_head::numeric, 'isCrossed', s.current <= ${integer(to)}::numeric)
            order by s.current)::text
          from ${skips} s
          where s.source = ${quoteLiteral(source)} and s.current > ${from === undefined ? "'-Infinity'" : integer(from)}::numeric
            and s.current <= ${positions.length === 0 ? `${integer(to)}::numeric` : upToNextRun}) as runs
     from ${checkpoints} c
     where ${isUnitSql('c', unit)}
     for update of c skip locked`
}

/** Moves it, and commits. Fails, and so commits nothing, where the handler has ended the transaction. */
export function moveSql(
  client: BoundedClient,
  tables: CheckpointTables,
  { unit, source, to, evidence, tenure }: AdvanceRequest,
  transaction: string,
  { skipped, inOrder }: { readonly skipped: string; readonly inOrder: readonly string[] },
): string {
  const { checkpoints } = tables
  return `${limitSql(client)};
       ${inOrder.length === 0 ? '' : `${inOrderSql(tables, unit, source, inOrder)};`}
       with moved as (
         update ${checkpoints} c
         set position = ${quoteLiteral(to)}, ${provenSql(evidence)},
           skipped = ${quoteLiteral(skipped)}::jsonb, updated_at = clock_timestamp()${tenure === undefined ? '' : `, ${tenureSql(tenure)}`}
         where ${isUnitSql('c', unit)} and pg_current_xact_id()::text = ${quoteLiteral(transaction)}
         returning true
       )
       select case when (select count(*) from moved) = 1 then true
         else ('${TRANSACTION_ENDED}' || pg_current_xact_id())::boolean end;
       commit`
}

/** How far the store was proven when a checkpoint moves, and in which run of it. */
export function provenSql({ settled, incarnation, logPosition }: Evidence<string>): string {
  return `settled = ${quoteLiteral(settled)}, incarnation = ${quoteLiteral(incarnation)}, log_position = ${quoteLiteral(logPosition)}`
}

/** What fails, as a cast, where the checkpoint was not moved in the transaction that locked it. */
export const TRANSACTION_ENDED = 'tidemark: the handler ended the transaction, this is '

interface LockedRun {
  readonly stored: string
  readonly current: string
  readonly count: string
  readonly isHistorical: boolean | null
  readonly isCrossed: boolean
}

/** Of the runs that `lockSql` has read, those that the advance crosses, and which positions lie in any of them. */
export function toRuns(json: unknown): {
  readonly crossed: readonly CrossedRun[]
  readonly inOrder: (positions: readonly string[]) => readonly string[]
} {
  if (typeof json !== 'string') return { crossed: [], inOrder: () => [] }
  const runs = JSON.parse(json) as LockedRun[]
  const bounds = runs.map(({ stored, current }) => ({ stored: BigInt(stored), current: BigInt(current) }))
  const isIn = (position: bigint): boolean =>
    bounds.some(({ stored, current }) => stored < position && position < current)
  return {
    crossed: runs.filter(({ isCrossed }) => isCrossed).map(toCrossed),
    inOrder: (positions) => [...new Set(positions)].filter((position) => isIn(BigInt(position))),
  }
}

function toCrossed({ stored, current, count, isHistorical }: LockedRun): CrossedRun {
  const reason = isHistorical ? 'historical_gap' : 'stale_high_water_mark'
  return { stored, current, count: BigInt(count), reason }
}

/** Positions of sources that skip are integers; others cross nothing. */
function integer(position: string): string {
  return quoteLiteral(/^-?\d+$/.test(position) ? position : undefined)
}
