import type { LateEventsError } from '@tidemark/core'
import { MOST_WATCHED_RUNS } from '@tidemark/core/adapter'
import { createOperations } from '@tidemark/core/operations'
import { type PostgresEventsOptions, postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { Random } from '../core/model/random.ts'
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

const db = fileDatabase()

const EVENTS = `create sequence numbers;
  create table events (position bigint primary key default nextval('numbers'), type text default 'any'); ${HANDLED}`

/** As Marten in append mode Rich does: committed by itself, on another connection than the one that will insert it. */
async function takeNumbers(events: EventTable, count = 1): Promise<bigint[]> {
  const { rows } = await db.pool.query(
    `select nextval('${events.schema}.numbers')::text as number from generate_series(1, $1)`,
    [count],
  )
  return rows.map(({ number }) => BigInt(number))
}

/** In one transaction, so that they become visible together. */
async function insertTaken(events: EventTable, numbers: readonly bigint[], type = 'taken'): Promise<void> {
  await db.pool.query(`insert into ${events.name} (position, type) select unnest($1::bigint[]), $2`, [
    numbers.map(String),
    type,
  ])
}

function daemonOver(events: EventTable, options: Partial<PostgresEventsOptions> = { eventType: 'type' }) {
  return startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name, ...options }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all'), recorder(events, 'each', { batchSize: 1 })],
  })
}

type Daemon = Awaited<ReturnType<typeof daemonOver>>

async function haltedWith(daemon: Daemon): Promise<LateEventsError> {
  await eventually(() => daemon.status().highWater).toMatchObject({
    state: 'halted',
    error: { code: 'TIDEMARK_LATE_EVENTS' },
  })
  return daemon.status().highWater.error as LateEventsError
}

test('an event whose number was taken ahead, and that was passed, halts the daemon, which says what and who', async () => {
  const events = await db.events(EVENTS)
  const daemon = await daemonOver(events)
  const [number = 0n] = await takeNumbers(events)
  const last = await events.append()
  await daemon.waitUntilProjected()
  await insertTaken(events, [number], 'Paid')
  const error = await haltedWith(daemon)
  expect(error.events).toEqual([{ position: String(number), type: 'Paid' }])
  const passed = { checkpoint: String(last), positions: [String(number)] }
  expect(new Set(error.passedBy)).toEqual(
    new Set([
      { projection: 'all', ...passed },
      { projection: 'each', ...passed },
    ]),
  )
  expect(error.message).toMatch(
    /at 1 \(Paid\).*"all", at 2, has passed 1.*Marten: append mode Quick.*set numbers: 'taken-ahead'/,
  )
  // Nothing is called settled any more.
  expect(daemon.status().highWater).toMatchObject({ settled: undefined, mark: undefined })
  await events.append(3)
  await expect(daemon.waitUntilProjected()).rejects.toThrow('at 1 (Paid)')
  expect(await handledBy(db.pool, events, 'all')).toEqual([last])
  // Kept before it halted.
  const kept = await createOperations({ checkpoints: checkpointsBeside(events, db.pool) }).lateEvents()
  expect(kept).toMatchObject([
    {
      position: String(number),
      type: 'Paid',
      passed: 'proven_empty',
      units: [
        { unit: { projection: 'all' }, state: 'open' },
        { unit: { projection: 'each' }, state: 'open' },
      ],
    },
  ])
})

test('nothing has to be appended for it to be found', async () => {
  const events = await db.events(EVENTS)
  await events.append(2)
  const daemon = await daemonOver(events)
  const numbers = await takeNumbers(events, 3)
  await events.append()
  await daemon.waitUntilProjected()
  // Several polls of an idle store later.
  await eventually(() => daemon.status().highWater.settled).toBe(6n)
  await insertTaken(events, numbers.slice(1))
  expect((await haltedWith(daemon)).events.map(({ position }) => position)).toEqual(['4', '5'])
})

