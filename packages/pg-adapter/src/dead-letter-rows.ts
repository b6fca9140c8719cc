import type {
  DeadLetter,
  LetterClosing,
  LetterFilter,
  LetterPage,
  NewDeadLetter,
  Unit,
} from '@tidemark/core/adapter'
import { msSql, textOf } from './checkpoint-rows.ts'
import { type CheckpointTables, integerSql, type Row } from './checkpoint-tables.ts'
import { quoteLiteral, quoteTexts } from './identifiers.ts'

/** Writes a letter, and counts it. */
export function burySql(
  { deadLetters, deadLetterCounts }: CheckpointTables,
  { projection, version }: Unit,
  letter: NewDeadLetter,
): string {
  const { source, firstPosition, lastPosition, events, eventTypes, stage, error, tries, key, node } = letter
  const of = `${quoteLiteral(projection)}, ${integerSql(version)}`
  return `with counted as (
      insert into ${deadLetterCounts} as c (projection, version, open) values (${of}, 1)
      on conflict (projection, version) do update set open = c.open + 1
    )
    insert into ${deadLetters} (projection, version, source, first_position, last_position, events, event_types, stage,
      error, tries, key, node)
    values (${of}, ${[source, firstPosition, lastPosition].map(quoteLiteral).join(', ')}, ${integerSql(events)},
      ${quoteTexts(eventTypes)}, ${quoteLiteral(stage)}, ${quoteLiteral(JSON.stringify(error))}::json,
      ${integerSql(tries)}, ${quoteLiteral(key)}, ${quoteLiteral(node)})`
}

/**
 * As `toDeadLetter` takes them. Open ones are taken projection by projection, each in the order of its index of open ones,
 * so that many that are closed are not looked through.
 */
export function listSql(
  { deadLetters, deadLetterCounts }: CheckpointTables,
  filter: LetterFilter,
  { after, limit }: LetterPage,
): string {
  const isOpen = filter.state === 'open'
  const id = isOpen ? 'd.open_id' : 'd.id'
  const conditions = [
    ...filterSql(isOpen ? 'c' : 'd', filter),
    ...(after === undefined ? [] : [`${id} > ${idSql(after)}`]),
  ]
  const page = `order by ${id} limit ${integerSql(limit)}`
  if (!isOpen) return `select ${COLUMNS} from ${deadLetters} d where ${conditions.join(' and ')} ${page}`
  return `select ${COLUMNS} from ${deadLetterCounts} c
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
const COLUMNS = `d.id::text as id, d.projection, d.version::text as version, d.source,
      d.first_position as "firstPosition", d.last_position as "lastPosition", d.events::text as events,
      to_json(d.event_types)::text as "eventTypes", d.stage, d.error::text as error, d.tries::text as tries, d.key, d.node,
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

/** Closes those of them that are open, and counts them out; their ids. Locked in one order, so that no two wait for each other. */
export function closeSql(
  { deadLetters, deadLetterCounts }: CheckpointTables,
  ids: readonly string[],
  { as, who, why }: LetterClosing,
): string {
  return `with found as (
      select d.id from ${deadLetters} d
      where d.id = any (array[${ids.map(idSql).join(', ')}]::bigint[]) and d.closed_as is null
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
  const { closedAs, closedWhy, closedBy, closedAtMs } = row
  return {
    id: String(row.id),
    projection: String(row.projection),
    version: Number(row.version),
    source: String(row.source),
    firstPosition: String(row.firstPosition),
    lastPosition: String(row.lastPosition),
    events: Number(row.events),
    eventTypes: JSON.parse(String(row.eventTypes)),
    stage: row.stage === 'map' ? 'map' : 'handle',
    error: JSON.parse(String(row.error)),
    tries: Number(row.tries),
    key: textOf(row.key),
    node: String(row.node),
    buriedAtMs: Number(row.buriedAtMs),
    closed:
      closedAs === null || closedAs === undefined
        ? undefined
        : {
            as: closedAs === 'resolved' ? 'resolved' : 'discarded',
            who: String(closedBy),
            why: String(closedWhy),
            atMs: Number(closedAtMs),
          },
  }
}

/** An id that this store never gave is that of no letter. */
function idSql(id: string): string {
  return /^\d{1,18}$/.test(id) ? id : '0'
}
