import type {
  LateEvent,
  LateFilter,
  LateOfUnit,
  LateState,
  LateUnit,
  ListedLate,
  OpenedLate,
  OpenLate,
  PassedAs,
  RecordedLate,
  Unit,
  WatchedRun,
  WatchPage,
} from '@tidemark/core/adapter'
import { msSql, textOf, toUnit, UNIT_COLUMNS, unitColumnsSql } from './checkpoint-rows.ts'
import { type CheckpointTables, integerSql, isUnitSql, type Row, unitValuesSql } from './checkpoint-tables.ts'
import { quoteLiteral, quoteTexts } from './identifiers.ts'
import { hasPassedSql, parsed } from './skip-rows.ts'

export const KEY = 'projection, version, slot_from, slot_to, source, position'

/** As `toWatchedRun` takes them: by the index of when they were recorded. */
export function watchedSql({ skips }: CheckpointTables, source: string, page: WatchPage): string {
  const { windowMs, after, limit } = page
  const [recordedAt, current] = after?.cursor.split(' ') ?? []
  const isAfter =
    recordedAt === undefined || current === undefined
      ? ''
      : `and (s.recorded_at, s.current) > (${quoteLiteral(recordedAt)}::timestamptz, ${numeric(current)})`
  return `select (s.stored + 1)::text as "from", (s.current - 1)::text as "to",
      to_json(s.recorded_at) #>> '{}' || ' ' || s.current as cursor
    from ${skips} s
    where s.source = ${quoteLiteral(source)} and s.recorded_at > clock_timestamp() - ${intervalSql(windowMs)} ${isAfter}
    order by s.recorded_at, s.current limit ${integerSql(limit)}`
}

export function toWatchedRun({ from, to, cursor }: Row): WatchedRun {
  return { from: String(from), to: String(to), cursor: String(cursor) }
}

/** As `toRecordedLate` takes them: those that were not there. */
export function recordLateSql(
  { lateEvents, skips }: CheckpointTables,
  source: string,
  as: PassedAs,
  events: readonly LateEvent[],
): string {
  const types = `array[${events.map(({ type }) => quoteLiteral(type)).join(', ')}]::text[]`
  return `with added as (
      insert into ${lateEvents} (source, position, type, passed_as, passed_at)
      select ${quoteLiteral(source)}, found.position, found.type, ${quoteLiteral(as)}, run.recorded_at
      from unnest(${numerics(events.map(({ position }) => position))}, ${types}) as found (position, type)
      left join lateral (
        select s.stored, s.recorded_at from ${skips} s
        where s.source = ${quoteLiteral(source)} and s.current > found.position order by s.current limit 1
      ) as run on run.stored < found.position
      on conflict do nothing
      returning position, type, found_at - passed_at as after
    )
    select position::text as position, type, (extract(epoch from after) * 1000)::bigint::text as "afterMs"
    from added order by added.position`
}

export function toRecordedLate({ position, type, afterMs }: Row): RecordedLate {
  const after = textOf(afterMs)
  return {
    position: String(position),
    type: textOf(type),
    afterMs: after === undefined ? undefined : Number(after),
  }
}

/**
 * As `toOpenedLate` takes them. What a unit was given in its place has a row since its checkpoint has passed it. A process that has not
 * heard yet of other shards opens for those that have the slots now.
 */
