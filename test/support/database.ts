import { randomUUID } from 'node:crypto'
import {
  type EmbeddedPostgres,
  isMajor,
  type Major,
  type StartPostgresOptions,
  startPostgres,
} from '@tidemark-internal/embedded-postgres'
import { Client, Pool } from 'pg'
import { inject } from 'vitest'

export interface TestDatabase {
  readonly name: string
  readonly url: string
  readonly pool: Pool
  /** Ends the pool and drops the database; rejects when a session of the test is still connected to it. */
  drop(): Promise<void>
}

/** A new, empty database; by default on the server of the run, which other tests use at the same time. */
export async function testDatabase(serverUrl: string = inject('postgresUrl')): Promise<TestDatabase> {
  const name = `test_${randomUUID().replaceAll('-', '')}`
  await onServer(serverUrl, (client) => client.query(`create database ${name}`))
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  const pool = new Pool({ connectionString: url.href })
  // Of idle clients, when a test stops the server or ends their sessions.
  pool.on('error', () => {})
  return {
    name,
    url: url.href,
    pool,
    drop: async () => {
      await pool.end()
      await onServer(serverUrl, (client) => dropDatabase(client, name))
    },
  }
}

/** A server that this test alone uses: to stop, to restart, or to hold transactions open that would disturb others. */
export async function ownServer(
  options: Omit<StartPostgresOptions, 'major'> = {},
): Promise<EmbeddedPostgres> {
  return startPostgres({ ...options, major: testedMajor() })
}

/** The major that this run tests. */
export function testedMajor(): Major {
  const major = Number(process.env.TIDEMARK_POSTGRES_MAJOR)
  if (!isMajor(major)) throw new Error('TIDEMARK_POSTGRES_MAJOR is set by the projects in vitest.config.ts')
  return major
}

async function onServer<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(url)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** PostgreSQL itself waits five seconds for sessions that are about to go. */
async function dropDatabase(client: Client, name: string): Promise<void> {
  try {
    await client.query(`drop database ${name}`)
  } catch (error) {
    const { rows } = await client.query<{ session: string }>(
      `select format('%s (%s) %s', pid, state, left(query, 200)) as session from pg_stat_activity where datname = $1`,
      [name],
    )
    await client.query(`drop database ${name} with (force)`)
    throw new Error(`still connected to the test's database:\n${rows.map((row) => row.session).join('\n')}`, {
      cause: error,
    })
  }
}
