import { type BoundedPool, type PgClient, withConnection } from '../client.ts'
import { PostgresConditionError } from '../errors.ts'
import { quoteIdentifier } from '../identifiers.ts'
import { INSUFFICIENT_PRIVILEGE, sqlState } from '../sql-state.ts'
import { begin, LOCK_TIMEOUT, manyResults } from '../transaction.ts'
import { appliedVersionSql, createVersions, insertVersion, LATEST_VERSION, MIGRATIONS } from './migrations.ts'
import { type CheckpointRights, checkpointRightsSql, requireMayCreate, requireMayUse } from './rights.ts'

/** One for every schema: migrations are rare, and waiting is cheap. Any constant will do. */
const ADVISORY_LOCK = 7_463_827_365n

/**
 * Brings the tables to the newest version. Where they are, no right to make anything is needed. A statement that is not answered
 * within its time rejects, also one that waits for the migration of another process: the next try finds it done.
 */
export async function migrate(pool: BoundedPool, schemaName: string, signal: AbortSignal): Promise<void> {
  await withConnection(pool, signal, async (client) => {
    const [found] = await begin(client, checkpointRightsSql(schemaName))
    const rights = JSON.parse(String(found?.rows[0]?.rights)) as CheckpointRights
    requireMayUse(rights)
    const applied = rights.tablesExist ? await appliedVersion(client, quoteIdentifier(schemaName)) : 0
    if (applied < LATEST_VERSION) {
      requireMayCreate(rights, applied)
      await applyAll(client, quoteIdentifier(schemaName)).catch((error: unknown) => {
        // As for tables of an earlier version, which their owner alone may alter.
        if (sqlState(error) === INSUFFICIENT_PRIVILEGE) requireMayCreate(rights, applied, error)
        throw error
      })
    }
    await requirePermanent(client, schemaName)
    await client.query('commit')
  })
}

async function applyAll(client: PgClient, schema: string): Promise<void> {
  // What another process has just made is seen from here on. Its migration may be waited for; a batch may not: every other
  // projection would queue behind an ALTER TABLE that waits.
  await client.query(`select pg_advisory_xact_lock(${ADVISORY_LOCK})::text; ${LOCK_TIMEOUT}`)
  const { rows } = await client.query('select to_regnamespace($1)::text as found', [schema])
  // Even IF NOT EXISTS needs the right to create one.
  if (rows[0]?.found == null) await client.query(`create schema if not exists ${schema}`)
  const results = await client.query(`${createVersions(schema)} ${appliedVersionSql(schema)}`)
  const applied = Number(manyResults(results).at(-1)?.rows[0]?.version)
  for (const migration of MIGRATIONS.filter(({ version }) => version > applied)) {
    await client.query(`${insertVersion(schema, migration)} ${migration.sql(schema)}`)
  }
}

async function appliedVersion(client: PgClient, schema: string): Promise<number> {
  const applied = await client.query(appliedVersionSql(schema))
  return Number(applied.rows[0]?.version)
}

/** A crash empties an unlogged table, and with it every checkpoint. */
async function requirePermanent(client: PgClient, schemaName: string): Promise<void> {
  const { rows } = await client.query(
    `select c.relname::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relpersistence <> 'p'
       and c.relname in ('checkpoints', 'settled', 'skips', 'audit', 'dead_letters', 'dead_letter_counts',
         'late_events', 'late_event_units', 'lost_events', 'lost_event_totals',
         'passed_positions', 'nodes', 'node_audit')`,
    [schemaName],
  )
  const name = rows[0]?.name
  if (name === undefined) return
  const table = `${quoteIdentifier(schemaName)}.${quoteIdentifier(String(name))}`
  throw new PostgresConditionError(
    'checkpoint_tables',
    `${table} is unlogged or temporary: a crash empties it; run\n  ALTER TABLE ${table} SET LOGGED;`,
  )
}