test('a position that is written by hand below a sequence that was set further up is found, also after a start', async () => {
  const events = await db.events(EVENTS)
  await events.append(3)
  await events.run("select setval('numbers', 1000)")
  const daemon = await daemonOver(events)
  await daemon.waitUntilProjected()
  await insertTaken(events, [4n], 'by hand')
  const { events: late, passedBy } = await haltedWith(daemon)
  expect({ late, passedBy }).toEqual({ late: [{ position: '4', type: 'by hand' }], passedBy: [] })
})

test('numbers below the first event of a table that was empty are watched too', async () => {
  const events = await db.events(EVENTS)
  const numbers = await takeNumbers(events, 2)
  const agent = await agentOver({ pool: db.pool, table: events.name })
  await eventually(() => agent.status().settled).toBe(2n)
  await insertTaken(events, numbers)
  await eventually(() => agent.status()).toMatchObject({
    state: 'halted',
    error: { events: [{ position: '1' }, { position: '2' }] },
  })
  expect(agent.mark).toBeUndefined()
})

test('without the column of the type the event is told all the same, and how a placeholder could be told', async () => {
  const events = await db.events(EVENTS)
  const daemon = await daemonOver(events, {})
  const numbers = await takeNumbers(events)
  await events.append()
  await daemon.waitUntilProjected()
  await insertTaken(events, numbers, 'tombstone')
  const error = await haltedWith(daemon)
  expect(error.events).toEqual([{ position: '1', type: undefined }])
  expect(error.message).toMatch(/placeholders.* option eventType/)
})

test.each<[string, Partial<PostgresEventsOptions>]>([
  ['tombstone', { eventType: 'type' }],
  ['$tombstone', { eventType: 'type' }],
  ["it's filler", { eventType: 'type', placeholderTypes: ["it's filler"] }],
])('rows of type %s fill dead numbers, are no evidence and reach no handler', async (type, options) => {
  const events = await db.events(EVENTS)
  const daemon = await daemonOver(events, options)
  const numbers = await takeNumbers(events, 2)
  await events.append()
  await daemon.waitUntilProjected()
  await insertTaken(events, numbers, type)
  // One more that is filled before it was settled, and one whose type is not known.
  await events.run(`insert into events (type) values ('${type.replaceAll("'", "''")}'), (null)`)
  await events.append()
  await daemon.waitUntilProjected()
  expect(daemon.status().highWater).toMatchObject({ state: 'polling', settled: 6n, mark: 6n })
  await untilLookedAt(events, daemon)
  expect(daemon.status().highWater).toMatchObject({ state: 'polling', settled: 19n, mark: 19n })
  expect(await handledBy(db.pool, events, 'all')).toEqual([3, 5, 6, 8, 10, 12, 14, 16, 18, 19].map(BigInt))
})

test('in stale-threshold mode too, rows that fill dead numbers reach no handler', async () => {
  const events = await db.events(EVENTS)
  await events.run("insert into events (type) values ('any'), ('tombstone'), ('any')")
  const daemon = await daemonOver(events, {
    eventType: 'type',
    highWater: { mode: 'stale-threshold', thresholdMs: 50 },
  })
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 3n])
})

test('a type that is left out of placeholderTypes is a type like any other', async () => {
  const events = await db.events(EVENTS)
  await events.run("insert into events (type) values ('tombstone')")
  const daemon = await daemonOver(events, { eventType: 'type', placeholderTypes: [] })
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n])
})

test('every event that was passed is told, wherever its number was taken, among rollbacks and placeholders', async () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const random = new Random(seed)
    const events = await db.events(EVENTS)
    const daemon = await daemonOver(events)
    const taken: bigint[] = []
    for (let turn = 0; turn < 12; turn++) {
      if (random.chance(0.6)) taken.push(...(await takeNumbers(events, 1 + random.below(3))))
      if (random.chance(0.5)) await rollBack(events)
      await events.append(1 + random.below(4))
      if (random.chance(0.3)) await daemon.waitUntilProjected()
      const filled = taken.splice(random.below(taken.length + 1), random.below(2))
      if (random.chance(0.5)) await insertTaken(events, filled, 'tombstone')
    }
    taken.push(...(await takeNumbers(events)))
    await events.append()
    await daemon.waitUntilProjected()
    await insertTaken(events, taken)
    const error = await haltedWith(daemon)
    const handled = new Set(await handledBy(db.pool, events, 'all'))
    const { rows } = await db.pool.query(`select position::text from ${events.name} where type = 'taken'`)
    const lost = rows.map(({ position }) => position).filter((position) => !handled.has(BigInt(position)))
    expect(new Set(error.events.map(({ position }) => position)), `seed ${seed}`).toEqual(new Set(lost))
    expect(error.passedBy.map(({ positions }) => positions.length)).toEqual([lost.length, lost.length])
    await daemon.stop()
  }
})

