import type { Projection } from '@tidemark/core'
import { createDaemon } from '@tidemark/core'
import { SLOTS, slotOf, slotRanges, type Unit } from '@tidemark/core/adapter'
import { createOperations } from '@tidemark/core/operations'
import {
  type PgClient,
  type PgPool,
  type PostgresRow,
  postgresCheckpoints,
  postgresEvents,
} from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { insertSql, lockProjectionSql } from '../../packages/pg-adapter/src/checkpoint-rows.ts'
import { checkpointTables } from '../../packages/pg-adapter/src/checkpoint-tables.ts'
import { gate } from '../core/rig.ts'
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

function start(
  events: EventTable,
  shards: number,
  more: Partial<Projection<PostgresRow, PgClient>> = {},
  pool: Pool = db.newPool({ max: 20 }),
) {
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
    await store.open(unit, { source: events.name, head: '0', shards }, never())
    const position = positions[index]
    if (position === undefined) continue
    await events.run(`update checkpoints set position = '${position}' where slot_from = ${slots.from}`)
  }
}

const operationsOn = (events: EventTable, pool: PgPool = db.pool) =>
  createOperations({
    checkpoints: postgresCheckpoints({ pool, schema: events.schema }),
    source: postgresEvents({ pool: db.pool, table: events.name }),
  })

/** How far shards are to come for now. */
async function boundsOf(events: EventTable): Promise<readonly (string | null)[]> {
  const units = await checkpointsBeside(events, db.pool).control?.units({}, never())
  return (units ?? [])
    .toSorted((a, b) => a.unit.slots.from - b.unit.slots.from)
    .map(({ bound }) => bound ?? null)
}

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

test('a daemon runs whatever shards are stored, and each cut is one entry of the audit for each shard', async () => {
  const events = await table()
  const operations = operationsOn(events)
  await append(events, 300)
  const daemon = await start(events, 1)
  await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  for (const shards of [4, 3, 8, 2, 1]) {
    await append(events, 100)
    await operations.reshard({ projection: 'orders', shards, ...who })
    await append(events, 100)
    await daemon.waitUntilProjected({ timeoutMs: 60_000 })
    expect(await stored(events)).toMatchObject(slotRanges(shards))
    const [orders] = daemon.status().projections
    expect(orders?.shards?.map(({ slots }) => slots)).toEqual(shards === 1 ? undefined : slotRanges(shards))
    await expectAllHandled(events)
  }
  const audit = await operations.audit({ projection: 'orders' })
  expect(audit).toHaveLength(4 + 3 + 8 + 2 + 1)
  expect(audit.every(({ operation, who: by }) => operation === 'reshard' && by === 'Ada')).toBe(true)
}, 120_000)

test('a process in the middle of a batch when its row is replaced commits nothing of it, and does not make the row again', async () => {
  const events = await table()
  const held = gate()
  const begun = gate()
  const name = `held ${events.schema}`
  let isFirst = true
  const recording = recorder(events, 'orders')
  await append(events, 100)
  const daemon = await start(
    events,
    1,
    {
      handle: async (page, context) => {
        if (!isFirst) return await recording.handle(page, context)
        isFirst = false
        begun.open()
        await held.promise
        await recording.handle(page, context)
      },
    },
    db.newPool({ max: 20, application_name: name }),
  )
  await begun.promise
  // Its transaction is over, and its handler is not.
  await db.pool.query('select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1', [
    name,
  ])
  await operationsOn(events).reshard({ projection: 'orders', shards: 4, timeoutMs: 20_000, ...who })
  expect(await handledBy(db.pool, events, 'orders')).toEqual([])
  held.open()
  await append(events, 100)
  await daemon.waitUntilProjected({ timeoutMs: 60_000 })
  expect(await stored(events)).toMatchObject(slotRanges(4))
  await expectAllHandled(events)
})

/** Two shards, of which the first fails until it is let go, and the second has handled everything. */
async function apart(events: EventTable) {
  const recording = recorder(events, 'orders')
  let isFailing = true
  await append(events, 100)
  const daemon = await start(events, 2, {
    longestPauseMs: 1_000,
    handle: async (page, context) => {
      const isFirst = page.some(({ stream }) => slotOf(String(stream)) < 512)
      if (isFirst && isFailing) throw new Error('not yet')
      await recording.handle(page, context)
    },
  })
  await eventually(async () => (await stored(events))[1]?.position).toBe('100')
  expect((await stored(events))[0]?.position).not.toBe('100')
  const letGo = (): void => {
    isFailing = false
  }
  return { daemon, letGo }
}

