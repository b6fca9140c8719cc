import { randomUUID } from 'node:crypto'
import {
  type CheckpointStore,
  createDaemon,
  createHighWaterAgent,
  type Daemon,
  type DaemonOptions,
  type HighWaterAgent,
  type HighWaterAgentOptions,
  type Projection,
} from '@tidemark/core'
import {
  type PgClient,
  PostgresConditionError,
  type PostgresEventsOptions,
  type PostgresRow,
  postgresCheckpoints,
  postgresEvents,
} from '@tidemark/pg-adapter'
import { Client, type ClientConfig, Pool, type PoolConfig } from 'pg'
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest'
import { type TestDatabase, testDatabase } from './database.ts'

const EVENTS = `create table events (
  position bigint generated always as identity primary key,
  type text not null default 'happened',
  data text
)`

/** An event table in a schema of its own, as a test's application made it. */
export interface EventTable {
  readonly schema: string
  readonly name: string
  /** Runs SQL with that schema alone on the search path. */
  run(sql: string): Promise<void>
  /** Appends `count` events, each committed by itself, and returns the last one's position. */
  append(count?: number): Promise<bigint>
}

/** The database of one test file; its tests keep to schemas and roles of their own. */
export interface FileDatabase {
  readonly pool: Pool
  readonly url: string
  events(ddl?: string): Promise<EventTable>
  /** A connection of its own, for transactions that stay open; ended with the test. */
  session(config?: ClientConfig): Promise<Client>
  /** A pool that ends with the test. */
  newPool(config?: PoolConfig): Pool
  /** A login role with nothing but these grants, `:role` standing for its name; dropped with the test. */
  role(grants: string): Promise<string>
}

/** By default on the server of the run. */
export function fileDatabase(serverUrl?: () => string): FileDatabase {
  let database: TestDatabase
  let schemas = 0
  beforeAll(async () => {
    database = await testDatabase(serverUrl?.())
  })
  afterAll(() => database.drop())

  const file: FileDatabase = {
    get pool() {
      return database.pool
    },
    get url() {
      return database.url
    },
    async events(ddl = EVENTS) {
      const schema = `s${++schemas}`
      const run = (sql: string) => runIn(database.pool, schema, sql)
      await database.pool.query(`create schema ${schema}`)
      await run(ddl)
      const name = `${schema}.events`
      return { schema, name, run, append: (count = 1) => append(database.pool, name, count) }
    },
    async session(config = {}) {
      const client = new Client({ connectionString: database.url, ...config })
      client.on('error', () => {})
      await client.connect()
      onTestFinished(() => client.end())
      return client
    },
    newPool(config = {}) {
      const pool = new Pool({ connectionString: database.url, ...config })
      pool.on('error', () => {})
      onTestFinished(() => pool.end())
      return pool
    },
    async role(grants) {
      const role = `role_${randomUUID().replaceAll('-', '')}`
      await database.pool.query(`create role ${role} login`)
      onTestFinished(async () => {
        await database.pool.query(`drop owned by ${role} cascade; drop role ${role}`)
      })
      await database.pool.query(grants.replaceAll(':role', role))
      return role
    },
  }
  return file
}

/** In one transaction, as one message is. */
async function runIn(pool: Pool, schema: string, sql: string): Promise<void> {
  await pool.query(`set local search_path = ${schema}; ${sql}`)
}

async function append(pool: Pool, table: string, count: number): Promise<bigint> {
  let last = ''
  for (let n = 0; n < count; n++) {
    const { rows } = await pool.query(`insert into ${table} default values returning position::text`)
    last = String(rows[0].position)
  }
  return BigInt(last)
}

/** The connection string with another user. */
export function asRole(url: string, role: string): { connectionString: string } {
  const changed = new URL(url)
  changed.username = role
  return { connectionString: changed.href }
}

/** A started agent, stopped with the test. */
async function startAgent(options: HighWaterAgentOptions<bigint>): Promise<HighWaterAgent<bigint>> {
  const agent = createHighWaterAgent({ pollIntervalMs: 50, ...options })
  onTestFinished(() => agent.stop())
  await agent.start()
  return agent
}

/** An agent over that table. */
export function agentOver(
  options: PostgresEventsOptions,
  agentOptions: Omit<HighWaterAgentOptions<bigint>, 'source'> = {},
): Promise<HighWaterAgent<bigint>> {
  return startAgent({ ...agentOptions, source: postgresEvents(options) })
}

/** A started daemon, stopped with the test. */
export async function startDaemon<E, Tx>(options: DaemonOptions<bigint, E, Tx>): Promise<Daemon<bigint>> {
  const daemon = createDaemon({ pollIntervalMs: 50, ...options })
  onTestFinished(() => daemon.stop())
  await daemon.start()
  return daemon
}

/** The condition that an agent over that table refuses to start for. */
export async function refusal(options: PostgresEventsOptions): Promise<PostgresConditionError> {
  const agent = createHighWaterAgent({ source: postgresEvents(options) })
  const error: unknown = await agent.start().catch((reason: unknown) => reason)
  await agent.stop()
  expect(error).toBeInstanceOf(PostgresConditionError)
  return error as PostgresConditionError
}

/** Makes the table `handled` beside the events, for `recorder`. */
export const HANDLED =
  'create table handled (n bigint generated always as identity, projection text, position bigint)'

/** A projection that writes down, in the checkpoint's transaction, what it is given. */
export function recorder(
  events: EventTable,
  name: string,
  more: Partial<Projection<PostgresRow, PgClient>> = {},
): Projection<PostgresRow, PgClient> {
  return {
    name,
    handle: async (page, { tx }) => {
      await tx.query(
        `insert into ${events.schema}.handled (projection, position)
         select $1, position from unnest($2::bigint[]) with ordinality as p (position, n) order by n`,
        [name, page.map((event) => String(event.position))],
      )
    },
    ...more,
  }
}

/** Asks until it is answered; meanwhile the server kills whoever has an application's name that ends in the events' schema. */
export async function answeredUnderKills<T>(
  pool: Pool,
  events: EventTable,
  ask: () => Promise<T>,
): Promise<void> {
  let isOver = false
  const asking = (async () => {
    for (;;) {
      try {
        return await ask()
      } catch {}
    }
  })().finally(() => {
    isOver = true
  })
  for (let kill = 0; kill < 15 && !isOver; kill++) {
    await pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name like '% ${events.schema}'`,
    )
    await new Promise((resolve) => setTimeout(resolve, kill * 7))
  }
  await asking
}

/** What that projection handled, in the order in which it did. */
export async function handledBy(pool: Pool, events: EventTable, projection: string): Promise<bigint[]> {
  const { rows } = await pool.query(
    `select position::text from ${events.schema}.handled where projection = $1 order by n`,
    [projection],
  )
  return rows.map((row) => BigInt(row.position))
}

/** Every visible position. */
export async function appended(pool: Pool, events: EventTable): Promise<bigint[]> {
  const { rows } = await pool.query(`select position::text from ${events.name} order by position::bigint`)
  return rows.map((row) => BigInt(row.position))
}

/** Checkpoints in the schema of the events. */
export function checkpointsBeside(events: EventTable, pool: Pool): CheckpointStore<PgClient> {
  return postgresCheckpoints({ pool, schema: events.schema })
}

/** Retries an expectation on what `look` returns until it holds. */
export function eventually<T>(look: () => T | Promise<T>): ReturnType<typeof expect.poll<T>> {
  return expect.poll(look, { timeout: 30_000, interval: 10 })
}
