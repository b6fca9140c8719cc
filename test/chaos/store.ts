import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { Client, type ClientConfig, Pool, type PoolConfig, type QueryResult } from 'pg'
import { onTestFinished } from 'vitest'
import { ownServer } from '../support/database.ts'

/** A server of the test's own, with the tables that a test needs. */
export interface ChaosStore {
  readonly server: EmbeddedPostgres
  readonly url: string
  /** One statement on a connection of its own. */
  query(text: string, values?: unknown[]): Promise<QueryResult>
  connect(config?: ClientConfig): Promise<Client>
  /** Ended when the test has finished. */
  pool(config?: PoolConfig): Pool
}

/**
 * Events have an id besides their position: after a crash a position may stand for another event. `handled` has no
 * unique key on the position: it shows what arrived, how often and in which order.
 */
const TABLES = `
  create table events (
    position bigint generated always as identity primary key,
    id text not null,
    type text not null
  );
  create table handled (
    arrival bigserial,
    projection text not null,
    position bigint not null,
    id text not null,
    process int not null
  );
  create table unrelated (a int)`

/**
 * The machine never fails here, only processes: what was written to a file is kept, so that waiting for disks would
 * only make recovery take seconds. What waits in the server's memory to be written is lost all the same.
 */
const NO_DISK = { fsync: 'off' }

export async function chaosStore(settings: Readonly<Record<string, string>> = {}): Promise<ChaosStore> {
  const server = await ownServer({ settings: { ...NO_DISK, ...settings } })
  onTestFinished(() => server.dispose())
  const store = storeOn(server)
  await store.query(TABLES)
  return store
}

function storeOn(server: EmbeddedPostgres): ChaosStore {
  const connect = async (config: ClientConfig = {}): Promise<Client> => {
    const client = new Client({
      connectionString: server.url,
      application_name: 'tidemark-chaos',
      connectionTimeoutMillis: 5_000,
      ...config,
    })
    // Of a server that goes away while nothing is asked.
    client.on('error', () => {})
    await client.connect()
    return client
  }
  return {
    server,
    url: server.url,
    connect,
    query: async (text, values) => {
      const client = await connect()
      try {
        return await client.query(text, values)
      } finally {
        await client.end().catch(() => {})
      }
    },
    pool: (config = {}) => {
      const pool = new Pool({ connectionString: server.url, connectionTimeoutMillis: 5_000, ...config })
      pool.on('error', () => {})
      onTestFinished(() => pool.end())
      return pool
    },
  }
}

/** Nothing flushes the log but a commit that waits for it: what is committed asynchronously goes with a crash. */
export const ONLY_COMMITS_FLUSH: Readonly<Record<string, string>> = {
  autovacuum: 'off',
  max_wal_senders: '0',
  wal_level: 'minimal',
  wal_writer_delay: '10s',
}

/** For sessions whose commits do not wait for the log. */
export const ASYNCHRONOUS: { readonly options: string } = { options: '-c synchronous_commit=off' }
