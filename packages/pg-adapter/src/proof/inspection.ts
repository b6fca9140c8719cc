import { type BoundedClient, withConnection } from '../client.ts'
import { PostgresConditionError, sqlState } from '../errors.ts'
import { quoteIdentifier, quoteLiteral, quoteTexts } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { manyResults, transactUnlessLocked } from '../transaction.ts'
import { fingerprintSql } from './fingerprint.ts'

/** The catalog's word on a table and the sequence behind its position, as `conditions.ts` judges it. */
export interface Inspection {
  readonly tableOid: string
  readonly serverVersion: number
  /** Who asks: `current_user`. */
  readonly role: string
  readonly inRecovery: boolean
  readonly rowSecurityActive: boolean
  /** Columns that the options name and the table lacks. */
  readonly missingColumns: readonly string[]
  /** Columns to be read that this role may not read. */
  readonly unreadableColumns: readonly string[]
  /** The type of the column `appendedAt`, below any domain; `undefined`: no such column was asked for or found. */
  readonly appendedAtType?: string
  readonly hasIndex: boolean
  /** An index makes sure that no two rows of the table have one position. */
  readonly isPositionUnique: boolean
  /** The table's integer columns that belong to a sequence: by an identity, a default, or OWNED BY alone. */
  readonly numberedColumns: readonly NumberedColumn[]
  readonly isCitusTable: boolean
  /** The table, its partitions and whatever inherits from it; the table first. */
  readonly relations: readonly InspectedRelation[]
  readonly sequence: InspectedSequence | undefined
  /** What the catalog said of the column when all this was read; each poll asks again and compares. */
  readonly fingerprint: string
}

interface NumberedColumn {
  readonly column: string
  /** With its schema, quoted where it needs it. */
  readonly sequence: string
}

export interface InspectedRelation {
  readonly oid: string
  /** The transaction that made it a member; absent for the table itself. */
  readonly attachedBy?: string
  /** The oid of what it was attached to; absent for the table itself. */
  readonly parent?: string
  /** The last transaction that altered it, or gave it another file. */
  readonly alteredBy: string
  /** Whether it may be read by itself, and shows all of its rows. */
  readonly mayRead: boolean
  /** With its schema, quoted where it needs it. */
  readonly name: string
  readonly kind: string
  readonly persistence: string
  /** `undefined`: it has no such column. */
  readonly positionType?: string
  readonly positionNotNull: boolean
  /** The sequences that fill its position: an identity's own, or those that its default calls. */
  readonly sequences: readonly string[]
  /** The column is an identity of this very table. */
  readonly isIdentity: boolean
  /**
   * Of a partition: a sequence that it seems to take its numbers from, other than its parent's: one that its position owns
   * while it has no default, or one named after it (Marten's `mt_events_sequence_a` beside `mt_events_a`).
   */
  readonly ownSequence?: string
  /** A default fills the column, whether or not the catalog knows from which sequence. */
  readonly hasDefault: boolean
  /** Its default, where that is not `nextval` of one sequence alone. */
  readonly computedDefault?: string
}

export interface InspectedSequence {
  readonly oid: string
  /** With its schema, quoted where it needs it. */
  readonly name: string
  readonly relfilenode: string
  readonly persistence: string
  readonly start: bigint
  readonly increment: string
  readonly cache: string
  readonly cycle: boolean
  readonly mayRead: boolean
}

/** Reads the catalog in one statement, so that fingerprint and facts are of one moment. */
export async function inspect(
  options: ResolvedPostgresEventsOptions<unknown>,
  signal: AbortSignal,
): Promise<Inspection> {
  return await withConnection(options.pool, signal, async (client) => {
    const facts = await readFacts(client, options)
    const tableOid = requireTableOid(facts, options)
    return toInspection(facts, tableOid, facts.hasCitus && (await isDistributed(client, tableOid)))
  })
}

/** What a poll read with `inspectionSql`; `undefined` where that cannot tell all: it takes a look of its own. */
export function parseInspection(
  json: string,
  options: ResolvedPostgresEventsOptions<unknown>,
): Inspection | undefined {
  const facts = JSON.parse(json) as Facts
  const tableOid = requireTableOid(facts, options)
  return facts.hasCitus ? undefined : toInspection(facts, tableOid, false)
}

function toInspection(
  { hasCitus, sequence, ...facts }: Facts,
  tableOid: string,
  isCitusTable: boolean,
): Inspection {
  return {
    ...facts,
    tableOid,
    isCitusTable,
    sequence: sequence && { ...sequence, start: BigInt(sequence.start) },
  }
}

