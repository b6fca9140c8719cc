import type { Projection } from '@tidemark/core'
import { createOperations, type OperationRequest, type Operations } from '@tidemark/core/operations'
import { type PgClient, type PostgresRow, postgresEvents } from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { describe, expect, test } from 'vitest'
import {
  answeredUnderKills,
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

const db = fileDatabase()
const ASK: OperationRequest = { projection: 'all', who: 'ann', why: 'wrong sums' }

async function table(): Promise<EventTable> {
  const events = await db.events()
  // Whatever is handled twice without a reset between fails.
  await events.run(
    `${HANDLED}; create unique index on handled (projection, position); create table resets (at int)`,
  )
  return events
}

const clearing = (events: EventTable, more: Partial<Projection<PostgresRow, PgClient>> = {}) =>
  recorder(events, 'all', {
    reset: async (tx) => {
      await tx.query(`delete from ${events.schema}.handled`)
      await tx.query(`insert into ${events.schema}.resets values (1)`)
    },
    ...more,
  })

const node = (
  events: EventTable,
  more: Partial<Projection<PostgresRow, PgClient>> = {},
  pool: Pool = db.newPool(),
) =>
  startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, pool),
    projections: [clearing(events, more)],
  })

const operator = (events: EventTable, pool: Pool = db.newPool()): Operations<bigint> =>
  createOperations({
    checkpoints: checkpointsBeside(events, pool),
    source: postgresEvents({ pool, table: events.name }),
  })

const resets = async (events: EventTable): Promise<number> =>
  Number((await db.pool.query(`select count(*) from ${events.schema}.resets`)).rows[0].count)

const rebuilds = async (operations: Operations<bigint>): Promise<string[]> =>
  (await operations.audit()).map(
    ({ operation, who, before, after }) => `${operation} by ${who}: ${before.position} -> ${after?.position}`,
  )

async function expectWhole(events: EventTable): Promise<void> {
  await eventually(() => handledBy(db.pool, events, 'all')).toEqual(await appended(db.pool, events))
}

describe('a rebuild happens once, and its audit row says so,', () => {
  test('asked by ten callers at once, again and again, of a daemon at work', async () => {
    const events = await table()
    await events.append(20)
    const daemon = await node(events, { batchSize: 3 })
    await daemon.waitUntilProjected()
    const operations = operator(events, db.newPool({ max: 10 }))
    for (let round = 1; round <= 3; round++) {
      const outcomes = await Promise.all(Array.from({ length: 10 }, () => operations.rebuild(ASK)))
      expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual([...Array(9).fill('already'), 'done'])
      expect(new Set(outcomes.map(({ entry }) => entry?.id)).size).toBe(1)
      expect(await resets(events)).toBe(round)
      await daemon.waitUntilProjected()
    }
    expect(await rebuilds(operations)).toEqual(Array(3).fill('rebuild by ann: 20 -> undefined'))
    await expectWhole(events)
  })

  test('asked twice with every daemon dead, and done by one that is started later, on another node', async () => {
    const events = await table()
    await events.append(5)
    const first = await node(events)
    await first.waitUntilProjected()
    await first.stop()
    const operations = operator(events)
    const asked = [operations.rebuild(ASK), operations.rebuild({ ...ASK, who: 'bob' })]
    await eventually(async () => (await operations.list())[0]?.asked?.operation).toBe('rebuild')
    await node(events)
    const outcomes = await Promise.all(asked)
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(['already', 'done'])
    expect(await resets(events)).toBe(1)
    await expectWhole(events)
  })

  test('while the server kills whoever asks and whoever does it, again and again', async () => {
    const events = await table()
    await events.append(10)
    const pool = db.newPool({ application_name: `does ${events.schema}` })
    const daemon = await node(events, { batchSize: 2 }, pool)
    await daemon.waitUntilProjected()
    const operations = operator(events, db.newPool({ application_name: `asks ${events.schema}` }))
    await answeredUnderKills(db.pool, events, () => operations.rebuild(ASK))
    const told = await rebuilds(operator(events))
    expect(told).toHaveLength(await resets(events))
    await expectWhole(events)
  })
})

