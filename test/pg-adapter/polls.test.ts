import { postgresEvents } from '@tidemark/pg-adapter'
import type { PoolClient } from 'pg'
import { expect, test } from 'vitest'
import { systemClock } from '../../packages/core/src/kernel/clock.ts'
import {
  agentOver,
  checkpointsBeside,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../support/event-table.ts'
import { pollOf } from '../support/poll.ts'

const db = fileDatabase()

const HOUR_MS = 3_600_000

test('the mark stays where it was when its row is deleted', async () => {
  const events = await db.events()
  await events.append(3)
  const agent = await agentOver({ pool: db.pool, table: events.name })
  await events.run('delete from events where position = 3')
  await agent.freshReading()
  expect(agent.mark).toBe(3n)
  await agent.waitFor(await events.append())
  expect(agent.mark).toBe(4n)
})

test('a projection goes on when the rows up to the mark were archived before it had read them', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append(3)
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all')],
  })
  await daemon.waitUntilProjected()
  const writer = await db.session()
  await writer.query('begin')
  await writer.query(`insert into ${events.name} default values`)
  await events.append(3)
  await events.run('delete from events where position <= 6')
  await writer.query('commit')
  await events.append()
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n, 4n, 7n, 8n])
})

test('an agent far behind finds the mark below settled, whatever was rolled back at the end', async () => {
  const events = await db.events()
  await events.run('insert into events select from generate_series(1, 1500)')
  await events.run("select setval('events_position_seq', 3000)")
  const agent = await agentOver({ pool: db.pool, table: events.name })
  expect(agent.status()).toMatchObject({ head: 3000n, settled: 3000n, mark: 1500n, gaps: [] })
})

test('an error inside a poll leaves nothing open: the next poll goes on', async () => {
  const events = await db.events()
  await events.append(2)
  const pool = db.newPool({ application_name: events.schema, max: 2 })
  const agent = await agentOver({ pool, table: events.name })
  // The poll waits for this lock; its backend is terminated in the middle.
  const blocker = await db.session()
  await blocker.query('begin')
  await blocker.query(`lock table ${events.name} in access exclusive mode`)
  await blocker.query(`select setval('${events.schema}.events_position_seq', 3)`)
  await eventually(async () => {
    const { rows } = await db.pool.query(
      `select pg_terminate_backend(pid) as ended from pg_stat_activity
       where application_name = $1 and wait_event_type = 'Lock'`,
      [events.schema],
    )
    return rows.length
  }).toBeGreaterThan(0)
  await eventually(() => agent.status()).toMatchObject({
    state: 'failing',
    mark: 2n,
    error: expect.any(Error),
  })
  await blocker.query('rollback')
  const last = await events.append(2)
  await agent.waitFor(last)
  expect(agent.status()).toMatchObject({ state: 'polling', mark: last, error: undefined })
  const { rows } = await db.pool.query(
    `select state from pg_stat_activity where application_name = $1 and state like 'idle in transaction%'`,
    [events.schema],
  )
  expect(rows).toEqual([])
})

test('a locked table fails a poll by name, and leaves no backend behind that waits for it', async () => {
  const events = await db.events()
  await events.append(2)
  const pool = db.newPool({ application_name: events.schema })
  const agent = await agentOver({ pool, table: events.name })
  const ddl = await db.session()
  await ddl.query('begin')
  await ddl.query(`lock table ${events.name} in access exclusive mode`)
  await db.pool.query(`select nextval('${events.schema}.events_position_seq')`)
  await eventually(() => agent.status()).toMatchObject({ state: 'failing', error: { code: '55P03' } })
  const { rows } = await db.pool.query(
    `select count(*)::int as waiting from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'`,
    [events.schema],
  )
  expect(rows[0].waiting).toBeLessThanOrEqual(1)
  await ddl.query('rollback')
  const last = await events.append()
  await agent.waitFor(last)
  expect(agent.status()).toMatchObject({ state: 'polling', mark: last, error: undefined })
})