test('shards that stand apart meet at the furthest, which waits for those behind, and become one there', async () => {
  const events = await table()
  const { daemon, letGo } = await apart(events)
  const operations = operationsOn(events)
  const joined = operations.reshard({ projection: 'orders', shards: 1, ...who })
  await eventually(() => boundsOf(events)).toEqual(['100', '100'])
  await append(events, 100)
  await eventually(() => daemon.status().highWater.mark).toBe(200n)
  letGo()
  expect(await joined).toMatchObject({ outcome: 'done', entry: { after: { position: '100' } } })
  expect(await boundsOf(events)).toEqual([null])
  await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  expect(await stored(events)).toMatchObject(slotRanges(1))
  await expectAllHandled(events)
}, 60_000)

test('a shard that is to meet others goes no further than where, and goes on where that is given up', async () => {
  const events = await table()
  await append(events, 100)
  const daemon = await start(events, 2)
  await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  await eventually(async () => (await stored(events)).map(({ position }) => position)).toEqual(['100', '100'])
  // As if the second were there already, and nobody worked on the first.
  await events.run(`update checkpoints set desired = 'paused' where slot_from = 0`)
  await append(events, 100)
  await eventually(async () => (await stored(events)).map(({ position }) => position)).toEqual(['100', '200'])
  const { control } = checkpointsBeside(events, db.pool)
  const limits = { timeoutMs: 10_000, signal: never() }
  const version = { projection: 'orders', version: 1 }
  const bounds = slotRanges(2).map((slots) => ({ slots, position: '200' }))
  await control?.reshard?.(version, () => ({ bounds, forMs: 60_000 }), limits)
  await append(events, 100)
  await events.run(`update checkpoints set desired = 'running' where slot_from = 0`)
  await eventually(async () => (await stored(events)).map(({ position }) => position)).toEqual(['200', '200'])
  await eventually(() => daemon.status().projections[0]?.shards?.map(({ position }) => position)).toEqual([
    200n,
    200n,
  ])
  expect((await handledBy(db.pool, events, 'orders')).length).toBe(200)
  await control?.reshard?.(version, () => ({ bounds: [], forMs: 0 }), limits)
  await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  await expectAllHandled(events)
})

test('shards far apart are cut as they stand; what does not come together in time stays as it was, and goes on', async () => {
  const events = await table()
  await made(events, ['100', '40'])
  const operations = operationsOn(events)
  await operations.reshard({ projection: 'orders', shards: 4, ...who })
  expect((await stored(events)).map(({ position }) => position)).toEqual(['100', '100', '40', '40'])
  const joined = operations.reshard({ projection: 'orders', shards: 1, timeoutMs: 3_000, ...who })
  joined.catch(() => {})
  await eventually(() => boundsOf(events)).toEqual(['100', '100', '100', '100'])
  await expect(joined).rejects.toMatchObject({
    code: 'TIDEMARK_OPERATION_REFUSED',
    message: expect.stringContaining('0-255 at 100, 256-511 at 100, 512-767 at 40, 768-1023 at 40'),
  })
  expect(await boundsOf(events)).toEqual([null, null, null, null])
  await operations.reshard({ projection: 'orders', shards: 2, ...who })
  expect(await stored(events)).toEqual([
    { from: 0, to: 511, position: '100' },
    { from: 512, to: 1_023, position: '40' },
  ])
  expect((await operations.reshard({ projection: 'orders', shards: 2, ...who })).outcome).toBe('already')
})

