import { wholeUnit } from '@tidemark/core/adapter'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import {
  NoConnectionError,
  type PgClient,
  type PgPool,
  type PostgresEventsOptions,
  postgresCheckpoints,
  postgresEvents,
} from '@tidemark/pg-adapter'
import type { Pool, PoolConfig } from 'pg'
import { expect, test } from 'vitest'
import { testedMajor } from '../support/database.ts'
import {
  agentOver,
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()

/** Server processes of this file's database that are in a statement, this look aside. */
const activeStatements = async () => {
  const { rows } = await db.pool.query(
    `select query from pg_stat_activity
     where datname = current_database() and state = 'active' and pid <> pg_backend_pid()`,
  )
  return rows
}

/** Events whose type takes that long to look at: as much of a table as a filter leaves out, on a disk that is slow. */
const slowEvents = (secondsEach: number, parted = '') =>
  db.events(`create type kind as enum ('a', 'b');
    create function slow(k kind) returns text language plpgsql as
      $$ begin perform pg_sleep(${secondsEach}); return case k when 'a' then 'a' else 'b' end; end $$;
    create cast (kind as text) with function slow(kind);
    create table events (position bigint generated always as identity, type kind not null default 'a',
      shelf int not null default 1, primary key (position, shelf)) ${parted}`)

const TIMED_OUT = { code: 'TIDEMARK_QUERY_TIMEOUT', cause: { code: '57014' } }

test('a page that takes too long is ended by the server too, and leaves no statement behind', async () => {
  const events = await slowEvents(100)
  await events.append()
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name, eventType: 'type', queryTimeoutMs: 200 }),
    checkpoints: inMemoryCheckpoints(),
    projections: [{ name: 'rare', eventTypes: ['b'], handle: () => {} }],
  })
  await eventually(() => daemon.status().projections[0]).toMatchObject({
    state: 'retrying',
    error: TIMED_OUT,
  })
  await daemon.stop()
  await eventually(activeStatements).toEqual([])
})

/** A pool that tells each failure in an error of its own. */
function telling(pool: Pool): PgPool {
  return {
    connect: async () => {
      const client: PgClient = await pool.connect()
      return Object.assign(Object.create(client), {
        query: (text: string, values?: unknown[]) =>
          client.query(text, values).catch((cause: unknown) => {
            throw new Error('the query failed', { cause })
          }),
        release: (destroy?: boolean) => client.release(destroy),
      })
    },
  }
}

const PARTED = `partition by list (shelf); create table events_1 partition of events for values in (1);
  create table events_rest partition of events default`
const SHORT_MS = 500

/** Whose limit ends a page, of which table, and what is said then. */
const ENDED: readonly (readonly [
  string,
  { readonly parted?: string; readonly config?: PoolConfig; readonly as?: (pool: Pool) => PgPool },
  Partial<PostgresEventsOptions>,
  object,
])[] = [
  ['queryTimeoutMs', {}, { queryTimeoutMs: SHORT_MS }, TIMED_OUT],
  ['queryTimeoutMs, of a table with partitions', { parted: PARTED }, { queryTimeoutMs: SHORT_MS }, TIMED_OUT],
  [
    "queryTimeoutMs, told in an error of the pool's own",
    { as: telling },
    { queryTimeoutMs: SHORT_MS },
    { code: 'TIDEMARK_QUERY_TIMEOUT', cause: { message: 'the query failed', cause: { code: '57014' } } },
  ],
  [
    'query_timeout of the pool',
    { config: { query_timeout: SHORT_MS } },
    {},
    { message: 'Query read timeout' },
  ],
  ...(testedMajor() < 17
    ? []
    : ([
        [
          'transaction_timeout of the role',
          { config: { options: `-c transaction_timeout=${SHORT_MS}` } },
          {},
          { code: '25P04' },
        ],
      ] as const)),
]