function requireTableOid({ tableOid }: Facts, options: ResolvedPostgresEventsOptions<unknown>): string {
  if (tableOid !== undefined) return tableOid
  throw new PostgresConditionError(
    'table_exists',
    options.table.schema === undefined
      ? `table: no table ${options.sql.table} on the search path of this role; ` +
          'name it with its schema, as schema.table, case included'
      : `table: no table ${options.sql.table} in this database; look whether it was renamed or dropped, and whether ` +
          'schema and table are written as the database has them, case included',
  )
}

async function readFacts(
  client: BoundedClient,
  options: ResolvedPostgresEventsOptions<unknown>,
): Promise<Facts> {
  try {
    // Printing a default locks its table on 18, which may wait for DDL.
    const [read] = await transactUnlessLocked(client, inspectionSql(options))
    return JSON.parse(String(read?.rows[0]?.facts)) as Facts
  } catch (error) {
    if (sqlState(error) === INVALID_PARAMETER_VALUE) {
      throw new PostgresConditionError(
        'appended_at',
        `appendedAt: the server does not know the time zone ${options.appendedAt?.timeZone}: ${String(error)}`,
        { cause: error },
      )
    }
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error
    const role = await readRole(client)
    throw new PostgresConditionError(
      'table_privilege',
      `${options.sql.table} cannot be looked up: ${String(error)}; run\n` +
        `  GRANT USAGE ON SCHEMA ${quoteIdentifier(options.table.schema ?? 'public')} TO ${quoteIdentifier(role)};`,
      { cause: error },
    )
  }
}

/** After a statement that has failed. */
async function readRole(client: BoundedClient): Promise<string> {
  const results = await client.query('rollback; select current_user as role')
  return String(manyResults(results).at(-1)?.rows[0]?.role)
}

const INSUFFICIENT_PRIVILEGE = '42501'
/** What AT TIME ZONE says to a name that it does not know. */
const INVALID_PARAMETER_VALUE = '22023'

/** `Inspection` as JSON can tell it. */
interface Facts extends Omit<Inspection, 'tableOid' | 'isCitusTable' | 'sequence'> {
  /** `undefined`: there is no such table. */
  readonly tableOid?: string
  readonly hasCitus: boolean
  readonly sequence?: Omit<InspectedSequence, 'start'> & { readonly start: string }
}

/** https://docs.citusdata.com: `pg_dist_partition` lists the distributed tables. */
async function isDistributed(client: BoundedClient, tableOid: string): Promise<boolean> {
  const [found] = await transactUnlessLocked(
    client,
    `select exists (
       select from pg_dist_partition where logicalrelid = ${quoteLiteral(tableOid)}::oid
     )::text as distributed`,
  )
  return found?.rows[0]?.distributed === 'true'
}

/** `nextval('name'::regclass)`, perhaps cast to a smaller integer. */
const NUMBER_ALONE = String.raw`^\(?(pg_catalog\.)?nextval\('([^']|'')*'::regclass\)\)?(::(bigint|integer|smallint))?$`

/**
 * A partition or child of a table with an identity column that has no sequence of its own takes numbers from the
 * parent's (17 and later) or from none (before).
 */
export function inspectionSql({
  sql,
  position,
  columns,
  eventType,
  appendedAt,
}: ResolvedPostgresEventsOptions<unknown>): string {
  const named = [
    ...(columns ?? []),
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
sequence as (
  select s.seqrelid, s.seqstart, s.seqincrement, s.seqcache, s.seqcycle, c.relpersistence, c.relfilenode,
    n.nspname, c.relname, c.relnamespace
  from pg_sequence s
  join pg_class c on c.oid = s.seqrelid
  join pg_namespace n on n.oid = c.relnamespace
  where s.seqrelid::text = (select sequences[1] from relation where depth = 0 and cardinality(sequences) = 1)
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
  'sequence', (
    select json_build_object('oid', seqrelid::text, 'name', format('%I.%I', nspname, relname),
      'relfilenode', relfilenode::text,
      'persistence', relpersistence, 'start', seqstart::text, 'increment', seqincrement::text,
      'cache', seqcache::text, 'cycle', seqcycle, 'mayRead', coalesce(has_sequence_privilege(seqrelid, 'SELECT'), false))
    from sequence
  ),
  'fingerprint', ${fingerprintSql('(select oid from target)', '(select seqrelid from sequence)', position)}
))::text as facts`
}
