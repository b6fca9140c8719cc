import type { Projection } from '@tidemark/core'
import { createOperations, type Operations } from '@tidemark/core/operations'
import { type PgClient, type PostgresRow, postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import {
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()
const BY = { projection: 'mails', who: 'ann', why: 'a drill' }
const NODE = 'tidemark-mails'

const newEvents = async (): Promise<EventTable> => {
  const events = await db.events()
  await events.run('create table mails (n bigint generated always as identity, position bigint, version int)')
  return events
}

const sourceOf = (events: EventTable, isGuessing = false) =>
  postgresEvents({
    pool: db.newPool({ application_name: NODE }),
    table: events.name,
    eventType: 'type',
    ...(isGuessing ? { highWater: { mode: 'stale-threshold', thresholdMs: 50 } as const } : {}),
  })

type Mailer = Projection<PostgresRow, PgClient>

/** A mail is a row, so that each can be counted. */
const mailer = (events: EventTable, version: number, more: Partial<Mailer> = {}): Mailer => ({
  name: 'mails',
  version,
  effects: 'live_only',
  batchSize: 4,
  reset: () => {},
  handle: async (rows, { tx }) => {
    await tx.query(`insert into ${events.schema}.mails (position, version) select unnest($1::bigint[]), $2`, [
      rows.map(({ position }) => String(position)),
      version,
    ])
  },
  ...more,
})

const node = (events: EventTable, mailers: readonly Mailer[], isGuessing = false) =>
  startDaemon({
    source: sourceOf(events, isGuessing),
    checkpoints: checkpointsBeside(events, db.newPool({ application_name: NODE })),
    projections: mailers,
  })

const operator = (events: EventTable, isGuessing = false): Operations<bigint> =>
  createOperations({
    checkpoints: checkpointsBeside(events, db.newPool()),
    source: sourceOf(events, isGuessing),
  })

const mails = async (events: EventTable): Promise<readonly number[]> =>
  (await db.pool.query(`select position::int from ${events.schema}.mails order by position`)).rows.map(
    ({ position }) => position,
  )
const upTo = (last: number): number[] => Array.from({ length: last }, (_, n) => n + 1)

const stands = async (operations: Operations<bigint>): Promise<readonly string[]> =>
  (await operations.list()).map(({ unit, role, position }) => `${unit.version} ${role} ${position}`)

test('a mail is sent once, whichever way its event is passed again', async () => {
  const events = await newEvents()
  const operations = operator(events)
  let isHealed = false
  const poisoned: Partial<Mailer> = {
    attempts: 1,
    onFailure: 'park_key',
    keyOf: ({ position }) => String(Number(position) % 2),
  }
  const failing = (version: number): Mailer => {
    const mail = mailer(events, version, poisoned)
    return {
      ...mail,
      handle: async (rows, context) => {
        if (!isHealed && rows.some(({ position }) => position === 7n)) throw new Error('no such address')
        await mail.handle(rows, context)
      },
    }
  }
  const both = [failing(1), failing(2)]
  await events.append(10)
  const alone = await node(events, [failing(1)])
  await eventually(async () => (await operations.list()).length).toBe(1)
  await alone.stop()
  const first = await node(events, both)
  // 9 is parked behind 7.
  await eventually(() => stands(operations)).toEqual(['1 live 10', '2 beside 10'])
  await eventually(() => mails(events)).toEqual([1, 2, 3, 4, 5, 6, 8, 10])

  await operations.rebuild({ ...BY, version: 1 })
  await events.append(2)
  await eventually(() => stands(operations)).toEqual(['1 live 12', '2 beside 12'])
  await operations.switchTo({ ...BY, version: 2 })
  await events.append(1)
  await eventually(() => stands(operations)).toEqual(['1 beside 13', '2 live 13'])
  expect(
    (await operations.deadLetters.list({ state: 'open' })).map(({ version, firstPosition }) => [
      version,
      firstPosition,
    ]),
  ).toEqual([
    [2, '7'],
    [2, '9'],
    [2, '11'],
    [2, '13'],
  ])
  for (const version of [1, 2]) {
    await operations.pause({ ...BY, version })
    await operations.moveTo({ ...BY, version, position: 3n })
    await operations.resume({ ...BY, version })
  }
  await eventually(() => stands(operations)).toEqual(['1 beside 13', '2 live 13'])
  isHealed = true
  await operations.deadLetters.retry(BY)
  expect(await mails(events)).toEqual(upTo(13))
  await operations.switchTo({ ...BY, version: 1 })
  await first.stop()

  // Forward: an operator does not want 14 and 15.
  await events.append(2)
  const next = await node(events, [mailer(events, 2)])
  await eventually(() => stands(operations)).toEqual(['1 live 13', '2 beside 15'])
  await operations.pause({ ...BY, version: 1 })
  await operations.moveTo({ ...BY, version: 1, position: 15n })
  await operations.resume({ ...BY, version: 1 })
  await next.stop()
  await events.append(3)
  await node(events, both)
  await node(events, both)
  await eventually(() => mails(events)).toEqual([...upTo(13), 16, 17, 18])
})

test('backends that are terminated in the middle of a replay, and takeovers, send nothing again', async () => {
  const events = await newEvents()
  const operations = operator(events)
  await events.append(120)
  await node(events, [mailer(events, 1)])
  await node(events, [mailer(events, 1)])
  await eventually(async () => (await mails(events)).length).toBe(120)
  await operations.rebuild(BY)
  for (let kill = 0; kill < 5; kill++) {
    await db.pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and datname = current_database()`,
      [NODE],
    )
    await events.append(2)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await eventually(() => stands(operations)).toEqual(['1 live 130'])
  expect(await mails(events)).toEqual(upTo(130))
})

test('an event that came late is sent once by the version that is live, also where a replay passes it, and by no other later', async () => {
  const events = await newEvents()
  const operations = operator(events, true)
  await events.append(1)
  const late = (version: number): Mailer => mailer(events, version)
  const daemon = await node(events, [late(1)], true)
  await daemon.waitUntilProjected()
  const writer = await db.session()
  await writer.query('begin')
  await writer.query(`insert into ${events.name} (type) select 'late' from generate_series(1, 2)`)
  await events.append(1)
  await daemon.waitUntilProjected({ upTo: 4n })
  await writer.query('commit')
  await node(events, [late(2)], true)
  await eventually(async () => (await operations.lateEvents()).length).toBe(2)
  await eventually(() => stands(operations)).toEqual(['1 live 4', '2 beside 4'])
  await operations.rebuild({ ...BY, version: 1 })
  await eventually(() => stands(operations)).toEqual(['1 live 4', '2 beside 4'])
  expect(await mails(events)).toEqual([1, 4])
  await operations.reprocess({ from: 2n, to: 2n, who: 'ann', why: 'they may be late' })
  expect(await mails(events)).toEqual([1, 2, 4])
  await operations.switchTo({ ...BY, version: 2 })
  await operations.reprocess({ from: 1n, to: 4n, who: 'ann', why: 'they may be late' }).catch(() => {})
  await eventually(() => mails(events)).toEqual(upTo(4))
  await operations.switchTo({ ...BY, version: 1 })
  await operations.reprocess({ from: 1n, to: 4n, who: 'ann', why: 'they may be late' })
  await eventually(() => mails(events)).toEqual(upTo(4))
}, 60_000)