test('writers that take numbers ahead, many at once, are found by what they lose', async () => {
  const events = await db.events(EVENTS)
  const daemon = await daemonOver(events)
  let isOver = false
  const random = new Random(7)
  const write = async (): Promise<void> => {
    while (!isOver) {
      const numbers = await takeNumbers(events)
      await events.append(random.below(3))
      await insertTaken(events, numbers)
    }
  }
  const writers = Array.from({ length: 4 }, write)
  const error = await haltedWith(daemon).finally(() => {
    isOver = true
  })
  await Promise.all(writers)
  const visible = new Set((await appended(db.pool, events)).map(String))
  expect(error.events.length).toBeGreaterThan(0)
  expect(error.events.filter(({ position }) => !visible.has(position))).toEqual([])
})

/** So many runs more that the poll after them looks at them all. */
async function untilLookedAt(events: EventTable, daemon: Daemon): Promise<void> {
  for (let run = 0; run < 6; run++) {
    await rollBack(events)
    await events.append()
  }
  await daemon.waitUntilProjected()
  await events.append()
  await daemon.waitUntilProjected()
}

async function rollBack(events: EventTable): Promise<void> {
  await db.pool.query(`begin; insert into ${events.name} default values; rollback`)
}

test('where no index is led by the position nothing is watched: each look would read the whole table', async () => {
  const events = await db.events(`create sequence numbers;
    create table events (position bigint not null default nextval('numbers'), type text default 'any'); ${HANDLED}`)
  const daemon = await daemonOver(events, { allowMissingIndex: true })
  const numbers = await takeNumbers(events)
  await events.append()
  await daemon.waitUntilProjected()
  await insertTaken(events, numbers)
  await untilLookedAt(events, daemon)
  expect(daemon.status().highWater.state).toBe('polling')
})

test('the oldest of too many runs are given up', async () => {
  const events = await db.events(EVENTS)
  const daemon = await daemonOver(events)
  const numbers: bigint[] = []
  for (let n = 0; n <= MOST_WATCHED_RUNS; n++) {
    numbers.push(...(await takeNumbers(events)))
    await events.append()
  }
  await daemon.waitUntilProjected()
  await insertTaken(events, numbers.slice(0, 2))
  expect((await haltedWith(daemon)).events.map(({ position }) => position)).toEqual(['3'])
})

test('in a partitioned table fewer runs are watched, the newest ones, and nothing between them is taken for late', async () => {
  const partitions = Array.from(
    { length: 9 },
    (_, n) => `create table events_${n} partition of events for values with (modulus 9, remainder ${n});`,
  )
  const events = await db.events(`create sequence numbers; ${HANDLED};
    create table events (position bigint primary key default nextval('numbers'), type text default 'any')
      partition by hash (position); ${partitions.join('')}`)
  const daemon = await daemonOver(events)
  const numbers: bigint[] = []
  for (let n = 0; n <= 10; n++) {
    numbers.push(...(await takeNumbers(events)))
    await events.append()
    // So far from each other that they are not looked at together.
    if (n === 5) await events.run('insert into events select from generate_series(1, 150)')
  }
  await daemon.waitUntilProjected()
  await insertTaken(events, numbers)
  expect((await haltedWith(daemon)).events.map(({ position }) => BigInt(position))).toEqual(numbers.slice(1))
})
