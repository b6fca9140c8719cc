import type { CheckpointStore, HighWaterReading } from '@tidemark/core'
import { type Evidence, wholeUnit } from '@tidemark/core/adapter'
import {
  type PgClient,
  type PostgresEventsOptions,
  postgresCheckpoints,
  postgresEvents,
} from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { expect, test } from 'vitest'
import {
  agentOver,
  appended,
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../support/event-table.ts'
import { never } from '../support/never.ts'
import { pollOf } from '../support/poll.ts'

const db = fileDatabase()

const LEFT_OPEN = { code: 'TIDEMARK_TRANSACTION_LEFT_OPEN' }
const HALF_DONE = 'create table half_done (a int)'

/** Gives a connection back to the pool with a transaction open in which that was run. */
async function leaveOpen(pool: Pool, statements: readonly string[]) {
  const client = await pool.connect()
  for (const statement of statements) await client.query(statement).catch(() => {})
  client.release()
}

const readBy = (isolation: string) => (events: EventTable) => [
  `begin isolation level ${isolation}`,
  `select from ${events.name}`,
]
const readBefore = readBy('repeatable read')
const written = (events: EventTable) => ['begin', `insert into ${events.schema}.half_done values (1)`]

const TRANSACTIONS: [string, (events: EventTable) => string[]][] = [
  ['has read, read committed', readBy('read committed')],
  ['has read, repeatable read', readBefore],
  ['has read, serializable', readBy('serializable')],
  ['has written', written],
  ['has failed', () => ['begin', 'select 1 / 0']],
  ['has a savepoint', () => ['begin', 'savepoint s']],
]

const halfDone = async (events: EventTable) =>
  (await db.pool.query(`select from ${events.schema}.half_done`)).rowCount

/** What a poll of those events has just seen. */
async function polled(events: EventTable) {
  const agent = await agentOver({ pool: db.pool, table: events.name })
  const { mark, incarnation, settled, logPosition } = await agent.freshReading()
  if (mark === undefined) throw new Error('there are events')
  return { mark, evidence: { incarnation, settled, logPosition } }
}

test.each(TRANSACTIONS)(
  'a page on a connection that the pool was given back with a transaction open, which %s, passes nothing, and is read on another',
  async (_, left) => {
    const events = await db.events()
    await events.run(HALF_DONE)
    await events.append(2)
    const pool = db.newPool({ max: 1 })
    await leaveOpen(pool, left(events))
    await events.append(2)
    const { mark, evidence } = await polled(events)
    const source = postgresEvents({ pool, table: events.name })
    const { signal } = new AbortController()
    const load = () =>
      source.load({ after: undefined, upTo: mark, limit: 100, eventTypes: undefined, evidence, signal })

    const error: unknown = await load().catch((reason: unknown) => reason)
    expect(error).toMatchObject(LEFT_OPEN)
    expect(source.isTransient(error)).toBe(true)
    expect((await load()).positions).toEqual([1n, 2n, 3n, 4n])
    expect(await halfDone(events)).toBe(0)
  },
)

test.each(TRANSACTIONS)(
  'a poll on a connection with a transaction open, which %s, fails, and the next one goes on',
  async (_, left) => {
    const events = await db.events()
    await events.run(HALF_DONE)
    await events.append(2)
    const pool = db.newPool({ max: 1 })
    const source = postgresEvents({ pool, table: events.name })
    const poll = (previous?: HighWaterReading<bigint>) => pollOf(source, previous)

    await leaveOpen(pool, left(events))
    await expect(poll()).rejects.toMatchObject(LEFT_OPEN)
    const first = await poll()
    // The probe of an idle store, and a poll of the three steps.
    const idle = await poll(first)
    await leaveOpen(pool, left(events))
    await expect(poll(idle)).rejects.toMatchObject(LEFT_OPEN)
    const last = await events.append()
    await leaveOpen(pool, left(events))
    await expect(poll(idle)).rejects.toMatchObject(LEFT_OPEN)
    expect(await poll(idle)).toMatchObject({ mark: last, holders: [] })
    expect(await halfDone(events)).toBe(0)
  },
)

type Call = (store: CheckpointStore<PgClient>, source: string, evidence: Evidence<string>) => Promise<unknown>

const CALLS: [string, Call][] = [
  ['prepare()', async (store) => await store.prepare?.(never())],
  [
    'read()',
    async (store, source) => await store.open(wholeUnit('new'), { source: source, head: undefined }, never()),
  ],
  ['progress()', async (store, source) => await store.progress(source, never())],
  ['settled.save()', async (store, source, evidence) => await store.settled?.save(source, evidence, never())],
  [
    'skips.record()',
    async (store, source) =>
      await store.skips?.record(source, [{ stored: '1', current: '3', count: 1n }], never()),
  ],
  ['sharesLogWith()', async (store, _, { incarnation }) => await store.sharesLogWith(incarnation, never())],
  [
    'advance()',
    async (store, source, evidence) =>
      await store.advance(
        {
          unit: wholeUnit('known'),
          source,
          from: undefined,
          to: '2',
          evidence,
          signal: new AbortController().signal,
        },
        async () => {},
      ),
  ],
]

const READ_OR_WRITTEN = TRANSACTIONS.filter(([_, left]) => left === written || left === readBefore)

test.each(
  CALLS.flatMap(([name, call]) => READ_OR_WRITTEN.map(([which, left]) => [name, which, call, left] as const)),
)(
  '%s on a connection with a transaction open, which %s, changes nothing, and works on another',
  async (_name, _which, call, left) => {
    const events = await db.events()
    await events.run(HALF_DONE)
    await events.append(2)
    const { evidence } = await polled(events)
    const before = checkpointsBeside(events, db.pool)
    await before.prepare?.(never())
    await before.open(wholeUnit('known'), { source: events.name, head: undefined }, never())

    const pool = db.newPool({ max: 1 })
    const store = postgresCheckpoints({ pool, schema: events.schema })
    const run = () => call(store, events.name, { ...evidence, settled: '2' })
    await leaveOpen(pool, left(events))
    const error: unknown = await run().catch((reason: unknown) => reason)
    expect(error).toMatchObject(LEFT_OPEN)
    expect(store.isTransient(error)).toBe(true)
    await run()
    expect(await halfDone(events)).toBe(0)
  },
)

test('a transaction that was begun and left with nothing done in it does not keep what is written there', async () => {
  const events = await db.events()
  await events.append(2)
  const { evidence } = await polled(events)
  const pool = db.newPool({ max: 1 })
  const store = postgresCheckpoints({ pool, schema: events.schema })
  await store.prepare?.(never())
  await leaveOpen(pool, ['begin isolation level repeatable read'])
  await store.settled?.save(events.name, { ...evidence, settled: '2' }, never())
  expect(await checkpointsBeside(events, db.pool).progress(events.name, never())).toMatchObject([
    { settled: '2' },
  ])
})

test('a look of stale-threshold mode on a connection with an old snapshot fails, and skips nothing', async () => {
  const events = await db.events()
  const pool = db.newPool({ max: 1 })
  const options: PostgresEventsOptions = {
    pool,
    table: events.name,
    highWater: { mode: 'stale-threshold', thresholdMs: 1 },
  }
  const source = postgresEvents(options)
  const poll = (previous?: HighWaterReading<bigint>) => pollOf(source, previous)
  const first = await poll()
  await leaveOpen(pool, readBefore(events))
  await events.append(3)
  await expect(poll(first)).rejects.toMatchObject(LEFT_OPEN)
  expect(await poll(first)).toMatchObject({ mark: 3n, skipped: [] })
})

test('connections given back with transactions open lose nothing, and repeat nothing, under a running daemon', async () => {
  const events = await db.events()
  await events.run(`${HANDLED}; ${HALF_DONE}`)
  const pool = db.newPool({ max: 4 })
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, pool),
    projections: [recorder(events, 'all', { batchSize: 2 })],
  })
  for (let round = 0; round < 4; round++) {
    await Promise.all(TRANSACTIONS.slice(0, 4).map(([_, left]) => leaveOpen(pool, left(events))))
    await events.append(5)
    await daemon.waitUntilProjected()
    await eventually(() => daemon.status().highWater.state).toBe('polling')
  }
  await daemon.stop()
  expect(await handledBy(db.pool, events, 'all')).toEqual(await appended(db.pool, events))
  expect(await halfDone(events)).toBe(0)
})