export function openSql(
  { lateEvents, lateEventUnits, checkpoints }: CheckpointTables,
  source: string,
  units: readonly LateUnit[],
  { withinMs }: { readonly withinMs: number | undefined },
): string {
  const values = units.map(
    ({ unit, eventTypes }) =>
      `(${unitValuesSql(unit)}, ${eventTypes ? quoteTexts(eventTypes) : 'null::text[]'})`,
  )
  const isWanted = 'u.types is null or l.type is null or l.type = any (u.types)'
  const within = withinMs === undefined ? '' : `and l.found_at > clock_timestamp() - ${intervalSql(withinMs)}`
  return `with opened as (
      insert into ${lateEventUnits} (${KEY}, closed_as, closed_at)
      select c.projection, c.version, c.slot_from, c.slot_to, l.source, l.position,
        case when ${isWanted} then null else 'not_wanted' end, case when ${isWanted} then null else clock_timestamp() end
      from ${lateEvents} l
      cross join (values ${values.join(', ')}) as u (projection, version, slot_from, slot_to, types)
      join ${checkpoints} c on c.projection = u.projection and c.version = u.version and c.slot_from <= u.slot_to
        and u.slot_from <= c.slot_to
      where l.source = ${quoteLiteral(source)} ${within} and ${hasPassedSql('l.source', 'l.position')}
        and not exists (select from ${lateEventUnits} o where ${isSameSql('o', 'c')} and o.source = l.source
          and o.position = l.position)
      on conflict do nothing
      returning ${KEY}, closed_as
    )
    select ${unitColumnsSql('o.')}, o.position::text as position, l.type
    from opened o join ${lateEvents} l on l.source = o.source and l.position = o.position
    where o.closed_as is null order by o.position`
}

export function toOpenedLate(row: Row): OpenedLate {
  return { unit: toUnit(row), position: String(row.position), type: textOf(row.type) }
}

/** By the index of the open ones. */
export function countsLateSql({ lateEventUnits }: CheckpointTables, source: string): string {
  return `select ${UNIT_COLUMNS}, count(*)::text as open, count(asked_at)::text as asked
    from ${lateEventUnits} where closed_as is null and source = ${quoteLiteral(source)}
    group by projection, version, slot_from, slot_to`
}

export function toOpenLate(row: Row): OpenLate {
  return { unit: toUnit(row), open: Number(row.open), asked: Number(row.asked) }
}

export function dueSql(
  { lateEventUnits }: CheckpointTables,
  unit: Unit,
  source: string,
  { isAsked, limit }: { readonly isAsked: boolean; readonly limit: number },
): string {
  return `select position::text as position from ${lateEventUnits} o
    where ${isUnitSql('o', unit)} and source = ${quoteLiteral(source)} and closed_as is null
      and asked_at is ${isAsked ? 'not null' : 'null'}
    order by o.position limit ${integerSql(limit)}`
}

export function closeLateSql(
  { lateEventUnits }: CheckpointTables,
  unit: Unit,
  source: string,
  positions: readonly string[],
  as: LateState,
): string {
  return `update ${lateEventUnits} o set closed_as = ${quoteLiteral(as)}, closed_at = clock_timestamp()
    where ${isUnitSql('o', unit)} and source = ${quoteLiteral(source)} and position = any (${numerics(positions)})
      and closed_as is null
    returning position::text as position`
}

/** By the primary key: those that another version of the projection was given, or is not to be given. */
export function ofOthersSql(
  { lateEventUnits }: CheckpointTables,
  { projection, version }: Unit,
  source: string,
  positions: readonly string[],
): string {
  return `select distinct position::text as position from ${lateEventUnits}
    where projection = ${quoteLiteral(projection)} and version <> ${integerSql(version)} and source = ${quoteLiteral(source)}
      and position = any (${numerics(positions)}) and closed_as <> 'not_wanted'`
}

/** What a unit is given in its place though a mark had passed it: an event that is found there later is no late one. */
export function inOrderSql(
  { lateEventUnits }: CheckpointTables,
  unit: Unit,
  source: string,
  positions: readonly string[],
): string {
  return `insert into ${lateEventUnits} as o (${KEY}, closed_as, closed_at)
    select ${unitValuesSql(unit)}, ${quoteLiteral(source)}, position, 'in_order', clock_timestamp()
    from unnest(${numerics(positions)}) as position
    on conflict (${KEY}) do update set closed_as = excluded.closed_as, closed_at = excluded.closed_at
    where o.closed_as is null`
}

