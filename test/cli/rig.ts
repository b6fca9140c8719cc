import { createDaemon, type Daemon, type Projection } from '@tidemark/core'
import { createOperations } from '@tidemark/core/operations'
import { type PgClient, type PostgresRow, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { Client } from 'pg'
import { onTestFinished } from 'vitest'
import type { Io } from '../../packages/cli/src/io.ts'
import { run } from '../../packages/cli/src/run.ts'
import { type TestDatabase, testDatabase } from '../support/database.ts'
import { scrubbed } from './scrub.ts'

/** What one run of the program has come to. */
export interface Ran {
  readonly exit: number
  readonly out: string
  readonly err: string
}

export interface Running {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Of the terminal that it runs in; without it, its output is a pipe. */
  readonly columns?: number
  /** What a person answers when asked; without it nobody is there. */
  readonly answer?: string
  readonly signal?: AbortSignal
  /** Is told all of its output so far, whenever there is more. */
  readonly heard?: (out: string) => void
}

/** Where no `tidemark.config` lies. */
const EMPTY_FOLDER = import.meta.dirname

/** Runs the program in this process, with no environment but that. */
export async function tidemark(
  args: readonly string[],
  {
    env = {},
    cwd = EMPTY_FOLDER,
    columns,
    answer,
    signal = new AbortController().signal,
    heard,
  }: Running = {},
): Promise<Ran> {
  const written = { out: '', err: '' }
  const output = (to: 'out' | 'err'): Io['out'] => ({
    write: (text) => {
      written[to] += text
      if (to === 'out') heard?.(written.out)
    },
    isTerminal: columns !== undefined,
    columns,
  })
  const ask = async (question: string): Promise<string> => {
    written.err += question
    return answer ?? ''
  }
  const asks = answer === undefined ? undefined : ask
  const io: Io = { out: output('out'), err: output('err'), env, cwd, user: 'ann', signal, ask: asks }
  const exit = await run(args, io)
  return { exit, ...written }
}

/** A database of a small shop, and the program on it. */
export interface Shop extends TestDatabase {
  readonly tidemark: (args: readonly string[], running?: Running) => Promise<Ran>
  /** What a person reads of it: how it ended, and what it said, without what differs at each run. */
  readonly said: (args: readonly string[], running?: Running) => Promise<string>
  /** A transaction that stays open, of an application of that name. */
  readonly session: (name: string) => Promise<Client>
  readonly daemon: (
    projections: readonly Projection<PostgresRow, PgClient>[],
    more?: { readonly name?: string },
  ) => Promise<Daemon<bigint>>
  readonly operations: ReturnType<typeof createOperations<bigint>>
}

const EVENTS = `create table events (
  position bigint generated always as identity primary key,
  type text not null default 'OrderPlaced',
  data text,
  appended_at timestamptz not null default clock_timestamp()
)`

/** By default on the server of the run, which others use at the same time. */
export async function openShop(serverUrl?: string): Promise<Shop> {
  const database = await (serverUrl === undefined ? testDatabase() : testDatabase(serverUrl))
  const { pool, url } = database
  await pool.query(EVENTS)
  const sessions: Client[] = []
  const daemons: Daemon<bigint>[] = []
  const run = (args: readonly string[], running: Running = {}): Promise<Ran> =>
    tidemark(args, { ...running, env: { DATABASE_URL: url, ...running.env } })
  const source = () => postgresEvents({ pool, table: 'events', eventType: 'type' })
  return {
    ...database,
    tidemark: run,
    said: async (args, running) => {
      const { exit, out, err } = await run(args, running)
      return scrubbed(`$ tidemark ${args.join(' ')}\n${err}${out}[exit ${exit}]\n`)
    },
    session: async (name) => {
      const client = new Client({ connectionString: url, application_name: name })
      client.on('error', () => {})
      await client.connect()
      sessions.push(client)
      return client
    },
    daemon: async (projections, { name } = {}) => {
      const daemon = createDaemon({
        source: source(),
        checkpoints: postgresCheckpoints({ pool }),
        projections,
        pollIntervalMs: 50,
        ...(name === undefined ? {} : { nodes: { name } }),
      })
      daemons.push(daemon)
      await daemon.start()
      return daemon
    },
    operations: createOperations({ checkpoints: postgresCheckpoints({ pool }), source: source() }),
    drop: async () => {
      await Promise.all(daemons.map((daemon) => daemon.stop()))
      await Promise.all(sessions.map((session) => session.end().catch(() => {})))
      await database.drop()
    },
  }
}

/** The same, dropped with the test. */
export async function shopOfTest(serverUrl?: string): Promise<Shop> {
  const shop = await openShop(serverUrl)
  onTestFinished(() => shop.drop())
  return shop
}

export const quiet = (name: string): Projection<PostgresRow, PgClient> => ({ name, handle: async () => {} })

/** Appends so many events. */
export async function append({ pool }: Shop, count: number, type = 'OrderPlaced'): Promise<void> {
  for (let n = 0; n < count; n++) await pool.query('insert into events (type) values ($1)', [type])
}

/** As if all that has happened to projections was so long ago. */
export async function aged({ pool }: Shop, interval: string): Promise<void> {
  await pool.query(
    `update tidemark.checkpoints set updated_at = updated_at - $1::interval,
    desired_since = desired_since - $1::interval`,
    [interval],
  )
  await pool.query(
    `update tidemark.projection_failures set since = since - $1::interval, told_at = told_at - $1::interval`,
    [interval],
  )
  await pool.query('update tidemark.dead_letters set buried_at = buried_at - $1::interval', [interval])
}
