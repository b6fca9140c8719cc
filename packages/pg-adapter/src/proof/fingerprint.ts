import { quoteLiteral, quoteName } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'

type Options = Pick<ResolvedPostgresEventsOptions<unknown>, 'position' | 'sequence' | 'table'>

/**
 * What decides which sequence fills the column, in one expression:
 * - the sequence's file (an identity that is dropped takes its sequence along), which sequence has the name that the option
 *   gives, and whether rows are hidden;
 * - of the table and of all that inherits from it: the oid, the transaction that attached it, its file, which column has the
 *   name now, whether it may be NULL, whether it is an identity, and the oid of its default (each SET DEFAULT makes a new one).
 *
 * A partition that DETACH ... CONCURRENTLY is still waiting to detach is shown to no query any more.
 *
 * Of the members a hash, since it travels with every poll: with 1,500 of them the text would have 50 kB. Cheap enough for
 * every poll: some 5 microseconds a member (`bench:scale`). The file is read from pg_class, not through a function, so that all
 * values share one snapshot.
 *
 * @param table - the table's oid, in SQL
 * @param sequence - the sequence's oid, in SQL
 */
export function fingerprintSql(table: string, sequence: string, options: Options): string {
  const { position } = options
  const named = namedSequenceSql(options)
  // One look into each catalog by an array of oids, no joins: PostgreSQL takes a recursion for large, and would read whole catalogs.
  const members = `concat_ws(' ',
      (select string_agg(concat_ws(':', f.oid, f.attached_by), ',' order by f.oid) from family f),
      (select string_agg(concat_ws(':', c.oid, c.relfilenode), ',' order by c.oid)
        from pg_class c where c.oid = any (array(select oid from family))),
      (select string_agg(concat_ws(':', a.attrelid, a.attnum, a.attnotnull, nullif(a.attidentity, ''),
            case when a.atthasdef then (select d.oid from pg_attrdef d where d.adrelid = a.attrelid and d.adnum = a.attnum) end
          ), ',' order by a.attrelid)
        from pg_attribute a where a.attrelid = any (array(select oid from family)) and a.attname = ${quoteLiteral(position)}))`
  return `concat_ws(' ', (select relfilenode from pg_class where oid = ${sequence}), ${named}, row_security_active(${table}), (
      ${familySql(table)}
      select encode(sha256(convert_to(${members}, 'UTF8')), 'hex')))`
}

/** The oid of what has the name that the option `sequence` gives, in SQL; NULL without the option. */
export function namedSequenceSql({ sequence, table }: Pick<Options, 'sequence' | 'table'>): string {
  if (sequence === undefined) return 'null::oid'
  const { schema = table.schema, name } = sequence
  return `to_regclass(${quoteLiteral(quoteName({ schema, name }))})::oid`
}

/** The table and all that inherits from it, with the transactions that attached them, in one expression. */
export function partitionsSql(table: string): string {
  return `(${familySql(table)}
    select string_agg(concat_ws(':', f.oid, f.attached_by), ',' order by f.oid) from family f)`
}

function familySql(table: string): string {
  return `with recursive family as (
        select ${table} as oid, null as attached_by
        union
        select i.inhrelid, i.xmin::text from pg_inherits i join family f on i.inhparent = f.oid and not i.inhdetachpending
      )`
}
