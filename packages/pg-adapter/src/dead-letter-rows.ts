import type {
  DeadLetter,
  LetterClosing,
  LetterFilter,
  LetterPage,
  NewDeadLetter,
  Unit,
} from '@tidemark/core/adapter'
import { msSql, textOf } from './checkpoint-rows.ts'
import { type CheckpointTables, integerSql, type Row, unitValuesSql } from './checkpoint-tables.ts'
import { quoteLiteral, quoteTexts } from './identifiers.ts'

/** Writes a letter, and counts it. */
export function burySql(
  { deadLetters, deadLetterCounts }: CheckpointTables,
  unit: Unit,
  letter: NewDeadLetter,
): string {
  const { projection, version } = unit
  const {
    source,
    firstPosition,
    lastPosition,
    events,
    eventTypes,
    stage,
    error,
    tries,
    key,
    node,
    skippedBy,
  } = letter
  const of = `${quoteLiteral(projection)}, ${integerSql(version)}`
  return `with counted as (
      insert into ${deadLetterCounts} as c (projection, version, open) values (${of}, 1)
      on conflict (projection, version) do update set open = c.open + 1
    )
    insert into ${deadLetters} (projection, version, slot_from, slot_to, source, first_position, last_position, events,
      event_types, stage, error, tries, key, node, skipped_by, skipped_why)
    values (${unitValuesSql(unit)}, ${[source, firstPosition, lastPosition].map(quoteLiteral).join(', ')}, ${integerSql(events)},
      ${quoteTexts(eventTypes)}, ${quoteLiteral(stage)}, ${quoteLiteral(JSON.stringify(error))}::json,
      ${integerSql(tries)}, ${[key, node, skippedBy?.who, skippedBy?.why].map(quoteLiteral).join(', ')})`
}

/**
 * As `toDeadLetter` takes them. Open ones are taken projection by projection, each in the order of its index of open ones,
 * so that many that are closed are not looked through.
 */
export function listSql(tables: CheckpointTables, filter: LetterFilter, page: LetterPage): string {
  if (filter.state === 'open') return openSql(tables, COLUMNS, filter, page)
  const { after, limit } = page
  const conditions = [
    ...filterSql('d', filter),
    ...(after === undefined ? [] : [`d.id > ${idSql(after)}`]),
  ].join(' and ')
  return `select ${COLUMNS} from ${tables.deadLetters} d where ${conditions} order by d.id limit ${integerSql(limit)}`
}

/** Those columns of a page of open ones. */
export function openSql(
  { deadLetters, deadLetterCounts }: CheckpointTables,
  columns: string,
  filter: Omit<LetterFilter, 'state'>,
  { after, limit }: LetterPage,
): string {
  const conditions = [
    ...filterSql('c', { ...filter, state: 'open' }),
    ...(after === undefined ? [] : [`d.open_id > ${idSql(after)}`]),
  ]
  const page = `order by d.open_id limit ${integerSql(limit)}`
  return `select ${columns} from ${deadLetterCounts} c
    cross join lateral (
      select * from ${deadLetters} d
      where d.projection = c.projection and d.version = c.version and ${conditions.join(' and ')} ${page}
    ) as d
    where c.open > 0 ${page}`
}

/** The one of this id, as `toDeadLetter` takes it. */
export function findSql({ deadLetters }: CheckpointTables, id: string): string {
  return `select ${COLUMNS} from ${deadLetters} d where d.id = ${idSql(id)}`
}

/** Each as text, whatever parsers the pool has. */
export const COLUMNS: string = `d.id::text as id, d.projection, d.version::text as version, d.source,
      d.first_position as "firstPosition", d.last_position as "lastPosition", d.events::text as events,
      to_json(d.event_types)::text as "eventTypes", d.stage, d.error::text as error, d.tries::text as tries, d.key, d.node,
      d.skipped_by as "skippedBy", d.skipped_why as "skippedWhy",
      d.retry_asked_by as "retryAskedBy", d.retry_asked_why as "retryAskedWhy", ${msSql('d.retry_asked_at')} as "retryAskedAtMs",
      ${msSql('d.buried_at')} as "buriedAtMs", d.closed_as as "closedAs", d.closed_by as "closedBy",
      d.closed_why as "closedWhy", ${msSql('d.closed_at')} as "closedAtMs"`

/** @param row - what has the projection and its version: the letter, or the count of its open ones */
function filterSql(
  row: 'c' | 'd',
  { projection, version, state, eventType }: LetterFilter,
): readonly string[] {
  return [
    state === 'open' ? 'd.open_id is not null' : state ? `d.closed_as = ${quoteLiteral(state)}` : 'true',
    ...(projection === undefined ? [] : [`${row}.projection = ${quoteLiteral(projection)}`]),
    ...(version === undefined ? [] : [`${row}.version = ${integerSql(version)}`]),
    ...(eventType === undefined ? [] : [`${quoteLiteral(eventType)} = any (d.event_types)`]),
  ]
}

