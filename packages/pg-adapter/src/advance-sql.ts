import type { AdvanceRequest, CrossedRun, Evidence } from '@tidemark/core/adapter'
import { boundColumnSql, DESIRED_COLUMNS } from './checkpoint-rows.ts'
import { type CheckpointTables, isUnitSql } from './checkpoint-tables.ts'
import { quoteLiteral } from './identifiers.ts'
import { BACKEND_KEY_SQL } from './server/incarnation.ts'
import { lsnOf } from './server/log-position.ts'
import { asLiteral, type Bind, type Statement } from './statement.ts'
import { tenureSql } from './tenures.ts'
import { THEIR_LIMIT } from './transaction.ts'

/** Locks the checkpoint, and reads what is compared before the handler runs, with the skipped runs that it will cross. */
export function lockStatement(
  { checkpoints, skips }: CheckpointTables,
  { unit, source, from, to, evidence, positions = [] }: Omit<AdvanceRequest, 'signal'>,
): Statement {
  return (bind) => {
    const lsn = bind('pg_lsn', `${quoteLiteral(lsnOf(evidence.logPosition))}::pg_lsn`)
    const ofSource = bind('text', quoteLiteral(source))
    const above = bind('numeric', from === undefined ? "'-Infinity'::numeric" : integer(from))
    const upTo = bind('numeric', integer(to))
    // A page may end within a run.
    const last =
      positions.length === 0
        ? upTo
        : `coalesce((select min(n.current) from ${skips} n where n.source = ${ofSource} and n.current > ${upTo}), ${upTo})`
    return `select c.position, c.role, c.furthest, ${boundColumnSql({ checkpoints })}, c.session, c.fence::text as fence, c.skipped::text as skipped, ${DESIRED_COLUMNS}, pg_current_xact_id()::text as transaction,
       pg_backend_pid()::text as pid, ${THEIR_LIMIT} as limit,
       ${BACKEND_KEY_SQL} as backend,
       (${lsn} is null or pg_current_wal_insert_lsn() >= ${lsn})::text as "isAtOrAboveLsn",
       (select json_agg(json_build_object('stored', s.stored::text, 'current', s.current::text, 'count', s.count::text,
            'isHistorical', s.current <= c.started_at_head::numeric, 'isCrossed', s.current <= ${upTo})
            order by s.current)::text
          from ${skips} s
          where s.source = ${ofSource} and s.current > ${above} and s.current <= ${last}) as runs
     from ${checkpoints} c
     where ${isUnitSql('c', unit, bind)}
     for update of c skip locked`
  }
}

/** Moves it. Fails where the handler has ended the transaction. */
export function moveStatement(
  { checkpoints }: CheckpointTables,
  { unit, to, evidence, tenure, fence }: AdvanceRequest,
  { transaction, skipped }: { readonly transaction: string; readonly skipped: string },
): Statement {
  return (bind) => `with moved as (
         update ${checkpoints} c
         set position = ${bind('text', quoteLiteral(to))}, ${provenSql(evidence, bind)},
           skipped = ${bind('jsonb', `${quoteLiteral(skipped)}::jsonb`)}, updated_at = clock_timestamp()${tenure === undefined ? '' : `, ${tenureSql(tenure, bind)}`}
         where ${isUnitSql('c', unit, bind)} and pg_current_xact_id()::text = ${bind('text', quoteLiteral(transaction))}${fence === undefined ? '' : ` and c.fence = ${bind('bigint', String(fence))}`}
         returning true
       )
       select case when exists (select from moved) then true
         else ('${TRANSACTION_ENDED}' || pg_current_xact_id())::boolean end`
}

/** How far the store was proven when a checkpoint moves, and in which run of it. */
export function provenSql(
  { settled, incarnation, logPosition }: Evidence<string>,
  bind: Bind = asLiteral,
): string {
  const text = (value: string | undefined): string => bind('text', quoteLiteral(value))
  return `settled = ${text(settled)}, incarnation = ${text(incarnation)}, log_position = ${text(logPosition)}`
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

/** Of the runs that `lockStatement` has read, those that the advance crosses, and which positions lie in any of them. */
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
  return `${quoteLiteral(/^-?\d+$/.test(position) ? position : undefined)}::numeric`
}