test('whoever asks and goes away leaves shards as they were: at once, or within seconds by the clock of the server, whatever its timeoutMs', async () => {
  const events = await table()
  await made(events, ['100', '40'])
  const leaving = new AbortController()
  const left = operationsOn(events).reshard({
    projection: 'orders',
    shards: 1,
    signal: leaving.signal,
    ...who,
  })
  left.catch(() => {})
  await eventually(() => boundsOf(events)).toEqual(['100', '100'])
  leaving.abort(new Error('gone'))
  await expect(left).rejects.toThrow('gone')
  expect(await boundsOf(events)).toEqual([null, null])
  // Killed right after it has bound them: nobody takes that back.
  const { pool, hasCut } = cuttingPool(4, 'after')
  await operationsOn(events, pool)
    .reshard({ projection: 'orders', shards: 1, timeoutMs: 3_600_000, ...who })
    .catch(() => {})
  expect(hasCut()).toBe(true)
  expect(await boundsOf(events)).toEqual(['100', '100'])
  expect((await stored(events)).map(({ position }) => position)).toEqual(['100', '40'])
  await eventually(() => boundsOf(events)).toEqual([null, null])
})

test('shards that were moved back from different positions become one again, and what was live takes effect no second time', async () => {
  const events = await table()
  const daemon = await start(events, 2, { effects: 'live_only' })
  const operations = operationsOn(events)
  await append(events, 100)
  await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  const shown = async () => (await stored(events)).map(({ position }) => position)
  await eventually(shown).toEqual(['100', '100'])
  await events.run(`update checkpoints set desired = 'paused' where slot_from = 0`)
  await append(events, 100)
  await eventually(shown).toEqual(['100', '200'])
  await operations.pause({ projection: 'orders', ...who })
  await operations.moveTo({ projection: 'orders', position: undefined, ...who })
  await operations.resume({ projection: 'orders', ...who })
  expect(await operations.reshard({ projection: 'orders', shards: 1, ...who })).toMatchObject({
    outcome: 'done',
    entry: { after: { furthest: '200' } },
  })
  await append(events, 100)
  await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  await expectAllHandled(events)
})

test('whoever goes away while a batch is at hand is answered at once, and the shards go on within seconds', async () => {
  const events = await table()
  await made(events, ['100', '40'])
  const leaving = new AbortController()
  const left = operationsOn(events).reshard({
    projection: 'orders',
    shards: 1,
    timeoutMs: 3_600_000,
    signal: leaving.signal,
    ...who,
  })
  left.catch(() => {})
  await eventually(() => boundsOf(events)).toEqual(['100', '100'])
  const batch = await db.session()
  await batch.query(`begin; select from ${events.schema}.checkpoints where slot_from > 0 for update`)
  leaving.abort(new Error('gone'))
  await expect(left).rejects.toThrow('gone')
  await eventually(() => boundsOf(events)).toEqual([null, null])
})

test('shards that meet are bound for as long as somebody waits for it, also one that is in the middle of a batch', async () => {
  const events = await table()
  await made(events, ['100', '40'])
  const leaving = new AbortController()
  const left = operationsOn(events).reshard({
    projection: 'orders',
    shards: 1,
    timeoutMs: 3_600_000,
    signal: leaving.signal,
    ...who,
  })
  left.catch(() => {})
  await eventually(() => boundsOf(events)).toEqual(['100', '100'])
  const until = async () => {
    const { rows } = await db.pool.query(
      `select bound_until::text as until from ${events.schema}.checkpoints order by slot_from`,
    )
    return rows.map((row) => String(row.until))
  }
  const batch = await db.session()
  await batch.query(`begin; select from ${events.schema}.checkpoints where slot_from > 0 for update`)
  const [before, ofBatch] = await until()
  await eventually(async () => (await until())[0] !== before).toBe(true)
  expect((await until())[1]).toBe(ofBatch)
  await batch.query('rollback')
  // As if the batch had taken longer than a bound holds.
  await events.run(
    `update checkpoints set bound_until = clock_timestamp() - interval '1 minute' where slot_from > 0`,
  )
  expect(await boundsOf(events)).toEqual(['100', '100'])
  leaving.abort(new Error('gone'))
  await expect(left).rejects.toThrow('gone')
})