/**
 * Closes those of them that are open, and counts them out; their ids. Locked in one order, so that no two wait for each other.
 *
 * @param condition - without it none is closed
 */
export function closingSql(
  { deadLetters, deadLetterCounts }: CheckpointTables,
  ids: readonly string[],
  { as, who, why }: LetterClosing,
  condition = 'true',
): string {
  return `with found as (
      select d.id from ${deadLetters} d
      where d.id = ${idsSql(ids)} and d.closed_as is null and ${condition}
      order by d.id for update
    ), closed as (
      update ${deadLetters} d set closed_as = ${quoteLiteral(as)}, closed_why = ${quoteLiteral(why)},
        closed_by = ${quoteLiteral(who)}, closed_at = clock_timestamp()
      from found where d.id = found.id
      returning d.id, d.projection, d.version
    ), counted as (
      update ${deadLetterCounts} c set open = c.open - l.closed
      from (select projection, version, count(*) as closed from closed group by projection, version) l
      where c.projection = l.projection and c.version = l.version
    )
    select id::text as id from closed order by closed.id`
}

/** The open letters of one version become those of another, and are counted there. Locked as by `closingSql`. */
export function handOverSql(
  { deadLetters, deadLetterCounts }: CheckpointTables,
  from: Unit,
  to: Unit,
): string {
  const isOf = (row: string, { projection, version }: Unit): string =>
    `${row}.projection = ${quoteLiteral(projection)} and ${row}.version = ${integerSql(version)}`
  return `with found as (
      select d.id from ${deadLetters} d where ${isOf('d', from)} and d.open_id is not null order by d.id for update
    ), moved as (
      update ${deadLetters} d set version = ${integerSql(to.version)} from found where d.id = found.id returning d.id
    ), counted as (
      update ${deadLetterCounts} c set open = c.open - m.letters
      from (select count(*) as letters from moved) m where ${isOf('c', from)}
    )
    insert into ${deadLetterCounts} as c (projection, version, open)
    select ${quoteLiteral(to.projection)}, ${integerSql(to.version)}, count(*) from moved having count(*) > 0
    on conflict (projection, version) do update set open = c.open + excluded.open`
}

/** The count is kept as letters come and go, and the oldest is the first of an index of the open ones. */
export function countsSql({ deadLetters, deadLetterCounts }: CheckpointTables): string {
  return `select c.projection, c.version::text as version, c.open::text as open, ${msSql('oldest.buried_at')} as "oldestAtMs"
    from ${deadLetterCounts} c
    cross join lateral (
      select d.buried_at from ${deadLetters} d
      where d.projection = c.projection and d.version = c.version and d.open_id is not null
      order by d.open_id limit 1
    ) as oldest
    where c.open > 0`
}

export function toDeadLetter(row: Row): DeadLetter {
  const {
    skippedBy,
    skippedWhy,
    closedAs,
    closedWhy,
    closedBy,
    closedAtMs,
    retryAskedBy,
    retryAskedWhy,
    retryAskedAtMs,
  } = row
  return {
    id: String(row.id),
    projection: String(row.projection),
    version: Number(row.version),
    source: String(row.source),
    firstPosition: String(row.firstPosition),
    lastPosition: String(row.lastPosition),
    events: Number(row.events),
    eventTypes: JSON.parse(String(row.eventTypes)),
    stage: row.stage as DeadLetter['stage'],
    error: JSON.parse(String(row.error)),
    tries: Number(row.tries),
    key: textOf(row.key),
    node: String(row.node),
    skippedBy:
      textOf(skippedBy) === undefined ? undefined : { who: String(skippedBy), why: String(skippedWhy) },
    buriedAtMs: Number(row.buriedAtMs),
    retryAsked:
      textOf(retryAskedAtMs) === undefined
        ? undefined
        : { who: String(retryAskedBy), why: String(retryAskedWhy), atMs: Number(retryAskedAtMs) },
    closed:
      closedAs === null || closedAs === undefined
        ? undefined
        : {
            as: closedAs as LetterClosing['as'],
            who: String(closedBy),
            why: String(closedWhy),
            atMs: Number(closedAtMs),
          },
  }
}

/** An id that this store never gave is that of no letter. */
export function idSql(id: string): string {
  return /^\d{1,18}$/.test(id) ? id : '0'
}

/** Any of those. */
export function idsSql(ids: readonly string[]): string {
  return `any (array[${ids.map(idSql).join(', ')}]::bigint[])`
}
