import type { Projection } from '@tidemark/core'
import { createOperations, type Operations } from '@tidemark/core/operations'
import { type PgClient, type PostgresRow, postgresEvents } from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { expect, test } from 'vitest'
import {
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()
const BY = { projection: 'orders', who: 'ann', why: 'the new layout' }

/** Each version has a table of its own; readers use the view, which shows the live one. */
async function table(): Promise<EventTable> {
  const events = await db.events()
  await events.run(
    `create table orders_1 (position bigint primary key); create table orders_2 (position bigint primary key);
     create view orders as select position from orders_1;
     create table switches (id serial, live int, first bigint, second bigint)`,
  )
  return events
}

type Version = Projection<PostgresRow, PgClient>

function version(events: EventTable, number: number, more: Partial<Version> = {}): Version {
  const { schema } = events
  return {
    name: 'orders',
    version: number,
    // What is handled twice fails.
    handle: async (rows, { tx }) => {
      await tx.query(`insert into ${schema}.orders_${number} select unnest($1::bigint[])`, [
        rows.map(({ position }) => String(position)),
      ])
    },
    onSwitch: async (tx, { to }) => {
      await tx.query(`create or replace view ${schema}.orders as select position from ${schema}.orders_${to}`)
      await tx.query(
        `insert into ${schema}.switches (live, first, second)
         select $1, (select count(*) from ${schema}.orders_1), (select count(*) from ${schema}.orders_2)`,
        [to],
      )
    },
    ...more,
  }
}

const node = (events: EventTable, versions: readonly Version[], pool: Pool = db.newPool()) =>
  startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, pool),
    projections: versions,
  })

const operator = (events: EventTable, pool: Pool = db.newPool()): Operations<bigint> =>
  createOperations({
    checkpoints: checkpointsBeside(events, pool),
    source: postgresEvents({ pool, table: events.name }),
  })

const rows = async (events: EventTable, sql: string): Promise<readonly PostgresRow[]> =>
  (await db.pool.query(sql.replaceAll(':s', events.schema))).rows

const roles = async (operations: Operations<bigint>): Promise<readonly string[]> =>
  (await operations.list()).map(({ unit, role }) => `${unit.version} ${role}`)

/** Both versions have every event once, and at each switch both had the same ones. */
async function expectWhole(events: EventTable, count: number): Promise<void> {
  for (const number of [1, 2]) {
    await eventually(
      async () => (await rows(events, `select count(*)::int as n from :s.orders_${number}`))[0]?.n,
    ).toBe(count)
  }
  for (const { first, second } of await rows(events, 'select first, second from :s.switches')) {
    expect(first).toBe(second)
  }
}

test('under writers, seen by a reader that polls: to and fro, nothing is lost, repeated or seen by half', async () => {
  const events = await table()
  await events.append(50)
  await (await node(events, [version(events, 1)])).waitUntilProjected()
  await node(events, [version(events, 2, { batchSize: 20 })])
  const operations = operator(events)
  await eventually(() => roles(operations)).toEqual(['1 live', '2 beside'])
  const over = new AbortController()
  let appended = 50
  const writing = (async () => {
    while (!over.signal.aborted) appended = Number(await events.append(1))
  })()
  let greatest = 0
  let looks = 0
  const reading = (async () => {
    const reader = db.newPool()
    while (!over.signal.aborted) {
      const { rows: seen } = await reader.query(
        `select count(*)::int as n, coalesce(max(position), 0)::int as last from ${events.schema}.orders`,
      )
      const { n, last } = seen[0]
      expect(n, 'events without a hole').toBe(last)
      expect(last, 'never less than before').toBeGreaterThanOrEqual(greatest)
      greatest = last
      looks++
    }
  })()
  for (const live of [2, 1, 2]) {
    const { outcome, entry } = await operations.switchTo({ ...BY, version: live })
    expect(outcome).toBe('done')
    expect(entry).toMatchObject({
      operation: 'switch',
      unit: { version: live },
      before: { role: 'beside' },
      after: { role: 'live' },
    })
    expect(await roles(operations)).toEqual(
      [1, 2].map((each) => `${each} ${each === live ? 'live' : 'beside'}`),
    )
  }
  over.abort()
  await Promise.all([writing, reading])
  await expectWhole(events, appended)
  expect(await rows(events, 'select live from :s.switches order by id')).toEqual([
    { live: 2 },
    { live: 1 },
    { live: 2 },
  ])
  expect(looks).toBeGreaterThan(10)
})

