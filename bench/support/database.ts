import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import pg from 'pg'

/** An empty database and a pool on it; dropped with the server. */
export async function createDatabase(server: EmbeddedPostgres, name: string): Promise<pg.Pool> {
  const admin = new pg.Client({ connectionString: server.url })
  await admin.connect()
  await admin.query(`create database ${name}`)
  await admin.end()
  return new pg.Pool({ connectionString: server.connectionString(name), max: 10 })
}

/** One that has written to the table `elsewhere`, and is left open. */
export async function openTransaction(pool: pg.Pool): Promise<pg.PoolClient> {
  const client = await pool.connect()
  await client.query('begin; insert into elsewhere values (1)')
  return client
}

/** The same database, as that role. */
export function asRole(connectionString: string, role: string): string {
  const url = new URL(connectionString)
  url.username = role
  return url.href
}

/** One that may do anything: what it costs the server is told apart by its name. */
export async function createRole(server: EmbeddedPostgres, name: string): Promise<void> {
  const admin = new pg.Client({ connectionString: server.url })
  await admin.connect()
  await admin.query(`create role ${name} superuser login`)
  await admin.end()
}
