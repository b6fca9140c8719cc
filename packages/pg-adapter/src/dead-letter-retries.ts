import type { LetterAsker, LetterChoice, LetterError, RetryState, Unit } from '@tidemark/core/adapter'
import { type CheckpointTables, isUnitSql, type Row } from './checkpoint-tables.ts'
import { COLUMNS, closingSql, idSql, idsSql, openSql } from './dead-letter-rows.ts'
import { quoteLiteral } from './identifiers.ts'

/** Asks for those of the chosen that stand first of their key; the ids of the chosen. Locked in one order, as they are closed. */
export function askSql(tables: CheckpointTables, choice: LetterChoice, asker: LetterAsker): string {
  const { deadLetters } = tables
  const chosen =
    'ids' in choice
      ? `select d.id from ${deadLetters} d where d.id = ${idsSql(choice.ids)} and d.closed_as is null`
      : openSql(tables, 'd.id', choice.filter, choice.page)
  return `with chosen as (${chosen}), first as (
      select d.id from ${deadLetters} d
      where d.id in (select id from chosen) and d.closed_as is null and d.retry_asked_at is null and ${isFirstSql(deadLetters)}
      order by d.id for update
    ), asked as (
      update ${deadLetters} d set ${askedSql(asker)} from first where d.id = first.id
    )
    select id::text as id from chosen order by chosen.id`
}

/** Of each key of which one of these was closed in this transaction, the one that stands first now is asked for. */
export function askBehindSql(
  { deadLetters }: CheckpointTables,
  ids: readonly string[],
  asker: LetterAsker,
): string {
  // One that is locked is being closed, or asked for: whoever does that asks for the next.
  return `update ${deadLetters} d set ${askedSql(asker)}
    from (
      select distinct l.projection, l.version, l.key from ${deadLetters} l
      where l.id = ${idsSql(ids)} and l.key is not null and l.closed_at >= now()
    ) as k
    cross join lateral (
      select f.id from ${deadLetters} f
      where f.projection = k.projection and f.version = k.version and f.key = k.key and f.open_id is not null
      order by f.open_id limit 1 for update skip locked
    ) as first
    where d.id = first.id and d.retry_asked_at is null`
}

/** The first that is asked for and stands first of its key, as `toDeadLetter` takes it. */
export function nextRetrySql({ deadLetters }: CheckpointTables, unit: Unit): string {
  return `select ${COLUMNS} from ${deadLetters} d
    where ${isUnitSql('d', unit)} and d.asked_id is not null and ${isFirstSql(deadLetters)}
    order by d.asked_id limit 1`
}

/** Locks it, and answers who has asked for it and in which transaction this is; no row where it is not to be retried. */
export function takeRetrySql({ deadLetters }: CheckpointTables, unit: Unit, id: string): string {
  return `select d.retry_asked_by as who, d.retry_asked_why as why, pg_current_xact_id()::text as transaction
    from ${deadLetters} d
    where d.id = ${idSql(id)} and ${isUnitSql('d', unit)} and d.asked_id is not null and ${isFirstSql(deadLetters)}
    for update`
}

/** Closes it and asks for the one behind it, unless the handler has ended the transaction in which it was taken. */
export function closeRetriedSql(
  tables: CheckpointTables,
  id: string,
  { who, why, transaction }: LetterAsker & { readonly transaction: string },
): string {
  const isSame = `pg_current_xact_id()::text = ${quoteLiteral(transaction)}`
  return `${closingSql(tables, [id], { as: 'retried', who, why }, isSame)}; ${askBehindSql(tables, [id], { who, why })}`
}

export function retryFailedSql(
  { deadLetters }: CheckpointTables,
  unit: Unit,
  id: string,
  error: LetterError,
): string {
  return `update ${deadLetters} d set tries = tries + 1, stage = case stage when 'parked' then 'handle' else stage end, error = ${quoteLiteral(JSON.stringify(error))}::json,
      retry_asked_at = null, retry_asked_by = null, retry_asked_why = null
    where d.id = ${idSql(id)} and ${isUnitSql('d', unit)} and d.asked_id is not null`
}

/** As `toRetryState` takes them. */
export function retryStatesSql({ deadLetters }: CheckpointTables, ids: readonly string[]): string {
  return `select d.id::text as id, coalesce(d.closed_as, case
      when d.asked_id is not null or first.asked_id is not null then 'asked'
      when first.id < d.id then 'behind' else 'open' end) as state
    from ${deadLetters} d
    left join lateral (
      select f.id, f.asked_id from ${deadLetters} f
      where f.projection = d.projection and f.version = d.version and f.key = d.key and f.open_id is not null
      order by f.open_id limit 1
    ) as first on true
    where d.id = ${idsSql(ids)} order by d.id`
}

export function toRetryState({ id, state }: Row): RetryState {
  return { id: String(id), state: state as RetryState['state'] }
}

/** Whether a retry is asked for of the unit in this row of `checkpoints`. */
export function isRetryAskedSql(row: string, { deadLetters }: CheckpointTables): string {
  return `exists (select from ${deadLetters} d
    where d.projection = ${row}.projection and d.version = ${row}.version
      and d.slot_from = ${row}.slot_from and d.slot_to = ${row}.slot_to and d.asked_id is not null)`
}

/** No other of its key is open and before it. */
function isFirstSql(deadLetters: string): string {
  return `(d.key is null or not exists (select from ${deadLetters} f
      where f.projection = d.projection and f.version = d.version and f.key = d.key and f.open_id < d.id))`
}

function askedSql({ who, why }: LetterAsker): string {
  return `retry_asked_at = clock_timestamp(), retry_asked_by = ${quoteLiteral(who)}, retry_asked_why = ${quoteLiteral(why)}`
}
