import { type PgClient, type PgPool, type PgResult, withConnection } from './client.ts'
import { PostgresConditionError, sqlState } from './errors.ts'
import { quoteLiteral } from './identifiers.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'

/** The catalog's word on a table and the sequence behind its position, as `conditions.ts` judges it. */
export interface Inspection {
  readonly serverVersion: number
  readonly inRecovery: boolean
  readonly tableOid: string
  readonly rowSecurityActive: boolean
  /** Columns that the options name and the table lacks. */
  readonly missingColumns: readonly string[]
  /** Columns to be read that this role may not read. */
  readonly unreadableColumns: readonly string[]
  readonly hasIndex: boolean
  readonly isCitusTable: boolean
  /** The table, its partitions and whatever inherits from it; the table first. */
  readonly relations: readonly InspectedRelation[]
  readonly sequence: InspectedSequence | undefined
  /** What the catalog says of the column now; each poll asks again and compares. */
  readonly fingerprint: string
}

export interface InspectedRelation {
  readonly name: string
  readonly kind: string
  readonly persistence: string
  /** `undefined`: it has no such column. */
  readonly positionType: string | undefined
  readonly positionNotNull: boolean
  /** The sequences that fill its position: an identity's own, or those that its default calls. */
  readonly sequences: readonly string[]
  /** A default fills the column, whether or not the catalog knows from which sequence. */
  readonly hasDefault: boolean
}

export interface InspectedSequence {
  readonly oid: string
  readonly name: string
  readonly quotedName: string
  readonly relfilenode: string
  readonly persistence: string
  readonly start: bigint
  readonly increment: string
  readonly cache: string
  readonly cycle: boolean
  readonly mayRead: boolean
}

/** Reads the catalog in one statement. */
export async function inspect(
  options: ResolvedPostgresEventsOptions<unknown>,
  signal: AbortSignal,
): Promise<Inspection> {
  return await withConnection(options.pool, signal, async (client) => {
    const facts = await readFacts(client, options)
    if (facts.table_oid == null) {
      throw new PostgresConditionError(
        'table_exists',
        `table: no table ${options.sql.table} on the search path of this role; ` +
          'name it with its schema, as schema.table, case included',
      )
    }
    return {
      ...toInspection(facts),
      isCitusTable: facts.has_citus && (await isDistributed(client, facts.table_oid)),
      fingerprint: await readFingerprint(client, options, facts),
    }
  })
}

/**
 * Whether `pg_locks` shows a lock that this very transaction holds, as it does in PostgreSQL: stubs and other lock
 * models do not. `pg_sequence_last_value` takes the lock that `nextval` takes, on every major, and needs no more than
 * SELECT.
 */
export async function showsOwnSequenceLock(
  pool: PgPool,
  sequenceOid: string,
  signal: AbortSignal,
): Promise<boolean> {
  return await withConnection(pool, signal, async (client) => {
    const results = await client.query(`
      begin isolation level read committed;
      select pg_sequence_last_value(${sequenceOid}::oid::regclass)::text;
      select exists (
        select from pg_locks
        where locktype = 'relation' and relation = ${sequenceOid}::oid and mode = 'RowExclusiveLock'
          and granted and pid = pg_backend_pid()
      )::text as "shown";
      commit
    `)
    return manyResults(results).some((result) => result.rows[0]?.shown === 'true')
  })
}

/** node-postgres returns an array where a message holds several statements. */
export function manyResults(results: PgResult | readonly PgResult[]): readonly PgResult[] {
  return Array.isArray(results) ? results : [results as PgResult]
}

/**
 * What decides which sequence fills the column, in one expression: the table's oid, the oid of the column's default or
 * the identity's sequence, the sequence's file, the children of the table, and whether rows are hidden. Cheap enough for every poll.
 */
export function fingerprintSql(options: ResolvedPostgresEventsOptions<unknown>, sequenceOid: string): string {
  const table = `to_regclass(${quoteLiteral(options.sql.table)})`
  const column = `(select attnum from pg_attribute where attrelid = ${table} and attname = ${quoteLiteral(options.position)})`
  return `concat_ws(' ', ${table}::oid,
      (select oid from pg_attrdef where adrelid = ${table} and adnum = ${column}),
      (select objid from pg_depend where refclassid = 'pg_class'::regclass and refobjid = ${table}
        and refobjsubid = ${column} and classid = 'pg_class'::regclass and deptype = 'i'),
      (select relfilenode from pg_class where oid = ${sequenceOid}::oid),
      (select string_agg(inhrelid::text, ',' order by inhrelid) from pg_inherits where inhparent = ${table}),
      row_security_active(${table}::oid))`
}

async function readFacts(
  client: PgClient,
  { sql, position, columns, eventType, appendedAt }: ResolvedPostgresEventsOptions<unknown>,
): Promise<Facts> {
  const named = [...(columns ?? []), ...[eventType, appendedAt].filter((column) => column !== undefined)]
  try {
    const { rows } = await client.query(INSPECTION_SQL, [sql.table, position, named, columns === undefined])
    return JSON.parse(String(rows[0]?.facts)) as Facts
  } catch (error) {
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error
    throw new PostgresConditionError(
      'table_privilege',
      `${sql.table} cannot be looked up: ${String(error)}; GRANT USAGE ON SCHEMA to the role`,
      { cause: error },
    )
  }
}

const INSUFFICIENT_PRIVILEGE = '42501'

async function readFingerprint(
  client: PgClient,
  options: ResolvedPostgresEventsOptions<unknown>,
  facts: Facts,
): Promise<string> {
  const { rows } = await client.query(
    `select ${fingerprintSql(options, facts.sequence?.oid ?? '0')} as fingerprint`,
  )
  return String(rows[0]?.fingerprint)
}

