import { InvalidOptionError } from '@tidemark/core'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import { type PgClient, type PgPool, type PostgresEventsOptions, postgresEvents } from '@tidemark/pg-adapter'
import { describe, expect, onTestFinished, test } from 'vitest'
import { testedMajor } from '../support/database.ts'
import {
  agentOver,
  asRole,
  type EventTable,
  eventually,
  fileDatabase,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()

/** Far beyond a test's time: what is seen earlier was told by a wake-up. */
const NEVER_MS = 600_000

/** An agent that polls once in `pollIntervalMs` while nothing is told, what it warns of, and which of its polls have failed. */
async function told(
  events: EventTable,
  options: Partial<PostgresEventsOptions> = {},
  pollIntervalMs = NEVER_MS,
) {
  const warnings: string[] = []
  const failures: unknown[] = []
  const agent = await agentOver(
    { pool: db.newPool({ application_name: events.schema }), table: events.name, ...options },
    {
      pollIntervalMs,
      logger: { info: () => {}, warn: (message) => warnings.push(message), error: () => {} },
      telemetry: { pollFailed: ({ error }) => failures.push(error) },
    },
  )
  const sees = async (position: bigint) => await eventually(() => agent.mark).toBe(position)
  return { agent, warnings, failures, sees }
}

/** A pool whose connections are changed so. */
function changedPool(change: (client: PgClient) => Partial<PgClient>): PgPool {
  const pool = db.newPool()
  return {
    connect: async () => {
      const client: PgClient = await pool.connect()
      return Object.assign(Object.create(client), {
        query: (text: string, values?: unknown[]) => client.query(text, values),
        release: (destroy?: boolean) => client.release(destroy),
        ...change(client),
      })
    },
  }
}

/** The statements of that application that are under way. */
async function waits(events: EventTable) {
  const { rows } = await db.pool.query<{ pid: number; xmin: string | null }>(
    `select pid, backend_xmin::text as xmin from pg_stat_activity
     where application_name = $1 and state = 'active' and query like 'do %'`,
    [events.schema],
  )
  return rows
}

const waiting = async (events: EventTable) => await eventually(() => waits(events)).toHaveLength(1)

async function terminate(events: EventTable): Promise<void> {
  for (const { pid } of await waits(events)) await db.pool.query('select pg_terminate_backend($1)', [pid])
}

test.each([
  ['an identity', undefined, {}],
  ['a default', 'create table events (position bigserial primary key, type text)', {}],
  [
    'partitions',
    `create table events (position bigint generated always as identity, type text default 'a', primary key (position, type))
       partition by list (type); create table rest partition of events default`,
    {},
  ],
  [
    'the option sequence',
    `create sequence "numbers 'of' $$ events"; create table events (position bigint primary key, type text);
     create function number() returns trigger language plpgsql set search_path from current as $$
       begin new.position := nextval('"numbers ''of'' $$ events"'); return new; end $$`.replaceAll(
      '$$ events',
      '$ events',
    ),
    { sequence: `"numbers 'of' $ events"` },
  ],
])('an append is told of at once: %s', async (name, ddl, options) => {
  const events = await db.events(ddl)
  if (name === 'the option sequence') {
    await events.run('create trigger number before insert on events for each row execute function number()')
  }
  const { sees } = await told(events, options)
  await waiting(events)
  for (const position of [1n, 2n, 3n]) {
    await events.append()
    await sees(position)
  }
})

test('an event is told of whose transaction is open for long after its number was handed out', async () => {
  const events = await db.events()
  const { agent, sees } = await told(events)
  const writer = await db.session()
  await writer.query(`begin; insert into ${events.name} default values`)
  await eventually(() => agent.status().holders).toHaveLength(1)
  await writer.query('commit')
  await sees(1n)
})

test('an append is told of in the mode that proves nothing', async () => {
  const events = await db.events()
  const { sees } = await told(events, { highWater: { mode: 'stale-threshold', thresholdMs: 100 } })
  await waiting(events)
  await events.append()
  await sees(1n)
})

/** One transaction each, so many a second. */
async function rollBack(events: EventTable, transactions: number, everyMs: number): Promise<void> {
  const writer = await db.session()
  const begunMs = performance.now()
  for (let n = 1; n <= transactions; n++) {
    await writer.query(`begin; insert into ${events.name} default values; rollback`)
    await new Promise((resolve) => setTimeout(resolve, begunMs + n * everyMs - performance.now()))
  }
}

test('writers that only roll back cause no more polls than pollDelayMs allows, and nothing is told as skipped', async () => {
  const events = await db.events()
  const [transactions, pollDelayMs] = [300, 100]
  const seen: unknown[] = []
  const skips: unknown[] = []
  let polls = 0
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.newPool({ application_name: events.schema }), table: events.name }),
    checkpoints: inMemoryCheckpoints(),
    projections: [{ name: 'all', handle: (page) => void seen.push(...page.map(({ position }) => position)) }],
    pollIntervalMs: NEVER_MS,
    pollDelayMs,
    telemetry: { polled: () => polls++, skipped: (report) => skips.push(report) },
  })
  await waiting(events)
  const [before, begunMs] = [polls, performance.now()]
  await rollBack(events, transactions, 5)
  await eventually(() => daemon.status().highWater.settled).toBe(BigInt(transactions))
  const [caused, tookMs] = [polls - before, performance.now() - begunMs]
  // But for the few that may come in a row after a quiet spell.
  expect(caused).toBeLessThanOrEqual(tookMs / pollDelayMs + 5)
  await events.append()
  await daemon.waitUntilProjected()
  expect(seen).toEqual([BigInt(transactions + 1)])
  expect(skips).toEqual([])
  expect(daemon.status().projections[0]?.skipped).toEqual({})
})