test('the later events of a parked key stay behind it when its shard becomes one with another', async () => {
  const events = await table()
  const recording = recorder(events, 'orders')
  let isMended = false
  const daemon = await start(events, 2, {
    attempts: 1,
    onFailure: 'park_key',
    keyOf: ({ stream }) => String(stream),
    handle: async (page, context) => {
      if (!isMended && page.some(({ stream }) => stream === 'stream 7')) throw new Error('not stream 7')
      await recording.handle(page, context)
    },
  })
  await append(events, 100)
  await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  const operations = operationsOn(events)
  await operations.reshard({ projection: 'orders', shards: 1, ...who })
  await append(events, 100)
  await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  const open = () => operations.deadLetters.list({ state: 'open' })
  const { rows: own } = await db.pool.query(
    `select e.position::text from ${events.name} e where stream = 'stream 7' order by e.position`,
  )
  expect((await open()).map(({ firstPosition }) => firstPosition)).toEqual(
    own.map(({ position }) => position),
  )
  isMended = true
  await operations.deadLetters.retry({ projection: 'orders', ...who })
  await eventually(open).toEqual([])
  await expectAllHandled(events)
  expect(await stored(events)).toMatchObject(slotRanges(1))
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
            if (hasCut) throw new Error('Connection terminated unexpectedly')
            const isIts =
              /advisory|for update of c|dead_letters" d set slot|with made as|c set bound = n|^rollback$/.test(
                text,
              )
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
  // What it begins with, a lock for each shard, the letters, the rows.
  const MESSAGES = 1 + from + 2
  const seen = new Set<number>()
  let cuts = 0
  for (const when of ['before', 'after'] as const) {
    for (let n = 1; n <= MESSAGES; n++) {
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
  expect(cuts).toBe(2 * MESSAGES)
  expect([...seen].sort()).toEqual([from, to].sort())
})

test('each batch at hand is waited for by itself: all of them together may take longer than one statement may', async () => {
  const events = await table()
  await made(events, ['100', '100', '100', '100'])
  const batches = await Promise.all(slotRanges(4).map(() => db.session()))
  for (const [index, { from }] of slotRanges(4).entries()) {
    await batches[index]?.query(
      `begin; select from ${events.schema}.checkpoints where slot_from = ${from} for update`,
    )
  }
  const operations = createOperations({
    checkpoints: postgresCheckpoints({ pool: db.pool, schema: events.schema, queryTimeoutMs: 1_000 }),
  })
  let isOver = false
  const resharded = operations.reshard({ projection: 'orders', shards: 2, ...who }).finally(() => {
    isOver = true
  })
  resharded.catch(() => {})
  for (const batch of batches) {
    const { rows } = await batch.query('select pg_backend_pid() as pid')
    await eventually(async () => isOver || (await areWaitingFor(rows[0].pid)) > 0).toBe(true)
    // Goes on for as long while it is waited for.
    await batch.query('select pg_sleep(0.5)')
    await batch.query('commit')
  }
  expect(await resharded).toMatchObject({ outcome: 'done' })
  expect(await stored(events)).toMatchObject(slotRanges(2))
})

/** How many sessions wait for that one. */
async function areWaitingFor(pid: number): Promise<number> {
  const { rows } = await db.pool.query(
    'select count(*)::int as waiting from pg_stat_activity where $1 = any (pg_blocking_pids(pid))',
    [pid],
  )
  return rows[0]?.waiting
}

test('of a version that begins meanwhile and shards of the other one, never both come about', async () => {
  const events = await table()
  await made(events, ['100'])
  const beginning = await db.session()
  const tables = checkpointTables(events.schema)
  await beginning.query(`begin; ${lockProjectionSql(tables, 'orders')}`)
  const resharded = operationsOn(events).reshard({ projection: 'orders', shards: 4, ...who })
  resharded.catch(() => {})
  const { rows } = await beginning.query('select pg_backend_pid() as pid')
  await eventually(() => areWaitingFor(rows[0].pid)).toBe(1)
  const [insert] = insertSql(
    tables,
    { projection: 'orders', version: 2, slots: { from: 0, to: 1_023 } },
    { source: events.name, head: '0' },
  )
    .split(';')
    .slice(1)
  await beginning.query(`${insert}; commit`)
  await expect(resharded).rejects.toMatchObject({
    code: 'TIDEMARK_OPERATION_REFUSED',
    message: expect.stringContaining('it has the versions 1, 2'),
  })
  const { rows: roles } = await db.pool.query(
    `select version, role from ${events.schema}.checkpoints order by version`,
  )
  expect(roles).toEqual([
    { version: 1, role: 'live' },
    { version: 2, role: 'beside' },
  ])
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