/** O1: nothing older writes after `reset`. */
describe('another node', () => {
  test('that is in the middle of a batch ends it first: nothing older is written after the reset', async () => {
    const events = await table()
    await events.append(5)
    const first = await node(events)
    await first.waitUntilProjected()
    await first.stop()
    await events.append(3)
    let goOn = (): void => {}
    const stalled = new Promise<void>((resolve) => {
      goOn = resolve
    })
    let isStalled = false
    const handle = clearing(events).handle
    await node(events, {
      handle: async (page, context) => {
        await handle(page, context)
        if (isStalled) return
        isStalled = true
        await stalled
      },
    })
    await eventually(() => isStalled).toBe(true)
    await node(events)
    const operations = operator(events)
    const rebuilding = operations.rebuild({ ...ASK, timeoutMs: 60_000 })
    expect(await resets(events)).toBe(0)
    goOn()
    expect(await rebuilding).toMatchObject({ entry: { before: { position: '8' } } })
    expect(await resets(events)).toBe(1)
    await expectWhole(events)
  })

  test('that had read a page before the reset, and wakes after it, commits nothing of that page', async () => {
    const events = await table()
    await events.append(6)
    let goOn = (): void => {}
    const asleep = new Promise<void>((resolve) => {
      goOn = resolve
    })
    // It has its page, and no transaction yet.
    const pool = db.newPool()
    const checkpoints = checkpointsBeside(events, pool)
    let isAsleep = false
    const sleeper = await startDaemon({
      source: postgresEvents({ pool, table: events.name }),
      checkpoints: {
        ...bound(checkpoints),
        advance: async (request, work) => {
          if (request.from === '4') {
            isAsleep = true
            await asleep
          }
          return await checkpoints.advance(request, work)
        },
      },
      projections: [clearing(events, { batchSize: 4 })],
    })
    await eventually(() => isAsleep).toBe(true)
    await node(events, { batchSize: 6 })
    await operator(events).rebuild(ASK)
    await expectWhole(events)
    goOn()
    await sleeper.waitUntilProjected()
    await events.append(2)
    await expectWhole(events)
    expect(await resets(events)).toBe(1)
  })

  test('that stands by rebuilds an idle projection whose owner is gone without a word', async () => {
    const events = await table()
    await events.append(5)
    const first = await node(events)
    await first.waitUntilProjected()
    const second = await node(events)
    await second.waitUntilProjected()
    await events.append(1)
    await eventually(async () =>
      [first, second].map((each) => each.status().projections[0]?.state),
    ).toContain('standby')
    const standby = first.status().projections[0]?.state === 'standby' ? first : second
    await (standby === first ? second : first).stop()
    await operator(events).rebuild(ASK)
    expect(await resets(events)).toBe(1)
    await expectWhole(events)
  })
})

test('what reset has written is undone where it fails, and nothing is changed', async () => {
  const events = await table()
  await events.append(3)
  const daemon = await node(events, {
    reset: async (tx) => {
      await tx.query(`delete from ${events.schema}.handled`)
      await tx.query('select 1 / 0')
    },
  })
  await daemon.waitUntilProjected()
  const operations = operator(events)
  await expect(operations.rebuild(ASK)).rejects.toThrow(
    /its reset has failed: division by zero; nothing was changed/,
  )
  await expectWhole(events)
  await events.append(1)
  await expectWhole(events)
  const [entry] = await operations.audit()
  expect(entry).toMatchObject({ operation: 'rebuild', after: { position: '3' } })
  expect(entry?.refused).toMatch(/division by zero/)
})

test('a reset that ends its transaction is told so, and the checkpoint stays', async () => {
  const events = await table()
  await events.append(3)
  const daemon = await node(events, { reset: async (tx) => void (await tx.query('commit')) })
  await daemon.waitUntilProjected()
  await expect(operator(events).rebuild(ASK)).rejects.toThrow(/its reset has failed: .*ended the transaction/)
  expect(daemon.status().projections[0]).toMatchObject({ position: 3n })
})

