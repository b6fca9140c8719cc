import type { Holder, PassedBy, RecordedRun, SkipFilter, SkippedRun } from '@tidemark/core/adapter'
import { msSql } from './checkpoint-rows.ts'
import { type CheckpointTables, integerSql, type Row } from './checkpoint-tables.ts'
import { quoteLiteral, quoteTexts } from './identifiers.ts'

/** Of a run that overlaps those recorded before, the part above them is recorded. */
export function recordSql(
  { skips }: CheckpointTables,
  source: string,
  runs: readonly SkippedRun<string>[],
): string {
  const numbers = (of: (run: SkippedRun<string>) => string): string =>
    `${quoteTexts(runs.map(of))}::numeric[]`
  const held = `array[${runs.map(({ heldBy }) => quoteLiteral(heldBy && JSON.stringify(heldBy.map(holderJson)))).join(', ')}]::text[]`
  return `insert into ${skips} (source, stored, current, count, held_by)
         select ${quoteLiteral(source)}, greatest(run.stored, passed.upto), run.current,
           run.count - greatest(0, coalesce(passed.upto - run.stored, 0)), run.held_by::jsonb
         from unnest(
           ${numbers((run) => run.stored)}, ${numbers((run) => run.current)}, ${numbers((run) => run.count.toString())},
           ${held}
         ) as run (stored, current, count, held_by)
         cross join (select max(current) as upto from ${skips} where source = ${quoteLiteral(source)}) as passed
         where passed.upto is null or run.current > passed.upto + 1
         on conflict do nothing`
}

const MOST_LATE = 100

/** As `toRecordedRun` takes them. */
export function listSkipsSql(
  { skips, checkpoints, lateEvents }: CheckpointTables,
  { source, projection, from, to }: SkipFilter,
  limit: number,
): string {
  const has = hasPassedSql('s.source', 's.current')
  const ofProjection = `exists (select from ${checkpoints} c where c.projection = ${quoteLiteral(projection)} and ${has})`
  const conditions = [
    'true',
    ...(source === undefined ? [] : [`s.source = ${quoteLiteral(source)}`]),
    ...(projection === undefined ? [] : [ofProjection]),
    ...(from === undefined ? [] : [`s.current - 1 >= ${quoteLiteral(from)}::numeric`]),
    ...(to === undefined ? [] : [`s.stored + 1 <= ${quoteLiteral(to)}::numeric`]),
  ]
  return `select s.source, (s.stored + 1)::text as "from", (s.current - 1)::text as "to", s.count::text as count,
      ${msSql('s.recorded_at')} as "recordedAtMs", s.held_by::text as "heldBy",
      (select json_agg(json_build_object('projection', c.projection, 'version', c.version, 'from', c.slot_from,
          'to', c.slot_to, 'isHistorical', coalesce(s.current <= c.started_at_head::numeric, false))
          order by c.projection, c.version, c.slot_from)::text
        from ${checkpoints} c where ${has}) as "passedBy",
      (select json_agg(json_build_object('position', l.position::text, 'type', l.type) order by l.position)::text
        from (select position, type from ${lateEvents} l
          where l.source = s.source and l.position > s.stored and l.position < s.current
          order by position limit ${MOST_LATE}) l) as late
    from ${skips} s
    where ${conditions.join(' and ')}
    order by s.recorded_at desc, s.current desc limit ${integerSql(limit)}`
}

/**
 * That the checkpoint `c` is one of that source and has reached that position. A checkpoint of another source may be no
 * number: it is not looked at.
 */
export function hasPassedSql(source: string, position: string): string {
  return `case when c.source = ${source} then c.position::numeric >= ${position} else false end`
}

export function toRecordedRun(row: Row): RecordedRun {
  return {
    source: String(row.source),
    from: String(row.from),
    to: String(row.to),
    count: BigInt(String(row.count)),
    recordedAtMs: Number(row.recordedAtMs),
    heldBy:
      typeof row.heldBy === 'string' ? (JSON.parse(row.heldBy) as StoredHolder[]).map(toHolder) : undefined,
    passedBy: parsed<StoredPassing>(row.passedBy).map(toPassedBy),
    late: parsed<{ position: string; type: string | null }>(row.late).map(({ position, type }) => ({
      position,
      type: type ?? undefined,
    })),
  }
}

export interface StoredHolder {
  readonly transaction: string
  readonly pid?: number
  readonly applicationName?: string
  readonly startedAt?: string
}

export function holderJson({ transaction, pid, applicationName, startedAt }: Holder): StoredHolder {
  return {
    transaction,
    ...(pid === undefined ? {} : { pid }),
    ...(applicationName === undefined ? {} : { applicationName }),
    ...(startedAt === undefined ? {} : { startedAt: startedAt.toISOString() }),
  }
}

export function toHolder({ transaction, pid, applicationName, startedAt }: StoredHolder): Holder {
  return {
    transaction,
    pid,
    applicationName,
    startedAt: startedAt === undefined ? undefined : new Date(startedAt),
  }
}

interface StoredPassing {
  readonly projection: string
  readonly version: number
  readonly from: number
  readonly to: number
  readonly isHistorical: boolean
}

function toPassedBy({ projection, version, from, to, isHistorical }: StoredPassing): PassedBy {
  return {
    unit: { projection, version, slots: { from, to } },
    reason: isHistorical ? 'historical_gap' : 'stale_high_water_mark',
  }
}

/** An array of JSON; NULL is an empty one. */
export function parsed<T>(json: unknown): readonly T[] {
  return typeof json === 'string' ? (JSON.parse(json) as T[]) : []
}
