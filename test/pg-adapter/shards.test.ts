import type { DaemonOptions, Projection } from '@tidemark/core'
import { createProgressReader } from '@tidemark/core'
import { type LoadRequest, SLOTS, slotOf, slotRanges, type Unit } from '@tidemark/core/adapter'
import { createOperations } from '@tidemark/core/operations'
import { type PgClient, type PostgresRow, postgresEvents } from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { expect, test } from 'vitest'
import {
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

const db = fileDatabase()
const who = { who: 'Ada', why: 'a test' }

const EVENTS = `create table events (position bigint generated always as identity primary key,
  type text not null default 'a', stream text, number bigint, id uuid, data text)`

async function table(ddl = EVENTS): Promise<EventTable> {
  const events = await db.events(ddl)
  await events.run(HANDLED)
  return events
}

/** Events of 21 streams. */
async function append(events: EventTable, count: number): Promise<void> {
  await events.run(
    `insert into events (stream, number) select 'stream ' || n * n % 41, n % 41 from generate_series(1, ${count}) n`,
  )
}

function options(
  events: EventTable,
  pool: Pool,
  more: Partial<Projection<PostgresRow, PgClient>> = {},
  by: Partial<DaemonOptions<bigint, PostgresRow, PgClient>> = {},
) {
  return {
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, pool),
    projections: [recorder(events, 'orders', { shards: 4, shardBy: 'stream', ...more })],
    ...by,
  }
}

const sorted = (positions: readonly bigint[]): bigint[] => [...positions].sort((a, b) => Number(a - b))

/** Each event once, and those of a stream in their order. */
async function expectAllHandled(events: EventTable): Promise<void> {
  const handled = await handledBy(db.pool, events, 'orders')
  expect(sorted(handled)).toEqual(await appended(db.pool, events))
  const { rows } = await db.pool.query(`select position::text, stream from ${events.name}`)
  const streamOf = new Map(rows.map(({ position, stream }) => [BigInt(position), String(stream)]))
  const last = new Map<string, bigint>()
  for (const position of handled) {
    const stream = streamOf.get(position) ?? ''
    expect(position, `after ${last.get(stream)} of ${stream}`).toBeGreaterThan(last.get(stream) ?? 0n)
    last.set(stream, position)
  }
}

async function ranges(
  events: EventTable,
): Promise<readonly { readonly from: number; readonly to: number }[]> {
  const { rows } = await db.pool.query(
    `select slot_from as from, slot_to as to from ${events.schema}.checkpoints order by slot_from`,
  )
  return rows
}

test.each(['stream', 'number', 'id'])(
  'a page has the events of its slots alone, by the column %s',
  async (column) => {
    const events = await table()
    await events.run(`insert into events (stream, number, id)
    select nullif('stream ' || n % 40, 'stream 0'), nullif(n % 40, 0), case when n % 40 > 0 then gen_random_uuid() end
    from generate_series(1, 400) n`)
    const source = postgresEvents({ pool: db.newPool(), table: events.name })
    const opened = await source.open({ keyColumns: [column], signal: never() })
    const request = { opened, sharesLog: true, signal: never(), previous: undefined, stored: [] }
    const { mark = 0n, incarnation, settled, logPosition } = await source.readHighWater(request)
    const seen: bigint[] = []
    for (const slots of slotRanges(5)) {
      const asked: LoadRequest<bigint> = {
        after: undefined,
        upTo: mark,
        limit: 1_000,
        eventTypes: undefined,
        slots: { column, ...slots },
        evidence: { incarnation, settled, logPosition },
        signal: never(),
      }
      const page = await source.load(asked)
      expect(page.through).toBe(mark)
      for (const event of page.events) {
        const slot = slotOf(event[column] === null ? null : String(event[column]))
        expect(slot).toBeGreaterThanOrEqual(slots.from)
        expect(slot).toBeLessThanOrEqual(slots.to)
      }
      seen.push(...page.positions)
    }
    expect(sorted(seen)).toEqual(await appended(db.pool, events))
  },
)

test('beside a projection whose pages come along with polls, each shard is handed its own events alone', async () => {
  const events = await table()
  const pool = db.newPool({ max: 20 })
  const beside = recorder(events, 'beside')
  const byFunction = recorder(events, 'by function', { shards: 4, keyOf: ({ stream }) => String(stream) })
  const [orders] = options(events, pool).projections
  const daemon = await startDaemon({
    ...options(events, pool),
    projections: [beside, byFunction, ...(orders ? [orders] : [])],
  })
  for (let n = 0; n < 60; n++) {
    await append(events, 3)
    await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  }
  await expectAllHandled(events)
  for (const name of ['beside', 'by function']) {
    expect(sorted(await handledBy(db.pool, events, name))).toEqual(await appended(db.pool, events))
  }
})