test('a wait keeps no snapshot for longer than a pause, and no lock that a writer or a poll could take for a writer', async () => {
  const events = await db.events()
  await told(events)
  await waiting(events)
  for (let look = 0; look < 5; look++) {
    const { rows } = await db.pool.query<{ xid: string }>('select pg_current_xact_id()::xid::text as xid')
    await eventually(async () =>
      (await waits(events)).map(({ xmin }) => Number(xmin ?? Number.POSITIVE_INFINITY)),
    ).toEqual([expect.toSatisfy((xmin: number) => xmin > Number(rows[0]?.xid))])
    const { rows: locks } = await db.pool.query<{ mode: string }>(
      `select distinct mode from pg_locks l join pg_stat_activity a using (pid)
       where application_name = $1 and query like 'do %' and locktype = 'relation'`,
      [events.schema],
    )
    expect(['AccessShareLock', undefined]).toContain(locks[0]?.mode)
    expect(locks.length).toBeLessThanOrEqual(1)
  }
})

test('an idle wait is a statement a second, of a text that stays the same', async () => {
  const events = await db.events()
  await told(events)
  await waiting(events)
  const seen = new Set<string>()
  const texts = new Set<string>()
  const begunMs = performance.now()
  while (performance.now() - begunMs < 2_200) {
    const { rows } = await db.pool.query(
      `select query_start::text as start, query from pg_stat_activity where application_name = $1 and query like 'do %'`,
      [events.schema],
    )
    for (const row of rows) {
      seen.add(row.start)
      texts.add(row.query)
    }
  }
  expect(seen.size).toBeLessThanOrEqual(4)
  expect(texts.size).toBe(1)
})

test('a wait whose connection is killed again and again is begun again, and told of once; polls go on, and nothing else changes', async () => {
  const events = await db.events()
  const { agent, warnings, failures, sees } = await told(events)
  for (const position of [1n, 2n, 3n]) {
    await waiting(events)
    await terminate(events)
    await events.append()
    await sees(position)
  }
  await waiting(events)
  await events.append()
  await sees(4n)
  expect(warnings).toEqual([
    expect.stringMatching(
      /^tidemark: wake-ups of .* failed and are tried again; polling goes on: (the connection was lost: )?terminating connection/,
    ),
  ])
  expect(failures).toEqual([])
  expect(agent.status()).toMatchObject({ state: 'polling', error: undefined })
})

test('a wait that the pool sends with another statement is refused by the server, which is told once, and polls go on', async () => {
  const events = await db.events()
  const pool = changedPool((client) => ({
    query: (text, values) => client.query(text.startsWith('do ') ? `select 1; ${text}` : text, values),
  }))
  const { warnings, failures, sees } = await told(events, { pool }, 50)
  await eventually(() => warnings).toEqual([
    expect.stringContaining('a wait commits, and has to be a statement of its own'),
  ])
  await events.append()
  await sees(1n)
  expect(warnings).toHaveLength(1)
  expect(failures).toEqual([])
})

test('however many projections read a table, their process waits on one connection', async () => {
  const events = await db.events()
  let handled = 0
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.newPool({ application_name: events.schema }), table: events.name }),
    checkpoints: inMemoryCheckpoints(),
    projections: Array.from({ length: 20 }, (_, n) => ({
      name: `projection ${n}`,
      handle: (page: readonly unknown[]) => {
        handled += page.length
      },
    })),
  })
  await waiting(events)
  await events.append(20)
  await daemon.waitUntilProjected()
  expect(handled).toBe(20 * 20)
  const { rows } = await db.pool.query(
    "select pid from pg_stat_activity where application_name = $1 and query like 'do %'",
    [events.schema],
  )
  expect(rows).toHaveLength(1)
})

