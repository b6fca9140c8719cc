import { withConnection } from '../client.ts'
import { quoteLiteral, quoteName } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { transact } from '../transaction.ts'

/**
 * The options, with the schema in which the search path finds the table now. Later it may find another table, whose
 * rows would be taken for the events: a connection keeps the search path and the temporary tables that somebody left on
 * it. If no permanent table is found the options stay as they are, and the inspection says so.
 */
export async function withTableSchema<E>(
  options: ResolvedPostgresEventsOptions<E>,
  signal: AbortSignal,
): Promise<ResolvedPostgresEventsOptions<E>> {
  const { pool, table, sql } = options
  if (table.schema !== undefined) return options
  const [found] = await withConnection(pool, signal, (client) =>
    transact(
      client,
      `select n.nspname::text as schema from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.oid = to_regclass(${quoteLiteral(sql.table)}) and c.relpersistence <> 't'`,
    ),
  )
  const schema = found?.rows[0]?.schema
  if (typeof schema !== 'string') return options
  const located = { schema, name: table.name }
  return Object.freeze({ ...options, table: located, sql: { ...sql, table: quoteName(located) } })
}
