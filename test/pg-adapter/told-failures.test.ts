import type { DaemonOptions, Projection } from '@tidemark/core'
import { createOperations, type Operations, type UnitFailure } from '@tidemark/core/operations'
import { type PgClient, type PostgresRow, postgresEvents } from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { describe, expect, test } from 'vitest'
import { alteredCheckpoints } from '../core/rig.ts'
import {
  asRole,
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
const BY = { projection: 'orders', who: 'ann', why: 'the night shift' }
const POISON = 7n

const upTo = (last: bigint): bigint[] => Array.from({ length: Number(last) }, (_, index) => BigInt(index + 1))

async function table(count = 10): Promise<EventTable> {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append(count)
  return events
}

/** Fails wherever one of these is. */
function poisoned(
  events: EventTable,
  poison: ReadonlySet<bigint>,
  more: Partial<Projection<PostgresRow, PgClient>> = {},
): Projection<PostgresRow, PgClient> {
  const recording = recorder(events, 'orders', { attempts: 2, ...more })
  return {
    ...recording,
    handle: async (page, context) => {
      await recording.handle(page, context)
      const found = page.find(({ position }) => poison.has(BigInt(String(position))))
      if (found) throw Object.assign(new TypeError(`no price at ${found.position}`), { code: 'NO_PRICE' })
    },
  }
}

const start = (
  events: EventTable,
  projections: readonly Projection<PostgresRow, PgClient>[],
  {
    pool = db.newPool(),
    ...more
  }: { pool?: Pool } & Partial<DaemonOptions<bigint, PostgresRow, PgClient>> = {},
) =>
  startDaemon({
    source: postgresEvents({ pool, table: events.name, eventType: 'type' }),
    checkpoints: checkpointsBeside(events, pool),
    projections,
    ...more,
  })

/** As another process has them: on connections of its own. */
const operator = (events: EventTable): Operations<bigint> => {
  const pool = db.newPool()
  return createOperations({
    checkpoints: checkpointsBeside(events, pool),
    source: postgresEvents({ pool, table: events.name, eventType: 'type' }),
  })
}

const failureOf = async (
  operations: Operations<bigint>,
  projection = 'orders',
): Promise<UnitFailure | undefined> => {
  const units = await operations.list({ projection })
  return units.find(({ failure }) => failure !== undefined)?.failure
}

/** A projection that is paused by its failure at `POISON`, as another process sees it. */
async function failing(
  more: (events: EventTable) => Partial<Projection<PostgresRow, PgClient>> = () => ({}),
) {
  const events = await table()
  const poison = new Set([POISON])
  const daemon = await start(events, [poisoned(events, poison, more(events)), recorder(events, 'mails')])
  const operations = operator(events)
  await eventually(async () => (await failureOf(operations))?.isPaused).toBe(true)
  return { events, poison, daemon, operations }
}

const kept = async (events: EventTable): Promise<readonly unknown[]> =>
  (await db.pool.query(`select projection, slot_from as "from" from ${events.schema}.projection_failures`))
    .rows

describe('what a projection fails at is seen from another process:', () => {
  test('at which position, why, since when, how often, and which node says so', async () => {
    const { events, daemon, operations } = await failing()
    const failure = await failureOf(operations)
    expect(failure).toMatchObject({
      position: '6',
      stage: 'handle',
      batch: { firstPosition: '7', lastPosition: '7', events: 1, eventTypes: ['happened'] },
      error: { name: 'TypeError', message: 'no price at 7', code: 'NO_PRICE' },
      node: expect.stringMatching(/\/\d+$/),
    })
    expect(failure?.error.stack).toContain('told-failures.test.ts')
    expect(failure?.failures).toBeGreaterThanOrEqual(2)
    const { rows } = await db.pool.query('select (extract(epoch from clock_timestamp()) * 1000)::text as now')
    expect(Number(rows[0].now) - (failure?.sinceMs ?? 0)).toBeLessThan(60_000)
    expect(failure?.atMs).toBeGreaterThanOrEqual(failure?.sinceMs ?? 0)
    // One that goes well beside it.
    await daemon.waitUntilProjected({ projections: ['mails'] })
    expect(await failureOf(operations, 'mails')).toBeUndefined()
    await daemon.stop()
    expect(await failureOf(operations), 'once no daemon is there').toMatchObject({ position: '6' })
    expect(await handledBy(db.pool, events, 'orders')).toEqual(upTo(6n))
  })

  test('over a restart since the first of them, and as often as all of them together', async () => {
    const { events, poison, daemon, operations } = await failing()
    const first = await failureOf(operations)
    await daemon.stop()
    await start(events, [poisoned(events, poison)])
    await eventually(async () => (await failureOf(operations))?.failures).toBeGreaterThan(
      (first?.failures ?? 0) + 1,
    )
    expect((await failureOf(operations))?.sinceMs).toBe(first?.sinceMs)
  })

  test('from the node that has its lease, and over its end from the next one', async () => {
    const events = await table()
    const poison = new Set([POISON])
    const operations = operator(events)
    const first = await start(events, [poisoned(events, poison)], { nodes: { name: 'first' } })
    await eventually(async () => (await failureOf(operations))?.isPaused).toBe(true)
    const seen = await failureOf(operations)
    await start(events, [poisoned(events, poison)], { nodes: { name: 'second' } })
    await first.stop()
    await eventually(async () => (await failureOf(operations))?.failures).toBeGreaterThan(
      (seen?.failures ?? 0) + 1,
    )
    poison.clear()
    await operations.pause(BY)
    await operations.resume(BY)
    await eventually(() => handledBy(db.pool, events, 'orders')).toEqual(upTo(10n))
    expect(await failureOf(operations)).toBeUndefined()
  })
})

describe('it is seen no more', () => {
  test('once its handler is mended', async () => {
    const { events, poison, operations } = await failing()
    poison.clear()
    await operations.pause(BY)
    expect(await failureOf(operations), 'while an operator has paused it').toMatchObject({ position: '6' })
    await operations.resume(BY)
    await eventually(() => handledBy(db.pool, events, 'orders')).toEqual(upTo(10n))
    await eventually(() => failureOf(operations)).toBeUndefined()
  })

  test('once the event is skipped', async () => {
    const { operations } = await failing()
    await operations.skipNext({ ...BY, position: POISON })
    await eventually(() => failureOf(operations)).toBeUndefined()
  })

  test('once its checkpoint is moved', async () => {
    const { operations } = await failing()
    await operations.pause(BY)
    await operations.moveTo({ ...BY, position: 3n })
    expect(await failureOf(operations)).toBeUndefined()
  })

  test('once it is rebuilt', async () => {
    const { events, poison, operations } = await failing(({ schema }) => ({
      reset: async (tx) => {
        await tx.query(`delete from ${schema}.handled where projection = 'orders'`)
      },
    }))
    poison.clear()
    await operations.rebuild(BY)
    await eventually(() => handledBy(db.pool, events, 'orders')).toEqual(upTo(10n))
    expect(await failureOf(operations)).toBeUndefined()
  })

  test('once it is forgotten, and nothing is left of it', async () => {
    const { events, daemon, operations } = await failing()
    await daemon.stop()
    expect(await kept(events)).toEqual([{ projection: 'orders', from: 0 }])
    await operations.pause(BY)
    await operations.forget(BY)
    expect(await kept(events)).toEqual([])
  })

  test('once its shards are others, and nothing is left of those that there were', async () => {
    const events = await table(0)
    await events.run(
      `insert into events (type, data) select 'happened', 'key ' || n from generate_series(1, 40) n`,
    )
    const poison = new Set([POISON])
    await start(events, [poisoned(events, poison, { shardBy: 'data' })])
    const operations = operator(events)
    await eventually(async () => (await failureOf(operations))?.isPaused).toBe(true)
    poison.clear()
    await operations.reshard({ ...BY, shards: 2 })
    await eventually(async () => (await handledBy(db.pool, events, 'orders')).length).toBe(40)
    await eventually(() => failureOf(operations)).toBeUndefined()
    expect(await kept(events)).toEqual([])
  })

  test('once a fault of its store has passed, though there is nothing to handle', async () => {
    const events = await table(3)
    const store = checkpointsBeside(events, db.newPool())
    let isAway = false
    const daemon = await startDaemon({
      source: postgresEvents({ pool: db.newPool(), table: events.name }),
      checkpoints: alteredCheckpoints(store, {
        ...(store.failures ? { failures: store.failures } : {}),
        open: async (...args) => {
          if (isAway) throw new Error('the store is away')
          return await store.open(...args)
        },
      }),
      projections: [recorder(events, 'orders')],
    })
    await daemon.waitUntilProjected()
    const operations = operator(events)
    await operations.pause(BY)
    isAway = true
    await operations.resume(BY)
    await eventually(() => failureOf(operations)).toMatchObject({
      position: '3',
      stage: 'read',
      batch: undefined,
      isPaused: false,
      error: { message: 'the store is away' },
    })
    isAway = false
    await eventually(() => failureOf(operations)).toBeUndefined()
  })
})

describe('telling it is never in the way:', () => {
  test('where nothing fails, no statement is about it', async () => {
    const events = await table(0)
    const pool = db.newPool()
    const sent: string[] = []
    pool.on('connect', (client) => {
      const query = client.query.bind(client) as (...args: unknown[]) => unknown
      Object.assign(client, {
        query: (...args: unknown[]) => {
          sent.push(JSON.stringify(args[0]))
          return query(...args)
        },
      })
    })
    const daemon = await start(events, [recorder(events, 'orders', { batchSize: 3 })], { pool })
    sent.length = 0
    await events.append(30)
    await daemon.waitUntilProjected()
    await daemon.stop()
    expect(sent.filter((sql) => sql.includes('projection_failures'))).toEqual([])
    expect(sent.length).toBeGreaterThan(20)
  })

  test('a database that refuses it changes nothing for the retries, and one line says so', async () => {
    const events = await table()
    await checkpointsBeside(events, db.pool).prepare?.(never())
    const { schema } = events
    const role =
      await db.role(`grant usage on schema ${schema} to :role; grant select, insert, update on all tables in schema ${schema} to :role;
      grant usage, select on all sequences in schema ${schema} to :role`)
    const warnings: string[] = []
    const poison = new Set([POISON])
    const daemon = await start(events, [poisoned(events, poison), recorder(events, 'mails')], {
      pool: db.newPool(asRole(db.url, role)),
      logger: { info: () => {}, warn: (line) => void warnings.push(line), error: () => {} },
    })
    await db.pool.query(`revoke insert, update on ${schema}.projection_failures from ${role}`)
    await eventually(() => daemon.status().projections[0]).toMatchObject({ state: 'paused', position: 6n })
    await daemon.waitUntilProjected({ projections: ['mails'] })
    const refused = () => warnings.filter((line) => line.includes('cannot be kept with its checkpoint'))
    await eventually(refused).toEqual([expect.stringContaining('permission denied')])
    expect(await failureOf(operator(events))).toBeUndefined()
    poison.clear()
    const operations = operator(events)
    await operations.pause(BY)
    await operations.resume(BY)
    await eventually(() => handledBy(db.pool, events, 'orders')).toEqual(upTo(10n))
  })
})