/** O5: nothing in it waits for itself, whatever the store takes. */
test('a rebuild longer than every queue, on a store slowed at random, ends, in one process with ten others', async () => {
  const events = await table()
  await db.pool.query(`insert into ${events.name} (data) select 'x' from generate_series(1, 3000)`)
  const pool = db.newPool({ max: 4 })
  const checkpoints = checkpointsBeside(events, pool)
  const source = postgresEvents({ pool, table: events.name })
  const slow = async (): Promise<void> => {
    if (Math.random() < 0.3) await new Promise((resolve) => setTimeout(resolve, Math.random() * 20))
  }
  const daemon = await startDaemon({
    source,
    checkpoints: {
      ...bound(checkpoints),
      advance: async (request, work) => {
        await slow()
        return await checkpoints.advance(request, async (tx) => {
          await slow()
          await work(tx)
        })
      },
    },
    projections: [
      clearing(events, { batchSize: 50 }),
      ...Array.from({ length: 10 }, (_, n) => ({ name: `other ${n}`, batchSize: 100, handle: slow })),
    ],
  })
  const moves = watchdog(() =>
    daemon
      .status()
      .projections.map(({ position }) => position)
      .join(),
  )
  await daemon.waitUntilProjected()
  await operator(events).rebuild({ ...ASK, timeoutMs: 60_000 })
  await daemon.waitUntilProjected()
  moves.stop()
  expect(await resets(events)).toBe(1)
  expect((await handledBy(db.pool, events, 'all')).length).toBe(3000)
  await expectWhole(events)
})

/** Fails the test where nothing has moved for half a minute. */
function watchdog(look: () => string): { readonly stop: () => void } {
  let [last, since] = [look(), Date.now()]
  const timer = setInterval(() => {
    const now = look()
    if (now !== last) [last, since] = [now, Date.now()]
    if (Date.now() - since > 30_000) throw new Error(`nothing moves: ${now}`)
  }, 100)
  return { stop: () => clearInterval(timer) }
}

/** A store whose methods may be replaced one by one. */
function bound(store: ReturnType<typeof checkpointsBeside>): ReturnType<typeof checkpointsBeside> {
  return {
    name: store.name,
    prepare: async (signal) => await store.prepare?.(signal),
    open: (unit, first, signal) => store.open(unit, first, signal),
    read: (unit, signal) => store.read(unit, signal),
    list: (filter, signal) => store.list(filter, signal),
    advance: (request, work) => store.advance(request, work),
    progress: (source, signal) => store.progress(source, signal),
    sharesLogWith: (incarnation, signal) => store.sharesLogWith(incarnation, signal),
    isTransient: (error) => store.isTransient(error),
    isTransactional: true,
    ...(store.control ? { control: store.control } : {}),
  }
}

describe('a projection in shards', () => {
  const keyed = (events: EventTable, count: number) =>
    events.run(`insert into events (data) select 'key ' || n % 23 from generate_series(1, ${count}) n`)

  test('is reset once for all of its shards, whatever nodes run them, while events come', async () => {
    const events = await table()
    await keyed(events, 300)
    await Promise.all(
      ['a', 'b'].map((name) => {
        const pool = db.newPool({ max: 10 })
        return startDaemon({
          source: postgresEvents({ pool, table: events.name }),
          checkpoints: checkpointsBeside(events, pool),
          projections: [clearing(events, { shards: 4, shardBy: 'data', batchSize: 10 })],
          nodes: { name, leaseMs: 3_000 },
        })
      }),
    )
    const operations = operator(events)
    for (let round = 1; round <= 3; round++) {
      const appending = keyed(events, 300)
      const outcomes = await Promise.all([1, 2, 3].map(() => operations.rebuild(ASK)))
      expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(['already', 'already', 'done'])
      expect(await resets(events)).toBe(round)
      await appending
      // The node with other shards than the first notices within a second that they have begun anew.
      const handled = async () => (await handledBy(db.pool, events, 'all')).toSorted((a, b) => Number(a - b))
      await eventually(handled).toEqual(await appended(db.pool, events))
    }
    expect(await operations.audit()).toHaveLength(3 * 4)
  }, 120_000)

  test('whose reset throws stays as it was, in all of its shards', async () => {
    const events = await table()
    await keyed(events, 50)
    const reset = async (tx: PgClient) => {
      await tx.query(`delete from ${events.schema}.handled`)
      throw new Error('no such table')
    }
    const daemon = await node(events, { shards: 3, shardBy: 'data', reset })
    await daemon.waitUntilProjected()
    const operations = operator(events)
    await expect(operations.rebuild(ASK)).rejects.toThrow(/no such table/)
    await keyed(events, 50)
    await daemon.waitUntilProjected()
    const handled = await handledBy(db.pool, events, 'all')
    expect(handled.toSorted((a, b) => Number(a - b))).toEqual(await appended(db.pool, events))
    expect((await operations.list()).every(({ asked }) => asked === undefined)).toBe(true)
  })
})