test.each<[string, Partial<Projection<PostgresRow, PgClient>>]>([
  ['by a column', { shardBy: 'stream' }],
  ['by a function', { keyOf: ({ stream }) => String(stream) }],
])(
  'each event is handled once, and in the order of its stream, %s, also where connections are cut',
  async (_, by) => {
    const events = await table()
    const { shardBy, ...rest } = options(events, db.newPool()).projections[0] ?? recorder(events, 'orders')
    const pool = db.newPool({ max: 20, application_name: `shards ${events.schema}` })
    await append(events, 2_000)
    const daemon = await startDaemon({
      ...options(events, pool),
      projections: [{ ...rest, batchSize: 50, ...by }],
    })
    for (let cut = 0; cut < 15; cut++) {
      await append(events, 100)
      await db.pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name = $1 order by random() limit 2`,
        [`shards ${events.schema}`],
      )
    }
    await daemon.waitUntilProjected({ timeoutMs: 60_000 })
    await expectAllHandled(events)
    const [orders] = daemon.status().projections
    expect(orders?.shards).toHaveLength(4)
    expect(orders?.handledEvents).toBe((await appended(db.pool, events)).length)
    for (const shard of orders?.shards ?? []) expect(shard.handledEvents).toBeGreaterThan(0)
  },
)

test('shards of one projection are worked on by several daemons, and go on when one is gone', async () => {
  const events = await table()
  const daemons = await Promise.all(
    [0, 1].map(() => startDaemon(options(events, db.newPool({ max: 20 }), { batchSize: 20 }))),
  )
  const numbered = options(events, db.newPool({ max: 20 }))
  await append(events, 1_000)
  for (const daemon of daemons) await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  await daemons[0]?.stop()
  await append(events, 500)
  await daemons[1]?.waitUntilProjected({ timeoutMs: 60_000 })
  await expectAllHandled(events)
  await daemons[1]?.stop()
  const dealt = await Promise.all(
    [0, 1].map((index) => startDaemon({ ...numbered, nodes: { index, of: 2 } })),
  )
  await append(events, 500)
  for (const daemon of dealt) await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  await expectAllHandled(events)
  for (const daemon of dealt) {
    const [orders] = daemon.status().projections
    expect(orders?.shards?.filter(({ dealtTo }) => dealtTo?.isHere)).toHaveLength(2)
  }
})

test('the rows of all shards are made at once, cover each slot once, and stay as they are', async () => {
  const events = await table()
  const stores = Array.from({ length: 6 }, () => checkpointsBeside(events, db.newPool({ max: 10 })))
  await stores[0]?.prepare?.(never())
  const first = { source: events.name, head: '0' }
  const inShards = (shards: number): Promise<unknown>[] =>
    slotRanges(shards).map((slots, index) => {
      const unit: Unit = { projection: 'orders', version: 1, slots }
      return stores[index % stores.length]?.open(
        unit,
        { ...first, shards: slotRanges(shards) },
        never(),
      ) as Promise<unknown>
    })
  const opened = await Promise.allSettled([...inShards(4), ...inShards(3), ...inShards(1)])
  const stored = await ranges(events)
  expect(slotRanges(stored.length)).toEqual(stored)
  expect(stored.reduce((sum, { from, to }) => sum + to - from + 1, 0)).toBe(SLOTS)
  expect(opened.filter(({ status }) => status === 'fulfilled')).toHaveLength(stored.length)
  for (const each of opened) {
    if (each.status === 'rejected') expect(each.reason).toMatchObject({ code: 'TIDEMARK_SHARDS_STORED' })
  }
})

test('a projection that is stored in one shard runs in that, whatever number a daemon is given', async () => {
  const events = await table()
  const whole = await startDaemon(options(events, db.newPool(), { shards: 1 }))
  await append(events, 50)
  await whole.waitUntilProjected({ timeoutMs: 30_000 })
  await whole.stop()
  const before = await ranges(events)
  await append(events, 50)
  const daemon = await startDaemon(options(events, db.newPool()))
  await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  expect(await ranges(events)).toEqual(before)
  expect(daemon.status().projections[0]).toMatchObject({ shards: undefined, state: 'live' })
  await expectAllHandled(events)
})

test.each<[string, string, RegExp]>([
  ['that is not there', 'missing', /has no such column/],
  ['of times', 'at', /is of type timestamp with time zone/],
  ['of numbers that have several texts', 'amount', /is of type numeric/],
  ['of JSON', 'meta', /is of type jsonb/],
])('a column %s is refused at the start', async (_, shardBy, message) => {
  const events = await table(
    `${EVENTS}; alter table events add at timestamptz, add amount numeric, add meta jsonb`,
  )
  await expect(startDaemon(options(events, db.newPool(), { shardBy }))).rejects.toMatchObject({
    code: 'TIDEMARK_POSTGRES_CONDITION',
    condition: 'key_column',
    message: expect.stringMatching(message),
  })
})

test('a column of a domain over text, and one with a capital letter, are compared', async () => {
  const events = await table(`${EVENTS}; create domain key as text; alter table events add "Key" key`)
  await events.run(`insert into events ("Key") select 'key ' || n % 40 from generate_series(1, 200) n`)
  const daemon = await startDaemon(options(events, db.newPool(), { shardBy: 'Key' }))
  await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  expect(sorted(await handledBy(db.pool, events, 'orders'))).toEqual(await appended(db.pool, events))
})

test('what one shard gives up is its own: it is retried there, and no other shard is held up', async () => {
  const events = await table()
  const pool = db.newPool({ max: 20 })
  let isMended = false
  const recording = recorder(events, 'orders')
  const daemon = await startDaemon(
    options(events, pool, {
      attempts: 1,
      onFailure: 'park_key',
      keyOf: ({ stream }) => String(stream),
      handle: async (page, context) => {
        if (!isMended && page.some(({ stream }) => stream === 'stream 1')) throw new Error('not stream 1')
        await recording.handle(page, context)
      },
    }),
  )
  await append(events, 200)
  await daemon.waitUntilProjected({ timeoutMs: 60_000 })
  const { rows: own } = await db.pool.query(
    `select e.position::text from ${events.name} e where stream = 'stream 1' order by e.position`,
  )
  const operations = createOperations({ checkpoints: checkpointsBeside(events, pool) })
  const letters = await operations.deadLetters.list({ state: 'open' })
  expect(letters.map(({ firstPosition }) => firstPosition)).toEqual(own.map(({ position }) => position))
  const { rows: slots } = await db.pool.query(
    `select distinct slot_from, slot_to from ${events.schema}.dead_letters`,
  )
  expect(slots).toHaveLength(1)
  expect(slots[0].slot_from).toBeLessThanOrEqual(slotOf('stream 1'))
  expect(slots[0].slot_to).toBeGreaterThanOrEqual(slotOf('stream 1'))
  const [orders] = daemon.status().projections
  expect(orders?.skipped).toEqual({ apply_error: BigInt(own.length) })
  isMended = true
  await operations.deadLetters.retry({ projection: 'orders', ...who })
  await eventually(() => operations.deadLetters.list({ state: 'open' })).toEqual([])
  await expectAllHandled(events)
})

test('its position, and whoever waits elsewhere, keep to the least of its shards; a pause holds all of them', async () => {
  const events = await table()
  const pool = db.newPool({ max: 20 })
  const daemon = await startDaemon(options(events, pool))
  await append(events, 100)
  await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  const checkpoints = checkpointsBeside(events, pool)
  const operations = createOperations({ checkpoints, source: postgresEvents({ pool, table: events.name }) })
  await operations.pause({ projection: 'orders', ...who })
  await append(events, 100)
  const reader = createProgressReader({ checkpoints, source: postgresEvents({ pool, table: events.name }) })
  await expect(
    reader.waitFor({ projection: 'orders', position: 200n, timeoutMs: 500 }),
  ).rejects.toMatchObject({
    code: 'TIDEMARK_WAIT_TIMEOUT',
  })
  expect(await reader.position('orders')).toBe(100n)
  await eventually(() => daemon.status().projections[0]).toMatchObject({ state: 'paused', position: 100n })
  const [first, ...others] = await checkpoints.list({}, never())
  // One of them is held back by itself.
  await events.run(`update checkpoints set desired = 'running' where slot_from <> ${first?.unit.slots.from}`)
  await eventually(async () =>
    (await checkpoints.list({}, never())).filter(({ position }) => position === '200'),
  ).toHaveLength(others.length)
  expect(await reader.position('orders')).toBe(100n)
  await operations.resume({ projection: 'orders', ...who })
  await reader.waitFor({ projection: 'orders', position: 200n, timeoutMs: 30_000 })
  await expectAllHandled(events)
})
