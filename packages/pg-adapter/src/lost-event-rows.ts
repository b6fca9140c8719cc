import type { KeptLoss, LossKey, LossTotal, LostVerdict } from '@tidemark/core/adapter'
import { msSql, textOf } from './checkpoint-rows.ts'
import { type CheckpointTables, integerSql, type Row } from './checkpoint-tables.ts'
import { quoteLiteral } from './identifiers.ts'
import { holderJson, type StoredHolder, toHolder } from './skip-rows.ts'

const KEY = 'source, consumer, incarnation, position'

/** As `toKeptLoss` takes them. */
function columnsSql(row: string): string {
  return `${row}.consumer, ${row}.incarnation, ${row}.position::text as position, ${row}.verdict, ${row}.type,
    ${row}.checkpoint as "passedAt", ${msSql(`${row}.missing_at`)} as "missingAtMs",
    ${msSql(`${row}.visible_at`)} as "visibleAtMs", ${row}.held_by::text as "heldBy", ${row}.traceparent`
}

/**
 * Those that were not there, as `toKeptLoss` takes them; they are counted by the same statement. In the order of the key, so that
 * two who record the same ones wait for each other, and do not lock each other out.
 */
export function recordLostSql(
  { lostEvents, lostEventTotals }: CheckpointTables,
  source: string,
  losses: readonly KeptLoss[],
): string {
  const found = JSON.stringify(losses.map((loss) => ({ ...loss, heldBy: loss.heldBy.map(holderJson) })))
  return `with added as (
      insert into ${lostEvents} as l (${KEY}, verdict, type, checkpoint, missing_at, visible_at, held_by, traceparent)
      select ${quoteLiteral(source)}, f.consumer, f.incarnation, f.position, f.verdict, f.type, f."passedAt",
        to_timestamp(f."missingAtMs" / 1000), to_timestamp(f."visibleAtMs" / 1000), f."heldBy", f.traceparent
      from json_to_recordset(${quoteLiteral(found)}) as f (consumer text, incarnation text, position numeric,
        verdict text, type text, "passedAt" text, "missingAtMs" float8, "visibleAtMs" float8, "heldBy" jsonb,
        traceparent text)
      order by f.consumer, f.incarnation, f.position
      on conflict do nothing
      returning l.*
    ), counted as (
      insert into ${lostEventTotals} as t (source, consumer, verdict, events)
      select source, consumer, verdict, count(*) from added group by source, consumer, verdict order by consumer, verdict
      on conflict (source, consumer, verdict) do update set events = t.events + excluded.events
    )
    select ${columnsSql('a')} from added a order by a.position`
}

/** As `toKeptLoss` takes them. */
export function claimLostSql(
  { lostEvents }: CheckpointTables,
  source: string,
  { claimMs, limit }: { readonly claimMs: number; readonly limit: number },
): string {
  return `with due as (
      select ${KEY} from ${lostEvents}
      where source = ${quoteLiteral(source)} and told_at is null
        and claimed_at < clock_timestamp() - ${integerSql(Math.ceil(claimMs))} * interval '1 ms'
      order by ${KEY} limit ${integerSql(limit)} for update skip locked
    ), claimed as (
      update ${lostEvents} l set claimed_at = clock_timestamp() from due where ${isSameSql('l', 'due')} returning l.*
    )
    select ${columnsSql('c')} from claimed c order by c.position`
}

export function toldLostSql(
  { lostEvents }: CheckpointTables,
  source: string,
  losses: readonly LossKey[],
): string {
  const keys = losses.map(({ consumer, incarnation, position }) => ({
    source,
    consumer,
    incarnation,
    position,
  }))
  return `update ${lostEvents} l set told_at = clock_timestamp()
    from json_to_recordset(${quoteLiteral(JSON.stringify(keys))}) as t (source text, consumer text, incarnation text,
      position numeric)
    where ${isSameSql('l', 't')} and l.told_at is null`
}

export function totalsLostSql({ lostEventTotals }: CheckpointTables, source: string): string {
  return `select consumer, verdict, events::text as events from ${lostEventTotals} where source = ${quoteLiteral(source)}`
}

export function toLossTotal({ consumer, verdict, events }: Row): LossTotal {
  return { consumer: String(consumer), verdict: toVerdict(verdict), events: Number(events) }
}

/** As `toKeptLoss` takes them. */
export function listLostSql({ lostEvents }: CheckpointTables, source: string, limit: number): string {
  return `select ${columnsSql('l')} from ${lostEvents} l where l.source = ${quoteLiteral(source)}
    order by l.recorded_at desc, l.position desc limit ${integerSql(limit)}`
}

export function toKeptLoss(row: Row): KeptLoss {
  return {
    consumer: String(row.consumer),
    incarnation: String(row.incarnation),
    position: String(row.position),
    verdict: toVerdict(row.verdict),
    type: textOf(row.type),
    passedAt: String(row.passedAt),
    missingAtMs: row.missingAtMs === null ? undefined : Number(row.missingAtMs),
    visibleAtMs: Number(row.visibleAtMs),
    heldBy: (JSON.parse(String(row.heldBy)) as StoredHolder[]).map(toHolder),
    traceparent: textOf(row.traceparent),
  }
}

const toVerdict = (text: unknown): LostVerdict => (text === 'lost' ? 'lost' : 'passed')

const isSameSql = (a: string, b: string): string =>
  KEY.split(', ')
    .map((key) => `${a}.${key} = ${b}.${key}`)
    .join(' and ')
