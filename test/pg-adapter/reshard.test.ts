import type { Projection } from '@tidemark/core'
import { createDaemon } from '@tidemark/core'
import { SLOTS, slotRanges, type Unit } from '@tidemark/core/adapter'
import { createOperations } from '@tidemark/core/operations'
import {
  type PgClient,
  type PgPool,
  type PostgresRow,
  postgresCheckpoints,
  postgresEvents,
} from '@tidemark/pg-adapter'
import { expect, onTestFinished, test } from 'vitest'
import {
  appended,
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
} from '../support/event-table.ts'
import { never } from '../support/never.ts'

const db = fileDatabase()
const who = { who: 'Ada', why: 'a test' }
const FIRST = { source: 'events', head: '0' }

async function table(): Promise<EventTable> {
  const events = await db.events(
    'create table events (position bigint generated always as identity primary key, stream text not null)',
  )
  await events.run(HANDLED)
  return events
}

const append = (events: EventTable, count: number): Promise<void> =>
  events.run(`insert into events (stream) select 'stream ' || n % 23 from generate_series(1, ${count}) n`)

/** The shards as they are stored: slots, and where each stands. */
async function stored(
  events: EventTable,
): Promise<readonly { from: number; to: number; position: string | null }[]> {
  const { rows } = await db.pool.query(
    `select slot_from as from, slot_to as to, position from ${events.schema}.checkpoints order by slot_from`,
  )
  return rows
}

function start(events: EventTable, shards: number, more: Partial<Projection<PostgresRow, PgClient>> = {}) {
  const pool = db.newPool({ max: 20 })
  const daemon = createDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, pool),
    projections: [recorder(events, 'orders', { shards, shardBy: 'stream', ...more })],
    pollIntervalMs: 50,
  })
  onTestFinished(() => daemon.stop())
  return daemon.start().then(() => daemon)
}

/** The rows of so many shards that stand at these positions. */
async function made(events: EventTable, positions: readonly (string | undefined)[]): Promise<void> {
  const store = checkpointsBeside(events, db.pool)
  await store.prepare?.(never())
  const shards = slotRanges(positions.length)
  for (const [index, slots] of shards.entries()) {
    const unit: Unit = { projection: 'orders', version: 1, slots }
    await store.open(unit, { ...FIRST, shards }, never())
    const position = positions[index]
    if (position === undefined) continue
    await events.run(`update checkpoints set position = '${position}' where slot_from = ${slots.from}`)
  }
}

const operationsOn = (events: EventTable, pool: PgPool = db.pool) =>
  createOperations({ checkpoints: postgresCheckpoints({ pool, schema: events.schema }) })

const sorted = (positions: readonly bigint[]): bigint[] => [...positions].sort((a, b) => Number(a - b))

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

test('shards are cut and joined while events come, beside daemons of the former and of the new number', async () => {
  const events = await table()
  const operations = operationsOn(events)
  await append(events, 300)
  let daemon = await start(events, 1)
  await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  for (const shards of [4, 3, 8, 2, 1]) {
    const next = await start(events, shards)
    await append(events, 100)
    await operations.reshard({ projection: 'orders', shards, ...who })
    await append(events, 100)
    await eventually(() => daemon.status().projections[0]?.error).toMatchObject({
      code: 'TIDEMARK_SHARDS_STORED',
    })
    await daemon.stop()
    await next.waitUntilProjected({ timeoutMs: 60_000 })
    expect(await stored(events)).toMatchObject(slotRanges(shards))
    await expectAllHandled(events)
    daemon = next
  }
  const audit = await operations.audit({ projection: 'orders' })
  expect(audit).toHaveLength(4 + 3 + 8 + 2 + 1)
  expect(audit.every(({ operation, who: by }) => operation === 'reshard' && by === 'Ada')).toBe(true)
}, 120_000)

test('shards far apart are cut as they stand, and are not joined: nothing is handled twice or left out', async () => {
  const events = await table()
  await made(events, ['100', '40'])
  const operations = operationsOn(events)
  await operations.reshard({ projection: 'orders', shards: 4, ...who })
  expect((await stored(events)).map(({ position }) => position)).toEqual(['100', '100', '40', '40'])
  await expect(
    operations.reshard({ projection: 'orders', shards: 1, timeoutMs: 200, ...who }),
  ).rejects.toMatchObject({
    code: 'TIDEMARK_OPERATION_PENDING',
    message: expect.stringContaining('0-255 at 100, 256-511 at 100, 512-767 at 40, 768-1023 at 40'),
  })
  await operations.reshard({ projection: 'orders', shards: 2, ...who })
  expect(await stored(events)).toEqual([
    { from: 0, to: 511, position: '100' },
    { from: 512, to: 1_023, position: '40' },
  ])
  expect((await operations.reshard({ projection: 'orders', shards: 2, ...who })).outcome).toBe('already')
})

test('of what was given up and passed the totals stay as they were', async () => {
  const events = await table()
  await made(events, ['100', '100'])
  await events.run(`update checkpoints set skipped = '{"apply_error": 3, "moved": 7}' where slot_from = 0;
    update checkpoints set skipped = '{"apply_error": 5, "moved": 7}' where slot_from > 0`)
  const operations = operationsOn(events)
  for (const shards of [5, 3, 2, 64, 1]) {
    await operations.reshard({ projection: 'orders', shards, ...who })
    const units = await operations.list()
    expect(units).toHaveLength(shards)
    expect(units.reduce((sum, { skipped }) => sum + (skipped.apply_error ?? 0n), 0n)).toBe(8n)
    for (const { skipped } of units) expect(skipped.moved).toBe(7n)
  }
})