test.each(ENDED)(
  'a page that takes too long is asked for in smaller ranges, until all of it was looked at, whatever is filtered for: %s',
  async (_, { parted, config, as = (pool) => pool }, limits, said) => {
    const events = await slowEvents(0.01, parted)
    await events.run(`insert into events (type, shelf)
      select case when i = 151 then 'b'::kind else 'a' end, i % 2 from generate_series(1, 200) i`)
    const pool = as(db.newPool(config))
    const seen: Record<string, number> = {}
    const failures = new Map<string, unknown[]>()
    const daemons = await Promise.all(
      [{}, { where: { shelf: 1 } }].map((options) => {
        const source = postgresEvents({
          pool,
          table: events.name,
          eventType: 'type',
          wakeUps: 'none',
          ...limits,
          ...options,
        })
        return startDaemon({
          source,
          checkpoints: inMemoryCheckpoints(),
          projections: [undefined, ['b']].map((eventTypes) => {
            const name = `${eventTypes === undefined ? 'all' : 'rare'} of ${source.name}`
            return {
              name,
              ...(eventTypes === undefined ? {} : { eventTypes }),
              handle: (page: readonly unknown[]) => {
                seen[name] = (seen[name] ?? 0) + page.length
              },
            }
          }),
          telemetry: {
            storeFailed: ({ projection, error }) =>
              void failures.set(projection, [...(failures.get(projection) ?? []), error]),
          },
        })
      }),
    )
    for (const daemon of daemons) await daemon.waitUntilProjected({ timeoutMs: 60_000 })
    const { name } = events
    expect(seen).toEqual({
      [`all of ${name}`]: 200,
      [`rare of ${name}`]: 1,
      [`all of ${name}[shelf=1]`]: 100,
      [`rare of ${name}[shelf=1]`]: 1,
    })
    // A page that was ended costs its connection. On a busy machine a new one may not be there within the short limit.
    const ofPages = [...failures].map(([name, errors]) => ({
      name,
      errors: errors.filter((error) => !(error instanceof NoConnectionError)),
    }))
    expect(ofPages.map(({ name }) => name).toSorted()).toEqual(Object.keys(seen).toSorted())
    for (const { errors } of ofPages) {
      expect(errors).not.toEqual([])
      for (const error of errors) expect(error).toMatchObject(said)
    }
  },
)

test('a poll that takes too long is ended by the server too', async () => {
  const events = await db.events()
  const agent = await agentOver({ pool: db.pool, table: events.name, queryTimeoutMs: 200 })
  const ddl = await db.session()
  await ddl.query('begin')
  await ddl.query(`lock table ${events.name} in access exclusive mode`)
  agent.wake()
  await eventually(() => agent.status()).toMatchObject({ state: 'failing', error: TIMED_OUT })
  await ddl.query('rollback')
  await eventually(() => agent.status()).toMatchObject({ state: 'polling' })
})

test('statements on checkpoints that take too long are ended by the server too', async () => {
  const events = await db.events()
  const store = postgresCheckpoints({ pool: db.pool, schema: events.schema, queryTimeoutMs: 200 })
  const { signal } = new AbortController()
  await store.prepare?.(signal)
  const ddl = await db.session()
  await ddl.query('begin')
  await ddl.query(
    `lock table ${events.schema}.checkpoints, ${events.schema}.migrations in access exclusive mode`,
  )
  const advanced = store.advance(
    {
      unit: wholeUnit('p'),
      source: events.name,
      from: undefined,
      to: '1',
      evidence: { incarnation: 'of another store', settled: '1', logPosition: undefined },
      signal,
    },
    async () => {},
  )
  await expect(advanced).rejects.toMatchObject(TIMED_OUT)
  await expect(store.progress(events.name, signal)).rejects.toMatchObject(TIMED_OUT)
  await expect(store.prepare?.(signal)).rejects.toMatchObject(TIMED_OUT)
  await ddl.query('rollback')
})

test.each([
  ['none', {}, undefined, '0'],
  ["the role's", { options: '-c statement_timeout=7s' }, undefined, '7s'],
  ["the session's", { options: '-c statement_timeout=7s' }, 'set statement_timeout = 8000', '8s'],
])('a handler has its own statement_timeout: %s', async (_, config, setting, expected) => {
  const events = await db.events()
  await events.append()
  const pool = db.newPool(config)
  // A connection may be given up before it has answered.
  if (setting) pool.on('connect', (client) => void client.query(setting).catch(() => {}))
  const seen: unknown[] = []
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, pool),
    projections: [
      {
        name: 'looking',
        handle: async (_page, { tx }) => {
          seen.push(...(await tx.query('show statement_timeout')).rows)
        },
      },
    ],
  })
  await daemon.waitUntilProjected()
  expect(seen).toEqual([{ statement_timeout: expected }])
  const { rows } = await pool.query('show statement_timeout')
  expect(rows).toEqual([{ statement_timeout: expected }])
})

/** A daemon over one event, whose handler does that. */
async function handling(
  handle: (tx: PgClient, events: EventTable, calls: number) => Promise<unknown>,
  settings: string,
) {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append()
  const pool = db.newPool({ options: settings })
  let calls = 0
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, pool),
    projections: [
      {
        name: 'slow',
        attempts: 2,
        handle: async (page, context) => {
          await recorder(events, 'slow').handle(page, context)
          await handle(context.tx, events, ++calls)
        },
      },
    ],
  })
  return { events, daemon, status: () => daemon.status().projections[0], calls: () => calls }
}

/** Until the server has ended the connection. */
const lost = (tx: PgClient) => new Promise((resolve) => tx.on('error', resolve))
const inOrm = (promise: Promise<unknown>) =>
  promise.catch((cause: unknown) => {
    throw new Error('Failed query', { cause })
  })

