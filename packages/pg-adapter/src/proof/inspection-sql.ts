import { quoteLiteral, quoteTexts } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { fingerprintSql, namedSequenceSql } from './fingerprint.ts'

/** `nextval('name'::regclass)`, perhaps cast to a smaller integer. */
const NUMBER_ALONE = String.raw`^\(?(pg_catalog\.)?nextval\('([^']|'')*'::regclass\)\)?(::(bigint|integer|smallint))?$`

/**
 * The catalog in one statement, as JSON: the facts that `inspection.ts` parses.
 *
 * A partition or child of a table with an identity column that has no sequence of its own takes numbers from the
 * parent's (17 and later) or from none (before). The named sequence counts only where the column has neither.
 */
export function inspectionSql(options: ResolvedPostgresEventsOptions<unknown>): string {
  const { sql, position, columns, eventType, where, appendedAt } = options
  const named = [
    ...(columns ?? []),
    ...Object.keys(where),
    ...[eventType, appendedAt?.column].filter((column) => column !== undefined),
  ]
  const isEveryColumnRead = columns === undefined
  return `
with recursive target as (
  select to_regclass(${quoteLiteral(sql.table)})::oid as oid
),
family as (
  select oid, 0 as depth, null as attached_by, null as parent from target
  union
  select i.inhrelid, f.depth + 1, i.xmin::text, i.inhparent::text
  from pg_inherits i join family f on i.inhparent = f.oid and not i.inhdetachpending
),
relation as (
  select f.oid, f.depth, f.attached_by, f.parent, c.xmin::text as altered_by,
    has_table_privilege(f.oid, 'SELECT') and has_schema_privilege(n.oid, 'USAGE') and not row_security_active(f.oid) as may_read,
    format('%I.%I', n.nspname, c.relname) as name, c.relname, c.relkind, c.relpersistence, a.attnum,
    a.atttypid::regtype::text as position_type, a.attnotnull, a.attidentity <> '' as is_identity,
    ad.oid is not null as has_default, pg_get_expr(ad.adbin, ad.adrelid) as default_expression,
    array(
      select distinct d.objid::text from pg_depend d
      where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = f.oid
        and d.refobjsubid = a.attnum and d.deptype = 'i'
      union
      select d.refobjid::text from pg_depend d
      join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
      where d.classid = 'pg_attrdef'::regclass and d.objid = ad.oid and d.refclassid = 'pg_class'::regclass
    ) as sequences
  from family f
  join pg_class c on c.oid = f.oid
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_attribute a on a.attrelid = f.oid and a.attname = ${quoteLiteral(position)} and not a.attisdropped
  left join pg_attrdef ad on ad.adrelid = f.oid and ad.adnum = a.attnum
),
existing as (
  select a.attrelid, a.attnum, a.attname::text, a.atttypid from pg_attribute a
  where a.attrelid = (select oid from target) and a.attnum > 0 and not a.attisdropped
),
appended_at_type as (
  select t.oid, t.typbasetype from existing join pg_type t on t.oid = atttypid
  where attname = ${quoteLiteral(appendedAt?.column)}
  union
  select t.oid, t.typbasetype from appended_at_type d join pg_type t on t.oid = d.typbasetype
),
named_sequence as (
  select s.seqrelid as oid from pg_sequence s where s.seqrelid = ${namedSequenceSql(options)}
),
sequence as (
  select s.seqrelid, s.seqstart, s.seqincrement, s.seqcache, s.seqcycle, c.relpersistence, c.relfilenode,
    n.nspname, c.relname, c.relnamespace
  from pg_sequence s
  join pg_class c on c.oid = s.seqrelid
  join pg_namespace n on n.oid = c.relnamespace
  where s.seqrelid::text = (
    select case when cardinality(sequences) = 1 then sequences[1]
      when not has_default then (select oid::text from named_sequence) end
    from relation where depth = 0
  )
),
numbered as (
  select e.attname, format('%I.%I', n.nspname, s.relname) as sequence
  from existing e
  cross join lateral (
    select d.objid as oid from pg_depend d
    where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = e.attrelid
      and d.refobjsubid = e.attnum and d.deptype in ('i', 'a')
    union
    select d.refobjid from pg_attrdef ad
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = ad.oid and d.refclassid = 'pg_class'::regclass
    where ad.adrelid = e.attrelid and ad.adnum = e.attnum
  ) of_column
  join pg_class s on s.oid = of_column.oid and s.relkind = 'S'
  join pg_namespace n on n.oid = s.relnamespace
  where e.atttypid in ('bigint'::regtype, 'integer'::regtype, 'smallint'::regtype)
),
own_sequence as (
  select o.oid, min(format('%I.%I', n.nspname, s.relname)) as name
  from (
    select r.oid, s.oid as sequence
    from relation r
    join relation root on root.depth = 0 and starts_with(r.relname, root.relname || '_')
    cross join sequence named
    join pg_class s on s.relnamespace = named.relnamespace
      and s.relname = (named.relname || substr(r.relname, length(root.relname) + 1))::name
    where r.depth > 0
    union
    select r.oid, d.objid
    from relation r
    join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = r.oid and d.refobjsubid = r.attnum
      and d.classid = 'pg_class'::regclass and d.deptype = 'a'
    where r.depth > 0 and not r.has_default and not coalesce(r.is_identity, false)
  ) o
  join pg_class s on s.oid = o.sequence and s.relkind = 'S'
  join pg_namespace n on n.oid = s.relnamespace
  where s.oid <> (select seqrelid from sequence)
  group by o.oid
)
select json_strip_nulls(json_build_object(
  'serverVersion', current_setting('server_version_num')::int,
  'role', current_user,
  'inRecovery', pg_is_in_recovery(),
  'tableOid', (select oid::text from target),
  'rowSecurityActive', coalesce((select row_security_active(oid) from target), false),
  'missingColumns', array(
    select name from unnest(${quoteTexts(named)}) as named (name) where name not in (select attname from existing)
  ),
  'unreadableColumns', array(
    select attname from existing
    where (attname = ${quoteLiteral(position)} or attname = any (${quoteTexts(named)}) or ${isEveryColumnRead})
      and not has_column_privilege(attrelid, attnum, 'SELECT')
    order by attnum
  ),
  'appendedAtType', (select oid::regtype::text from appended_at_type where typbasetype = 0),
  'timeZone', now() at time zone ${quoteLiteral(appendedAt?.timeZone)}::text,
  'hasIndex', exists (
    select from pg_index i
    join pg_class ic on ic.oid = i.indexrelid
    join pg_am am on am.oid = ic.relam and am.amname = 'btree'
    join relation r on r.depth = 0 and r.oid = i.indrelid and i.indkey[0] = r.attnum
    where i.indisvalid and i.indpred is null
  ),
  'isPositionUnique', exists (
    select from pg_index i
    join relation r on r.depth = 0 and r.oid = i.indrelid and i.indkey[0] = r.attnum
    where i.indisvalid and i.indisunique and i.indnkeyatts = 1 and i.indpred is null
      and (r.relkind = 'p' or not exists (select from relation where depth > 0))
  ),
  'mayBeReadInPart', exists (
    select from pg_partitioned_table p
    join relation r on r.oid = p.partrelid and p.partstrat = 'r' and p.partattrs[0] = r.attnum
  ) or exists (
    select from relation r join relation p on p.oid::text = r.parent and p.relkind <> 'p'
  ),
  'numberedColumns', coalesce((
    select json_agg(json_build_object('column', attname, 'sequence', sequence) order by attname, sequence) from numbered
  ), '[]'),
  'hasCitus', to_regclass('pg_dist_partition') is not null,
  'relations', coalesce((
    select json_agg(json_build_object('oid', oid::text, 'attachedBy', attached_by, 'parent', parent,
      'alteredBy', altered_by, 'mayRead', may_read,
      'name', name, 'kind', relkind, 'persistence', relpersistence,
      'positionType', position_type, 'positionNotNull', coalesce(attnotnull, false), 'sequences', sequences,
      'isIdentity', coalesce(is_identity, false), 'ownSequence', (select o.name from own_sequence o where o.oid = relation.oid),
      'hasDefault', has_default, 'computedDefault', case
        when replace(default_expression, '"', '') !~ ${quoteLiteral(NUMBER_ALONE)} then default_expression
      end) order by depth, oid)
    from relation
  ), '[]'),
  'namedSequence', (select oid::text from named_sequence),
  'sequence', (
    select json_build_object('oid', seqrelid::text, 'name', format('%I.%I', nspname, relname),
      'relfilenode', relfilenode::text,
      'persistence', relpersistence, 'start', seqstart::text, 'increment', seqincrement::text,
      'cache', seqcache::text, 'cycle', seqcycle, 'mayRead', coalesce(has_sequence_privilege(seqrelid, 'SELECT'), false))
    from sequence
  ),
  'fingerprint', ${fingerprintSql('(select oid from target)', '(select seqrelid from sequence)', options)}
))::text as facts`
}