test('an event that was appended while no wait was there is found by the poll that its end brings', async () => {
  const events = await db.events()
  const { sees } = await told(events)
  await waiting(events)
  // The next wait hangs: it is the appending transaction that locks the sequence.
  const session = await db.session()
  await session.query(`begin; alter sequence ${events.schema}.events_position_seq owner to current_user`)
  await terminate(events)
  await session.query('commit')
  await events.append()
  await sees(1n)
})

test('a wait that is cancelled is no failure', async () => {
  const events = await db.events()
  const { warnings, sees } = await told(events)
  await waiting(events)
  for (const { pid } of await waits(events)) await db.pool.query('select pg_cancel_backend($1)', [pid])
  await events.append()
  await sees(1n)
  expect(warnings).toEqual([])
})

test('stop leaves no wait behind on the server', async () => {
  const events = await db.events()
  const { agent } = await told(events)
  await waiting(events)
  await agent.stop()
  await eventually(() => waits(events)).toEqual([])
})

const LIMITS = [
  'statement_timeout',
  'idle_session_timeout',
  'idle_in_transaction_session_timeout',
  ...(testedMajor() < 17 ? [] : ['transaction_timeout']),
]

test.each(LIMITS)(
  'waits stay below %s of their role: nothing fails, and no connection is made again and again',
  async (setting) => {
    const events = await db.events()
    const role = await db.role(
      `grant usage on schema ${events.schema} to :role; grant select on all tables in schema ${events.schema} to :role;
     grant select on all sequences in schema ${events.schema} to :role; alter role :role set ${setting} = '1s'`,
    )
    const pool = db.newPool({ ...asRole(db.url, role), application_name: events.schema })
    let made = 0
    pool.on('connect', () => made++)
    const { warnings, failures, sees } = await told(events, { pool })
    await waiting(events)
    // Longer than the limit.
    await new Promise((resolve) => setTimeout(resolve, 1_300))
    await events.append()
    await sees(1n)
    expect({ warnings, failures }).toEqual({ warnings: [], failures: [] })
    // One that waits, what it is begun beside, one that polls, and the one after it where it was idle for too long.
    expect(made).toBeLessThanOrEqual(4)
  },
)

test('a role that may not run it polls, and is told so once', async () => {
  const events = await db.events()
  const role = await db.role(
    `grant usage on schema ${events.schema} to :role; grant select on all tables in schema ${events.schema} to :role;
     grant select on all sequences in schema ${events.schema} to :role; revoke usage on language plpgsql from public`,
  )
  onTestFinished(async () => {
    await db.pool.query('grant usage on language plpgsql to public')
  })
  const warnings: string[] = []
  const agent = await agentOver(
    { pool: db.newPool(asRole(db.url, role)), table: events.name },
    { logger: { info: () => {}, warn: (message) => warnings.push(message), error: () => {} } },
  )
  await eventually(() => warnings).toEqual([
    expect.stringContaining('permission denied for language plpgsql'),
  ])
  await events.append()
  await eventually(() => agent.mark).toBe(1n)
  expect(warnings).toHaveLength(1)
})

test('a connection on which somebody has left a transaction open is not waited on', async () => {
  const events = await db.events()
  const pool = db.newPool({ application_name: events.schema })
  const source = postgresEvents({ pool, table: events.name })
  await source.open({ signal: AbortSignal.timeout(10_000) })
  const left = await Promise.all([pool.connect(), pool.connect()])
  await left[0].query('begin')
  left[1].release(true)
  left[0].release()
  const listening = new AbortController()
  const hints = source.wakeUps?.(listening.signal)[Symbol.asyncIterator]()
  expect(await hints?.next()).toEqual({ done: false, value: { handedOut: 0n, tellsAll: true } })
  listening.abort()
  expect(await hints?.next()).toMatchObject({ done: true })
})