test('open dead letters go with their shard, and one of a shard that is cut is in the way', async () => {
  const events = await table()
  await made(events, ['100', '100', '100', '100'])
  await events.run(`insert into dead_letters (projection, version, slot_from, slot_to, source, first_position, last_position, events,
      event_types, stage, error, tries, node) values ('orders', 1, 256, 511, 'events', '7', '7', 1, '{}', 'handle', '{}', 1, 'here');
    insert into dead_letter_counts (projection, version, open) values ('orders', 1, 1)`)
  const operations = operationsOn(events)
  await expect(operations.reshard({ projection: 'orders', shards: 8, ...who })).rejects.toMatchObject({
    code: 'TIDEMARK_OPERATION_REFUSED',
    message: expect.stringContaining('a dead letter of a shard that is cut is open'),
  })
  expect(await stored(events)).toMatchObject(slotRanges(4))
  await operations.reshard({ projection: 'orders', shards: 2, ...who })
  const { rows } = await db.pool.query(`select slot_from, slot_to from ${events.schema}.dead_letters`)
  expect(rows).toEqual([{ slot_from: 0, slot_to: 511 }])
  const [first, second] = await operations.list()
  await operations.deadLetters.retry({ projection: 'orders', timeoutMs: 1, ...who }).catch(() => {})
  expect([first?.isRetryAsked, second?.isRetryAsked]).toEqual([false, false])
  expect((await operations.list()).map(({ isRetryAsked }) => isRetryAsked)).toEqual([true, false])
})

test('a projection that is paused, stays so in other shards; where some are paused, it is not joined', async () => {
  const events = await table()
  await made(events, ['100', '100'])
  const operations = operationsOn(events)
  await events.run(`update checkpoints set desired = 'paused' where slot_from > 0`)
  await expect(operations.reshard({ projection: 'orders', shards: 1, ...who })).rejects.toMatchObject({
    code: 'TIDEMARK_OPERATION_REFUSED',
    message: expect.stringMatching(/orders\[0-511\] is running and orders\[512-1023\] is paused/),
  })
  await operations.pause({ projection: 'orders', ...who })
  await operations.reshard({ projection: 'orders', shards: 1, ...who })
  expect(await operations.list()).toMatchObject([
    { desired: 'paused', decision: { who: 'Ada' }, position: '100' },
  ])
})

/** A pool whose connections are cut right before, or right after, the n-th message that begins with the reshard. */
function cuttingPool(
  n: number,
  when: 'before' | 'after',
): { readonly pool: PgPool; readonly hasCut: () => boolean } {
  const pool = db.newPool({ max: 1 })
  let messages = 0
  let hasCut = false
  return {
    hasCut: () => hasCut,
    pool: {
      connect: async () => {
        const client = await pool.connect()
        const cut = async (): Promise<never> => {
          hasCut = true
          await db.pool.query('select pg_terminate_backend($1)', [
            (client as unknown as { processID: number }).processID,
          ])
          throw new Error('Connection terminated unexpectedly')
        }
        return Object.assign(Object.create(client), {
          query: async (text: string, values: unknown[] = []) => {
            const isIts = /advisory|dead_letters" d set slot|with made as|^rollback$/.test(text)
            if (isIts) messages++
            if (isIts && messages === n && when === 'before') await cut()
            const result = await client.query(text, values.length > 0 ? values : undefined)
            if (isIts && messages === n && when === 'after') await cut()
            return result
          },
          release: (destroy?: boolean) => client.release(destroy),
        })
      },
    },
  }
}

test.each([
  [4, 8],
  [4, 2],
  [4, 3],
])('cut off at any message, the change of %i shards to %i is whole or has not happened', async (from, to) => {
  const seen = new Set<number>()
  let cuts = 0
  for (const when of ['before', 'after'] as const) {
    for (let n = 1; n <= 3; n++) {
      const events = await table()
      await made(events, new Array<string>(from).fill('100'))
      const { pool, hasCut } = cuttingPool(n, when)
      await operationsOn(events, pool)
        .reshard({ projection: 'orders', shards: to, ...who })
        .catch(() => {})
      expect(hasCut()).toBe(true)
      cuts++
      const shards = await stored(events)
      expect([from, to]).toContain(shards.length)
      expect(shards).toMatchObject(slotRanges(shards.length))
      expect(shards.reduce((sum, shard) => sum + shard.to - shard.from + 1, 0)).toBe(SLOTS)
      seen.add(shards.length)
      await operationsOn(events).reshard({ projection: 'orders', shards: to, ...who })
      expect(await stored(events)).toMatchObject(slotRanges(to))
    }
  }
  expect(cuts).toBe(6)
  expect([...seen].sort()).toEqual([from, to].sort())
})

test('many who ask at once for several numbers leave one of them, whole', async () => {
  const events = await table()
  await made(events, ['100', '100'])
  const operations = operationsOn(events)
  await Promise.all(
    [3, 5, 8, 13].map((shards) => operations.reshard({ projection: 'orders', shards, ...who })),
  )
  const shards = await stored(events)
  expect([3, 5, 8, 13]).toContain(shards.length)
  expect(shards).toMatchObject(slotRanges(shards.length))
})