interface Facts {
  readonly server_version: number
  readonly in_recovery: boolean
  readonly table_oid: string | null
  readonly row_security_active: boolean
  readonly missing_columns: readonly string[]
  readonly unreadable_columns: readonly string[]
  readonly has_index: boolean
  readonly has_citus: boolean
  readonly relations: readonly {
    readonly name: string
    readonly kind: string
    readonly persistence: string
    readonly position_type: string | null
    readonly position_not_null: boolean | null
    readonly sequences: readonly string[] | null
    readonly has_default: boolean
  }[]
  readonly sequence: {
    readonly oid: string
    readonly name: string
    readonly quoted_name: string
    readonly relfilenode: string
    readonly persistence: string
    readonly start: string
    readonly increment: string
    readonly cache: string
    readonly cycle: boolean
    readonly may_read: boolean | null
  } | null
}

/** https://docs.citusdata.com: `pg_dist_partition` lists the distributed tables. */
async function isDistributed(client: PgClient, tableOid: string): Promise<boolean> {
  const { rows } = await client.query(
    'select exists (select from pg_dist_partition where logicalrelid = $1::oid)::text as distributed',
    [tableOid],
  )
  return rows[0]?.distributed === 'true'
}

function toInspection(facts: Facts): Omit<Inspection, 'isCitusTable' | 'fingerprint'> {
  const { sequence } = facts
  return {
    serverVersion: facts.server_version,
    inRecovery: facts.in_recovery,
    tableOid: facts.table_oid ?? '',
    rowSecurityActive: facts.row_security_active,
    missingColumns: facts.missing_columns,
    unreadableColumns: facts.unreadable_columns,
    hasIndex: facts.has_index,
    relations: facts.relations.map((relation) => ({
      name: relation.name,
      kind: relation.kind,
      persistence: relation.persistence,
      positionType: relation.position_type ?? undefined,
      positionNotNull: relation.position_not_null ?? false,
      sequences: relation.sequences ?? [],
      hasDefault: relation.has_default,
    })),
    sequence: sequence
      ? {
          oid: sequence.oid,
          name: sequence.name,
          quotedName: sequence.quoted_name,
          relfilenode: sequence.relfilenode,
          persistence: sequence.persistence,
          start: BigInt(sequence.start),
          increment: sequence.increment,
          cache: sequence.cache,
          cycle: sequence.cycle,
          mayRead: sequence.may_read ?? false,
        }
      : undefined,
  }
}

/**
 * $1 the quoted table name, $2 the position column, $3 the other columns that are named, $4 whether every column is
 * read. A partition or child of a table with an identity column that has no
 * sequence of its own takes numbers from the parent's (17 and later) or from none (before).
 */
const INSPECTION_SQL = `
with recursive target as (
  select to_regclass($1)::oid as oid
),
family as (
  select oid, 0 as depth from target
  union
  select i.inhrelid, f.depth + 1 from pg_inherits i join family f on i.inhparent = f.oid
),
relation as (
  select f.oid, f.depth, c.oid::regclass::text as name, c.relkind, c.relpersistence, a.attnum,
    a.atttypid::regtype::text as position_type, a.attnotnull,
    ad.oid is not null as has_default,
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
  left join pg_attribute a on a.attrelid = f.oid and a.attname = $2 and not a.attisdropped
  left join pg_attrdef ad on ad.adrelid = f.oid and ad.adnum = a.attnum
),
existing as (
  select a.attrelid, a.attnum, a.attname::text from pg_attribute a
  where a.attrelid = (select oid from target) and a.attnum > 0 and not a.attisdropped
),
sequence as (
  select s.seqrelid, s.seqstart, s.seqincrement, s.seqcache, s.seqcycle, c.relpersistence, c.relfilenode,
    n.nspname, c.relname
  from pg_sequence s
  join pg_class c on c.oid = s.seqrelid
  join pg_namespace n on n.oid = c.relnamespace
  where s.seqrelid::text = (select sequences[1] from relation where depth = 0 and cardinality(sequences) = 1)
)
select json_build_object(
  'server_version', current_setting('server_version_num')::int,
  'in_recovery', pg_is_in_recovery(),
  'table_oid', (select oid::text from target),
  'row_security_active', coalesce((select row_security_active(oid) from target), false),
  'missing_columns', array(
    select name from unnest($3::text[]) as named (name) where name not in (select attname from existing)
  ),
  'unreadable_columns', array(
    select attname from existing
    where (attname = $2 or attname = any ($3::text[]) or $4::boolean)
      and not has_column_privilege(attrelid, attnum, 'SELECT')
    order by attnum
  ),
  'has_index', exists (
    select from pg_index i
    join pg_class ic on ic.oid = i.indexrelid
    join pg_am am on am.oid = ic.relam and am.amname = 'btree'
    join relation r on r.depth = 0 and r.oid = i.indrelid and i.indkey[0] = r.attnum
    where i.indisvalid and i.indpred is null
  ),
  'has_citus', to_regclass('pg_dist_partition') is not null,
  'relations', coalesce((
    select json_agg(json_build_object('name', name, 'kind', relkind, 'persistence', relpersistence,
      'position_type', position_type, 'position_not_null', attnotnull, 'sequences', sequences,
      'has_default', has_default) order by depth, oid)
    from relation
  ), '[]'),
  'sequence', (
    select json_build_object('oid', seqrelid::text, 'name', seqrelid::regclass::text,
      'quoted_name', format('%I.%I', nspname, relname), 'relfilenode', relfilenode::text,
      'persistence', relpersistence, 'start', seqstart::text, 'increment', seqincrement::text,
      'cache', seqcache::text, 'cycle', seqcycle, 'may_read', has_sequence_privilege(seqrelid, 'SELECT'))
    from sequence
  )
)::text as facts`