export function failedLateSql(
  { lateEventUnits }: CheckpointTables,
  unit: Unit,
  source: string,
  positions: readonly string[],
  error: string,
): string {
  return `update ${lateEventUnits} o set failures = failures + 1, error = ${quoteLiteral(error)}
    where ${isUnitSql('o', unit)} and source = ${quoteLiteral(source)} and position = any (${numerics(positions)})
      and closed_as is null`
}

/** As `toListedLate` takes them. */
export function listLateSql(
  { lateEvents, lateEventUnits, checkpoints }: CheckpointTables,
  { source, projection, state, from, to }: LateFilter,
  limit: number,
): string {
  const conditions = [
    'true',
    ...(source === undefined ? [] : [`l.source = ${quoteLiteral(source)}`]),
    ...(from === undefined ? [] : [`l.position >= ${numeric(from)}`]),
    ...(to === undefined ? [] : [`l.position <= ${numeric(to)}`]),
    ...(projection === undefined && state === undefined ? [] : ['of.units is not null']),
  ]
  const ofUnits = [
    hasPassedSql('l.source', 'l.position'),
    ...(projection === undefined ? [] : [`c.projection = ${quoteLiteral(projection)}`]),
    ...(state === undefined ? [] : [`coalesce(o.closed_as, 'open') = ${quoteLiteral(state)}`]),
  ]
  return `select l.source, l.position::text as position, l.type, l.passed_as as passed,
      ${msSql('l.passed_at')} as "passedAtMs", ${msSql('l.found_at')} as "foundAtMs", of.units
    from ${lateEvents} l
    cross join lateral (
      select json_agg(json_build_object('projection', c.projection, 'version', c.version, 'from', c.slot_from,
        'to', c.slot_to, 'state', coalesce(o.closed_as, 'open'), 'who', coalesce(o.closed_by, o.asked_by),
        'why', coalesce(o.closed_why, o.asked_why), 'failures', coalesce(o.failures, 0), 'error', o.error,
        'closedAtMs', ${msSql('o.closed_at')}) order by c.projection, c.version, c.slot_from)::text as units
      from ${checkpoints} c
      left join ${lateEventUnits} o on ${isSameSql('o', 'c')} and o.source = l.source and o.position = l.position
      where ${ofUnits.join(' and ')}
    ) as of
    where ${conditions.join(' and ')}
    order by l.position desc limit ${integerSql(limit)}`
}

export function toListedLate(row: Row): ListedLate {
  const passedAtMs = textOf(row.passedAtMs)
  return {
    source: String(row.source),
    position: String(row.position),
    type: textOf(row.type),
    passed: row.passed === 'proven_empty' ? 'proven_empty' : 'without_proof',
    passedAtMs: passedAtMs === undefined ? undefined : Number(passedAtMs),
    foundAtMs: Number(row.foundAtMs),
    units: parsed<StoredOfUnit>(row.units).map(toLateOfUnit),
  }
}

interface StoredOfUnit {
  readonly projection: string
  readonly version: number
  readonly from: number
  readonly to: number
  readonly state: LateState
  readonly who: string | null
  readonly why: string | null
  readonly failures: number
  readonly error: string | null
  readonly closedAtMs: string | null
}

function toLateOfUnit(stored: StoredOfUnit): LateOfUnit {
  const { projection, version, from, to, state, who, why, failures, error, closedAtMs } = stored
  return {
    unit: { projection, version, slots: { from, to } },
    state,
    decision: who === null ? undefined : { who, why: why ?? '' },
    failures,
    error: error ?? undefined,
    closedAtMs: closedAtMs === null ? undefined : Number(closedAtMs),
  }
}

/** Whether two rows are of one unit. */
export const isSameSql = (a: string, b: string): string =>
  ['projection', 'version', 'slot_from', 'slot_to'].map((key) => `${a}.${key} = ${b}.${key}`).join(' and ')

export const numeric = (position: string): string => `${quoteLiteral(position)}::numeric`
const numerics = (positions: readonly string[]): string => `${quoteTexts(positions)}::numeric[]`
const intervalSql = (ms: number): string => `${integerSql(Math.ceil(ms))} * interval '1 ms'`
