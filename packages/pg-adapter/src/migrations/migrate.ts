import { type PgClient, type PgPool, withConnection } from '../client.ts'
import { PostgresConditionError } from '../errors.ts'
import { quoteIdentifier } from '../identifiers.ts'
import { manyResults } from '../inspection.ts'
import { createVersions, insertVersion, LATEST_VERSION, MIGRATIONS } from './migrations.ts'

/** One for every schema: migrations are rare, and waiting is cheap. Any constant will do. */
const ADVISORY_LOCK = 7_463_827_365n

/** Brings the tables to the newest version. Where they are, nothing but SELECT is needed. */
export async function migrate(pool: PgPool, schemaName: string): Promise<void> {
  const { signal } = new AbortController()
  await withConnection(pool, signal, async (client) => {
    if ((await appliedVersion(client, schemaName)) < LATEST_VERSION)
      await applyAll(client, quoteIdentifier(schemaName))
    await requirePermanent(client, schemaName)
  })
}

async function applyAll(client: PgClient, schema: string): Promise<void> {
  // READ COMMITTED: what another process has just made has to be seen.
  await client.query(
    `begin isolation level read committed; select pg_advisory_xact_lock(${ADVISORY_LOCK})::text`,
  )
  const { rows } = await client.query('select to_regnamespace($1)::text as found', [schema])
  // Even IF NOT EXISTS needs the right to create one.
  if (rows[0]?.found == null) await client.query(`create schema if not exists ${schema}`)
  const results = await client.query(
    `${createVersions(schema)} select coalesce(max(version), 0)::text as version from ${schema}.migrations`,
  )
  const applied = Number(manyResults(results).at(-1)?.rows[0]?.version)
  for (const migration of MIGRATIONS.filter(({ version }) => version > applied)) {
    await client.query(`${insertVersion(schema, migration)} ${migration.sql(schema)}`)
  }
  await client.query('commit')
}

async function appliedVersion(client: PgClient, schemaName: string): Promise<number> {
  const migrations = `${quoteIdentifier(schemaName)}.migrations`
  const { rows } = await client.query('select to_regclass($1)::text as migrations', [migrations])
  if (rows[0]?.migrations == null) return 0
  const applied = await client.query(`select coalesce(max(version), 0)::text as version from ${migrations}`)
  return Number(applied.rows[0]?.version)
}

/** A crash empties an unlogged table, and with it every checkpoint. */
async function requirePermanent(client: PgClient, schemaName: string): Promise<void> {
  const { rows } = await client.query(
    `select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relname in ('checkpoints', 'settled', 'skips') and c.relpersistence <> 'p'`,
    [schemaName],
  )
  const name = rows[0]?.name
  if (name === undefined) return
  const table = `${quoteIdentifier(schemaName)}.${quoteIdentifier(String(name))}`
  throw new PostgresConditionError(
    'checkpoint_tables',
    `${table} is unlogged or temporary: a crash empties it; ALTER TABLE ${table} SET LOGGED`,
  )
}