test('asked by ten at once with every daemon dead, it happens once, when one is started; also with no events at all', async () => {
  const events = await table()
  const versions = [version(events, 1), version(events, 2)]
  const before = await node(events, versions)
  const operations = operator(events, db.newPool({ max: 10 }))
  await eventually(async () => (await roles(operations)).length).toBe(2)
  await before.stop()
  const live = (await operations.list()).find(({ role }) => role === 'live')?.unit.version
  const next = live === 1 ? 2 : 1
  const asking = Promise.all(Array.from({ length: 10 }, () => operations.switchTo({ ...BY, version: next })))
  await eventually(async () => (await operations.list()).find(({ asked }) => asked)?.asked).toMatchObject({
    operation: 'switch',
  })
  await node(events, versions)
  const outcomes = await asking
  expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual([...Array(9).fill('already'), 'done'])
  expect(await rows(events, 'select live from :s.switches')).toEqual([{ live: next }])
  expect(await operations.switchTo({ ...BY, version: next })).toEqual({
    outcome: 'already',
    entry: undefined,
  })
})

test('an onSwitch that throws changes nothing, and whoever asked is told', async () => {
  const events = await table()
  await events.append(3)
  const fails = {
    onSwitch: async (tx: PgClient) => {
      await tx.query(`drop view ${events.schema}.orders`)
      throw new Error('no such layout')
    },
  }
  await (await node(events, [version(events, 1)])).waitUntilProjected()
  await node(events, [version(events, 2, fails)])
  const operations = operator(events)
  await eventually(() => roles(operations)).toEqual(['1 live', '2 beside'])
  await expect(operations.switchTo({ ...BY, version: 2 })).rejects.toMatchObject({
    code: 'TIDEMARK_OPERATION_REFUSED',
    message: expect.stringContaining('its onSwitch has failed: no such layout'),
  })
  expect(await roles(operations)).toEqual(['1 live', '2 beside'])
  await events.append(2)
  await expectWhole(events, 5)
  expect(await rows(events, 'select count(*)::int as n from :s.orders')).toEqual([{ n: 5 }])
})

test('a version that is ahead waits for the live one, says where both stand, and switches when that has come up', async () => {
  const events = await table()
  await events.append(3)
  const first = await node(events, [version(events, 1)])
  await first.waitUntilProjected()
  await first.stop()
  await events.append(4)
  await (await node(events, [version(events, 2)])).waitUntilProjected()
  const operations = operator(events)
  await expect(operations.switchTo({ ...BY, version: 2, timeoutMs: 1_500 })).rejects.toMatchObject({
    code: 'TIDEMARK_OPERATION_PENDING',
    message: expect.stringContaining('version 1 (live) is at 3, version 2 (beside) is at 7'),
  })
  expect(await roles(operations)).toEqual(['1 live', '2 beside'])
  await node(events, [version(events, 1)])
  expect(await operations.switchTo({ ...BY, version: 2 })).toMatchObject({ outcome: 'already' })
  expect(await roles(operations)).toEqual(['1 beside', '2 live'])
  await expectWhole(events, 7)
})

test('switches to two versions at once are both done, one after the other, and each is told which version was live', async () => {
  const events = await table()
  await events.append(5)
  const pool = db.newPool()
  const told: [number | undefined, number][] = []
  const isWaitedFor = async () =>
    (await rows(events, 'select from pg_locks where not granted and database is null')).length > 0
  const beside = (number: number): Version => ({
    name: 'orders',
    version: number,
    handle: () => {},
    onSwitch: async (_, { from, to }) => {
      // So that the other switch waits for the version that was live.
      if (told.length === 0) await eventually(isWaitedFor).toBe(true)
      told.push([from, to])
    },
  })
  await (await node(events, [version(events, 1)])).waitUntilProjected()
  await node(events, [beside(2), beside(3)], pool)
  const operations = operator(events)
  await eventually(async () => (await operations.list()).map(({ position }) => position)).toEqual([
    '5',
    '5',
    '5',
  ])
  const outcomes = await Promise.all([2, 3].map((live) => operations.switchTo({ ...BY, version: live })))
  expect(outcomes.map(({ outcome }) => outcome)).toEqual(['done', 'done'])
  const [first, second] = told
  expect(told.map(([, to]) => to).sort()).toEqual([2, 3])
  expect([first?.[0], second?.[0]]).toEqual([1, first?.[1]])
})
