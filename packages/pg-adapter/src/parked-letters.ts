import type { NewDeadLetter, Unit } from '@tidemark/core/adapter'
import { type CheckpointTables, integerSql, unitValuesSql } from './checkpoint-tables.ts'
import { quoteLiteral, quoteTexts } from './identifiers.ts'

export const TRANSACTION = 'pg_current_xact_id()::text as transaction'

/** Those of the keys that have an open letter: one step into an index for each, however many letters there are. */
export function parkedKeysSql(
  { deadLetters }: CheckpointTables,
  { projection, version }: Unit,
  keys: readonly string[],
): string {
  return `select k.key from unnest(${quoteTexts(keys)}) as k (key)
    cross join lateral (
      select from ${deadLetters} d
      where d.projection = ${quoteLiteral(projection)} and d.version = ${integerSql(version)} and d.key = k.key
        and d.open_id is not null
      order by d.open_id limit 1
    ) as first`
}

/**
 * Counts letters, and writes them, unless the handler has ended the transaction. The count is locked first: whoever closes the
 * last letter before them does that too, so that either it sees these, or they see that it is closed, and are asked for.
 */
export function parkSql(
  { deadLetters, deadLetterCounts }: CheckpointTables,
  unit: Unit,
  letters: readonly NewDeadLetter[],
  transaction: string,
): string {
  const { projection, version } = unit
  const of = `${quoteLiteral(projection)}, ${integerSql(version)}`
  const isSame = `pg_current_xact_id()::text = ${quoteLiteral(transaction)}`
  const rows = letters.map((letter, n) => `(${integerSql(n)}, ${valuesSql(letter)})`).join(',\n      ')
  const isFirst = `(row_number() over (partition by l.key order by l.n) = 1 and not exists (
        select from ${deadLetters} f
        where f.projection = ${quoteLiteral(projection)} and f.version = ${integerSql(version)} and f.key = l.key
          and f.open_id is not null))`
  return `insert into ${deadLetterCounts} as c (projection, version, open)
      select ${of}, ${integerSql(letters.length)} where ${isSame}
      on conflict (projection, version) do update set open = c.open + excluded.open;
    insert into ${deadLetters} (projection, version, slot_from, slot_to, source, first_position, last_position, events,
      event_types, stage, error, tries, key, node, retry_asked_at, retry_asked_by, retry_asked_why)
    select ${unitValuesSql(unit)}, l.source, l.first_position, l.last_position, l.events, l.event_types, l.stage, l.error, l.tries, l.key, l.node,
      case when ${isFirst} then clock_timestamp() end, case when ${isFirst} then 'tidemark' end,
      case when ${isFirst} then 'the one before it was closed meanwhile' end
    from (values ${rows})
      as l (n, source, first_position, last_position, events, event_types, stage, error, tries, key, node)
    where ${isSame}
    order by l.n`
}

function valuesSql(letter: NewDeadLetter): string {
  const { source, firstPosition, lastPosition, events, eventTypes, stage, error, tries, key, node } = letter
  return [
    ...[source, firstPosition, lastPosition].map(quoteLiteral),
    integerSql(events),
    quoteTexts(eventTypes),
    quoteLiteral(stage),
    `${quoteLiteral(JSON.stringify(error))}::json`,
    integerSql(tries),
    quoteLiteral(key),
    quoteLiteral(node),
  ].join(', ')
}