test.each<[string, string, string, (tx: PgClient) => Promise<unknown>]>([
  ['asks nothing for too long', 'idle_in_transaction_session_timeout', '25P03', lost],
  [
    'asks nothing for too long and then asks',
    'idle_in_transaction_session_timeout',
    '25P03',
    (tx) => lost(tx).then(() => tx.query('select 1')),
  ],
  [
    'asks nothing for too long and then asks through an ORM',
    'idle_in_transaction_session_timeout',
    '25P03',
    (tx) => lost(tx).then(() => inOrm(tx.query('select 1'))),
  ],
  ...(testedMajor() < 17
    ? []
    : ([
        [
          'waits for a statement for too long',
          'transaction_timeout',
          '25P04',
          (tx) => tx.query('select pg_sleep(60)'),
        ],
        [
          'waits for a statement for too long in an ORM',
          'transaction_timeout',
          '25P04',
          (tx) => inOrm(tx.query('select pg_sleep(60)')),
        ],
        ['takes too long in all', 'transaction_timeout', '25P04', lost],
      ] satisfies [string, string, string, (tx: PgClient) => Promise<unknown>][])),
])(
  'a handler that %s has failed, and its error says what the server said',
  async (_, setting, code, handle) => {
    const { events, status, calls } = await handling((tx) => handle(tx), `-c ${setting}=300`)
    await eventually(status).toMatchObject({
      state: 'paused',
      error: {
        code: 'TIDEMARK_TRANSACTION_TIMED_OUT',
        projection: 'slow',
        message: expect.stringContaining(setting),
        cause: { code },
      },
    })
    expect(calls()).toBe(2)
    expect(await handledBy(db.pool, events, 'slow')).toEqual([])
  },
)

test('a handler that begins with the statement which that error prints may ask nothing for as long', async () => {
  const settings = '-c idle_in_transaction_session_timeout=300'
  const { status } = await handling(lost, settings)
  await eventually(status).toMatchObject({ state: 'paused' })
  const [statement = ''] = String(status()?.error).match(/SET LOCAL .+;/) ?? []
  const { daemon, events } = await handling(async (tx) => {
    await tx.query(statement)
    await new Promise((resolve) => setTimeout(resolve, 1_000))
  }, settings)
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'slow')).toEqual([1n])
})

test.each<[string, (tx: PgClient) => Promise<unknown>]>([
  ['idle', (tx) => lost(tx)],
  ['idle in an ORM', (tx) => lost(tx).then(() => inOrm(tx.query('select 1')))],
  ['in a statement in an ORM', (tx) => inOrm(tx.query('select pg_sleep(60)'))],
])('a connection that is ended while its handler is %s is no failure of the handler', async (_, wait) => {
  const { events, daemon, status } = await handling(async (tx, _events, calls) => {
    if (calls > 3) return
    const { rows } = await tx.query('select pg_backend_pid() as pid')
    const waiting = wait(tx)
    // Once it waits.
    waiting.catch(() => {})
    await db.pool.query('select pg_terminate_backend($1)', [rows[0]?.pid])
    await waiting
  }, '')
  await eventually(status).toMatchObject({ error: { code: 'TIDEMARK_CONNECTION_LOST' } })
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'slow')).toEqual([1n])
})

test('a handler that waits for the last connection of the pool, which it holds, is told of by the polls', async () => {
  const events = await db.events()
  await events.append()
  const pool = db.newPool({ max: 1 })
  let entered = false
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name, queryTimeoutMs: 300 }),
    checkpoints: postgresCheckpoints({ pool, schema: events.schema }),
    drainTimeoutMs: 10,
    projections: [
      {
        name: 'waiting for itself',
        handle: async () => {
          entered = true
          await pool.query('select 1')
        },
      },
    ],
  })
  await eventually(() => entered).toBe(true)
  await eventually(() => daemon.status().highWater).toMatchObject({
    state: 'failing',
    error: {
      code: 'TIDEMARK_NO_CONNECTION',
      message: expect.stringMatching(
        /1 in use or being made, 0 idle, \d+ waited for.*asks the pool, not its tx/,
      ),
    },
  })
})

test('a page that found no connection while the handler had the last one is no failure', async () => {
  const events = await db.events()
  await events.append(4)
  const pool = db.newPool({ max: 1 })
  const failures: unknown[] = []
  let failedPolls = 0
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name, queryTimeoutMs: 500 }),
    checkpoints: postgresCheckpoints({ pool, schema: events.schema }),
    telemetry: {
      pollFailed: () => void failedPolls++,
      handlerFailed: ({ error }) => void failures.push(error),
    },
    projections: [{ name: 'long', batchSize: 2, handle: () => held }],
  })
  await eventually(() => failedPolls).toBeGreaterThan(1)
  release()
  await daemon.waitUntilProjected()
  expect(failures).toEqual([])
})
