import type { KeySlots } from '@tidemark/core/adapter'
import { withConnection } from '../client.ts'
import { PostgresConditionError } from '../errors.ts'
import { quoteIdentifier, quoteLiteral } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import type { Bind } from '../statement.ts'
import { transact } from '../transaction.ts'

/**
 * The condition on a row of `e` that its key has one of these slots, with `and` before it; nothing where none are given. It is one
 * comparison, of distances from the middle, so that the hash is computed once. And PostgreSQL takes it for true of a third of the rows, so
 * that it reads them in order until a page is full. Two it would take for true of one row in 200, and would look through all.
 */
export function ofSlotsSql(slots: KeySlots | undefined, bind: Bind): string {
  if (slots === undefined) return ''
  const { column, from, to } = slots
  const slot = slotSql(`e.${quoteIdentifier(column)}`)
  return ` and abs(2 * ${slot} - ${bind('int', String(from + to))}) <= ${bind('int', String(to - from))}`
}

/** The slot of a value, as `slotOf` of core has it. */
export function slotSql(value: string): string {
  const bytes = `substr(sha256(convert_to(${value}::text, 'UTF8')), 1, 2)`
  return `coalesce(('x' || encode(${bytes}, 'hex'))::bit(16)::int & 1023, 0)`
}

/** Their text is the same on each server, under each setting, for ever. */
const KEY_TYPES = ['text', 'varchar', 'uuid', 'int2', 'int4', 'int8']

/** Throws where there is no such column, or where its values may have another text one day. */
export async function requireKeyColumns(
  { pool, sql }: Pick<ResolvedPostgresEventsOptions<unknown>, 'pool' | 'sql'>,
  columns: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  if (columns.length === 0) return
  const results = await withConnection(pool, signal, (client) => transact(client, typesSql(sql.table)))
  const types = new Map(
    results.flatMap(({ rows }) => rows).map(({ column, type, shown }) => [String(column), { type, shown }]),
  )
  for (const column of columns) {
    const found = types.get(column)
    if (found !== undefined && KEY_TYPES.includes(String(found.type))) continue
    const what = found === undefined ? 'it has no such column' : `it is of type ${String(found.shown)}`
    throw new PostgresConditionError(
      'key_column',
      `shardBy: ${sql.table}.${quoteIdentifier(column)}: ${what}; it has to be text, varchar, uuid, smallint, integer or bigint, ` +
        'whose values have the same text on every server: name another column, or give the projection keyOf instead',
    )
  }
}

/** Of a domain, what it is made of. */
function typesSql(table: string): string {
  return `select a.attname as "column", b.typname as type, format_type(a.atttypid, a.atttypmod) as shown
    from pg_attribute a
    join pg_type t on t.oid = a.atttypid
    join pg_type b on b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
    where a.attrelid = ${quoteLiteral(table)}::regclass and a.attnum > 0 and not a.attisdropped
      and b.typnamespace = 'pg_catalog'::regnamespace`
}