describe('a pool', () => {
  test('that has no connection to spare is refused where wake-ups were asked for', () => {
    const pool = db.newPool({ max: 2 })
    for (const wakeUps of ['wait', { listen: 'appended' }] as const) {
      const make = () => postgresEvents({ pool, table: 'events', wakeUps })
      expect(make).toThrow(InvalidOptionError)
      expect(make).toThrow(/wakeUps: .* a pool of at least 3 connections/)
    }
  })

  test('that is too small is told of where nobody has asked for wake-ups, and polls', async () => {
    const events = await db.events()
    const warnings: string[] = []
    const agent = await agentOver(
      { pool: db.newPool({ max: 2 }), table: events.name },
      { logger: { info: () => {}, warn: (message) => warnings.push(message), error: () => {} } },
    )
    await eventually(() => warnings).toEqual([expect.stringContaining('the pool has at most 2 connections')])
    await events.append()
    await eventually(() => agent.mark).toBe(1n)
  })

  test('keeps two connections for its polls and handlers, however many sources wait', async () => {
    const pool = db.newPool({ max: 4 })
    const all: { readonly warnings: readonly string[] }[] = []
    for (let n = 0; n < 4; n++) {
      const events = await db.events()
      all.push(await told(events, { pool }))
    }
    const refused = () => all.flatMap(({ warnings }) => warnings)
    await eventually(refused).toEqual(
      Array(2).fill(expect.stringContaining('of which 2 are kept by wake-ups')),
    )
    const clients = await Promise.all([pool.connect(), pool.connect()])
    for (const client of clients) client.release()
  })
})

describe('with listen', () => {
  const appendAndNotify = async (events: EventTable) => {
    await db.pool.query(`begin; insert into ${events.name} default values; notify "News"; commit`)
  }

  test('a notification is told of at once', async () => {
    const events = await db.events()
    const { sees } = await told(events, { wakeUps: { listen: 'News' } })
    for (const position of [1n, 2n]) {
      await appendAndNotify(events)
      await sees(position)
    }
  })

  test('a connection that is killed is made again, and what was missed meanwhile is polled for', async () => {
    const events = await db.events()
    const { sees, warnings } = await told(events, { wakeUps: { listen: 'News' } })
    const listeners = async () =>
      (
        await db.pool.query(
          `select pid from pg_stat_activity where application_name = $1 and query = 'select 1'`,
          [events.schema],
        )
      ).rows
    await eventually(listeners).toHaveLength(1)
    await appendAndNotify(events)
    await sees(1n)
    for (const { pid } of await listeners()) await db.pool.query('select pg_terminate_backend($1)', [pid])
    await appendAndNotify(events)
    await sees(2n)
    await eventually(() => warnings).toHaveLength(1)
  })

  test('where the server ends idle sessions, it is made again ever more seldom, said once, and polls go on', async () => {
    const events = await db.events()
    const role = await db.role(
      `grant usage on schema ${events.schema} to :role; grant select on all tables in schema ${events.schema} to :role;
     grant select on all sequences in schema ${events.schema} to :role; alter role :role set idle_session_timeout = '100ms'`,
    )
    const pool = db.newPool({ ...asRole(db.url, role), application_name: events.schema })
    // A poll may be given a connection in the moment in which it ends: it is sent again.
    const { warnings, sees } = await told(events, { pool, wakeUps: { listen: 'News' } }, 500)
    let ended = 0
    pool.on('connect', (client) => client.on('error', () => ended++))
    await eventually(() => warnings).toHaveLength(1)
    await eventually(() => ended).toBeGreaterThanOrEqual(3)
    for (const position of [1n, 2n]) {
      await events.append()
      await sees(position)
    }
    expect(warnings).toHaveLength(1)
    // One a limit would be some thirty by now; a poll that finds its own one ended makes another, too.
    expect(ended).toBeLessThan(20)
  })

  test('a connection on which no notification arrives is told of at once, and polls go on', async () => {
    const events = await db.events()
    const pool = changedPool((client) => ({
      on: (event: string, listener: (error: Error) => void) =>
        event === 'notification' ? client : client.on('error', listener),
    }))
    const { warnings, failures, sees } = await told(events, { pool, wakeUps: { listen: 'News' } }, 50)
    await eventually(() => warnings).toEqual([
      expect.stringMatching(/wakeUps\.listen: a notification of its own did not arrive/),
    ])
    await appendAndNotify(events)
    await sees(1n)
    expect(warnings).toHaveLength(1)
    expect(failures).toEqual([])
  })
})

test.each([
  ['wake', /wakeUps: expected 'wait', 'none' or \{ listen: 'channel' \}/],
  [{ listen: '' }, /wakeUps\.listen/],
  [{ channel: 'a' }, /channel/],
])('%o is no way to be woken up', (wakeUps, message) => {
  const make = () => postgresEvents({ pool: db.pool, table: 'events', wakeUps: wakeUps as 'wait' })
  expect(make).toThrow(InvalidOptionError)
  expect(make).toThrow(message)
})

test("'none' asks the server nothing besides polls", () => {
  expect(postgresEvents({ pool: db.pool, table: 'events', wakeUps: 'none' }).wakeUps).toBeUndefined()
})
