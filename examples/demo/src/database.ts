import { randomBytes } from 'node:crypto'
import { type StartPostgresOptions, startPostgres } from '@tidemark-internal/embedded-postgres'
import pg from 'pg'

/** The server that the demo runs on, and its schema there. */
export interface DemoDatabase {
  readonly url: string
  /** `18.4` */
  readonly version: string
  readonly isEmbedded: boolean
  readonly schema: string
  readonly allowsPreparedTransactions: boolean
  /** A session of its own. */
  connect(role: string): Promise<pg.Client>
  pool(role: string, max: number): pg.Pool
  /** The `role` behind an application name; `undefined` for a session that is not the demo's. */
  roleOf(applicationName: string): string | undefined
  /** Leaves nothing behind, and touches nothing that is not the demo's. */
  close(): Promise<void>
}

export interface DatabaseOptions {
  /** `undefined`: an embedded server. */
  readonly databaseUrl?: string | undefined
  /** Of the embedded server. */
  readonly server: StartPostgresOptions
  /** Called once, with a schema that was made for them. */
  readonly createTables: (admin: pg.Client, schema: string) => Promise<void>
}

const ERROR_UNDEFINED_PARAMETER = '42704'

export async function openDatabase(options: DatabaseOptions): Promise<DemoDatabase> {
  const { databaseUrl, createTables } = options
  if (databaseUrl !== undefined) return await prepare(databaseUrl, false, createTables, dropEverything)
  const server = await startPostgres(options.server)
  return await prepare(server.url, true, createTables, () => server.dispose())
}

type Close = (admin: () => Promise<pg.Client>, schema: string) => Promise<void>

async function prepare(
  url: string,
  isEmbedded: boolean,
  createTables: DatabaseOptions['createTables'],
  close: Close,
): Promise<DemoDatabase> {
  const schema = `tidemark_demo_${randomBytes(4).toString('hex')}`
  const connectionString = withoutApplicationName(url)
  const configOf = (role: string) => ({ connectionString, application_name: `${schema} ${role}` })
  const connect = async (role: string) => {
    const client = new pg.Client(configOf(role))
    // A session that was ended reports it here, and once more to its next statement.
    client.on('error', () => {})
    await client.connect()
    // Some stay open on purpose.
    await client.query('set idle_in_transaction_session_timeout = 0')
    return client
  }
  const closeOnce = () => close(() => connect('admin'), schema)
  try {
    const admin = await connect('admin')
    try {
      const version = await settingOf(admin, 'server_version')
      const most = await settingOf(admin, 'max_prepared_transactions')
      await admin.query(`create schema ${schema}`)
      await createTables(admin, schema)
      return {
        url: connectionString,
        version: version?.split(' ')[0] ?? 'unknown',
        isEmbedded,
        schema,
        allowsPreparedTransactions: Number(most ?? 0) > 0,
        connect,
        pool: (role, max) => {
          const pool = new pg.Pool({ ...configOf(role), max })
          pool.on('error', () => {})
          return pool
        },
        roleOf: (name) => (name.startsWith(`${schema} `) ? name.slice(schema.length + 1) : undefined),
        close: closeOnce,
      }
    } finally {
      await admin.end()
    }
  } catch (error) {
    await closeOnce().catch(() => {})
    throw error
  }
}

/** One in the connection string would win over the demo's own, by which it knows its sessions. */
function withoutApplicationName(url: string): string {
  const parsed = new URL(url)
  parsed.searchParams.delete('application_name')
  return parsed.href
}

async function settingOf(client: pg.Client, name: string): Promise<string | undefined> {
  try {
    const { rows } = await client.query<{ setting: string }>('select current_setting($1) as setting', [name])
    return rows[0]?.setting
  } catch (error) {
    if ((error as { code?: unknown }).code === ERROR_UNDEFINED_PARAMETER) return undefined
    throw error
  }
}

/** For a server that goes on: sessions, prepared transactions and the schema of this run, and of no other. */
async function dropEverything(connectAdmin: () => Promise<pg.Client>, schema: string): Promise<void> {
  const admin = await connectAdmin()
  try {
    await admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where starts_with(application_name, $1) and datname = current_database() and usename = current_user
         and pid <> pg_backend_pid()`,
      [`${schema} `],
    )
    const { rows } = await admin.query<{ gid: string }>(
      'select gid from pg_prepared_xacts where starts_with(gid, $1) and database = current_database()',
      [`${schema} `],
    )
    for (const { gid } of rows) await admin.query(`rollback prepared ${admin.escapeLiteral(gid)}`)
    await admin.query(`drop schema if exists ${schema} cascade`)
  } finally {
    await admin.end()
  }
}