test.each([
  ['the table', 'proof', 'lock table events in access exclusive mode'],
  ['the table', 'stale-threshold', 'lock table events in access exclusive mode'],
  ['the sequence', 'proof', 'alter sequence numbers increment 1'],
] as const)('a first poll fails by name where %s is locked, in %s mode', async (_, mode, statement) => {
  const events = await db.events(`create sequence numbers;
    create table events (position bigint primary key default nextval('numbers'))`)
  const pool = db.newPool({ application_name: events.schema })
  const ddl = await db.session()
  await ddl.query(`set search_path to ${events.schema}; begin; ${statement}`)
  const agent = await agentOver({ pool, table: events.name, highWater: { mode } })
  expect(agent.status()).toMatchObject({ state: 'failing', error: { code: '55P03' } })
  await ddl.query('rollback')
  await agent.waitFor(await events.append())
})

test('an idle store with a rolled-back tail is neither stale nor lagging', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append(2)
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all')],
  })
  const writer = await db.session()
  await writer.query('begin')
  await writer.query(`insert into ${events.name} select from generate_series(1, 10)`)
  await writer.query('rollback')
  await daemon.waitUntilProjected()
  expect(daemon.status()).toMatchObject({
    highWater: { head: 12n, settled: 12n, mark: 2n, gaps: [], stale: false },
    projections: [{ state: 'live', position: 2n, lagPositions: 0n }],
  })
})

test('an idle store with a rolled-back tail does not become stale with time', async () => {
  const events = await db.events()
  await events.append(2)
  let aheadMs = 0
  // Whoever sleeps when the clock is moved has slept: a poll in flight seems to take an hour, and is rested from as long.
  const clock = {
    nowMs: () => systemClock.nowMs() + aheadMs,
    sleep: (ms: number, signal: AbortSignal) => systemClock.sleep(Math.min(ms, 1_000), signal),
  }
  await events.run("select setval('events_position_seq', 9)")
  const agent = await agentOver({ pool: db.pool, table: events.name }, { clock })
  aheadMs += HOUR_MS
  await agent.freshReading()
  expect(agent.status()).toMatchObject({ state: 'polling', stale: false, settled: 9n, mark: 2n })
  const holder = await db.session()
  await holder.query('begin')
  await holder.query(`insert into ${events.name} default values`)
  await eventually(() => agent.status().head).toBe(10n)
  aheadMs += HOUR_MS
  await agent.freshReading()
  expect(agent.status()).toMatchObject({ stale: true, gaps: [{ from: 10n }] })
  expect(agent.status().gaps[0]?.openForMs).toBeGreaterThanOrEqual(HOUR_MS)
  await holder.query('rollback')
  await agent.waitFor(10n)
  expect(agent.status().stale).toBe(false)
})

test('while idle an agent sends the server one message an interval, and asks for no holders', async () => {
  const events = await db.events()
  await events.append()
  const messages: string[] = []
  const counted = {
    connect: async () => {
      const client = await db.pool.connect()
      return Object.assign(Object.create(client), {
        query: (text: string, values?: unknown[]) => {
          messages.push(text)
          return client.query(text, values)
        },
        release: (destroy?: boolean) => client.release(destroy),
      })
    },
  }
  const agent = await agentOver({ pool: counted, table: events.name, wakeUps: 'none' })
  await agent.freshReading()
  await agent.freshReading()
  messages.length = 0
  await agent.freshReading()
  expect(messages).toHaveLength(1)
  expect(messages[0]).not.toMatch(/pg_locks/)
})

test('a poll of an idle store is one message: a look whether there is more, or all of it where a wake-up told that there is', async () => {
  const events = await db.events()
  await events.append(2)
  const pool = db.newPool({ max: 1 })
  let messages = 0
  pool.on('connect', (client: PoolClient) => {
    const send = client.query.bind(client) as (...args: unknown[]) => unknown
    client.query = ((...args: unknown[]) => {
      messages++
      return send(...args)
    }) as typeof client.query
  })
  const source = postgresEvents({ pool, table: events.name })
  let previous = await pollOf(source)
  const messagesOf = async (told?: bigint): Promise<number> => {
    const before = messages
    previous = await pollOf(source, previous, [], told)
    return messages - before
  }
  // Each kind of poll is prepared on its second use.
  for (let n = 0; n < 3; n++) await messagesOf(await events.append())
  for (let n = 0; n < 3; n++) await messagesOf()
  expect(await messagesOf()).toBe(1)
  expect(await messagesOf(previous.head)).toBe(1)
  const told = await events.append()
  expect(await messagesOf(told)).toBe(1)
  expect(previous).toMatchObject({ head: told, settled: told, mark: told })
  // Nobody has told.
  await events.append()
  expect(await messagesOf()).toBe(2)
})
