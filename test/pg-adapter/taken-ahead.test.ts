import { randomUUID } from 'node:crypto'
import { createOperations } from '@tidemark/core/operations'
import { type PostgresEventsOptions, postgresEvents } from '@tidemark/pg-adapter'
import { Client } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
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

const db = fileDatabase()

/** As Marten's: writers ask the sequence themselves. */
const EVENTS = `create sequence numbers;
  create table events (position bigint primary key default nextval('numbers'), type text default 'any'); ${HANDLED}`

const aheadOptions = (events: EventTable): PostgresEventsOptions => ({
  pool: db.pool,
  table: events.name,
  eventType: 'type',
  numbers: 'taken-ahead',
  highWater: { mode: 'stale-threshold', thresholdMs: 100 },
})

const start = (events: EventTable, more: Partial<PostgresEventsOptions> = {}) =>
  startDaemon({
    source: postgresEvents({ ...aheadOptions(events), ...more }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all')],
  })

type Daemon = Awaited<ReturnType<typeof start>>

/** On another connection than the one that inserts it, and committed there. */
async function takeNumber(events: EventTable): Promise<bigint> {
  const { rows } = await db.pool.query(`select nextval('${events.schema}.numbers')::text as number`)
  return BigInt(rows[0].number)
}

/** A transaction that is open and has not even read the table. */
async function begun(applicationName: string, url = db.url): Promise<Client> {
  const client = new Client({ connectionString: url, application_name: applicationName })
  client.on('error', () => {})
  await client.connect()
  onTestFinished(() => client.end())
  await client.query('begin; select 1')
  return client
}

const insert = (client: Pick<Client, 'query'>, events: EventTable, number: bigint) =>
  client.query(`insert into ${events.name} (position) values (${number})`)

/** The gap is old enough, and is held by these. */
const heldBy = (daemon: Daemon, ...names: readonly string[]) =>
  eventually(() =>
    daemon
      .status()
      .highWater.holders.flatMap(({ applicationName = '' }) =>
        names.includes(applicationName) ? [applicationName] : [],
      ),
  ).toEqual(names)

const skipped = (daemon: Daemon) => daemon.status().projections[0]?.skipped

/** 1 and 3 are there, 2 was taken, and its writer has begun. */
async function waiting(more: Partial<PostgresEventsOptions> = {}) {
  const events = await db.events(EVENTS)
  await events.append()
  const daemon = await start(events, more)
  await daemon.waitUntilProjected()
  const number = await takeNumber(events)
  const writer = await begun('writer')
  await events.append()
  await heldBy(daemon, 'writer')
  expect(daemon.status().highWater).toMatchObject({ mark: 1n, gaps: [{ from: number, to: number }] })
  return { events, daemon, number, writer }
}

test('a gap waits for a transaction that is older, though it has written nothing yet, and its event comes in its place', async () => {
  const { events, daemon, number, writer } = await waiting()
  await insert(writer, events, number)
  await writer.query('commit')
  await daemon.waitUntilProjected({ upTo: 3n })
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n])
  expect(skipped(daemon)).toEqual({})
})

test('a role that may read the table and nothing else waits for the transactions of others too', async () => {
  const role = await db.role('grant pg_read_all_data to :role')
  const { events, daemon, number, writer } = await waiting({ pool: db.newPool(asRole(db.url, role)) })
  await insert(writer, events, number)
  await writer.query('commit')
  await daemon.waitUntilProjected({ upTo: 3n })
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n])
})

test('a prepared transaction is waited for until it is committed', async () => {
  const { events, daemon, number, writer } = await waiting()
  await insert(writer, events, number)
  const gid = randomUUID()
  await writer.query(`prepare transaction '${gid}'`)
  await eventually(() => daemon.status().highWater.holders).toMatchObject([{ pid: undefined }])
  await writer.query(`commit prepared '${gid}'`)
  await daemon.waitUntilProjected({ upTo: 3n })
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n])
})

test('a number that died is passed and counted, though a younger transaction is open, or one of another database', async () => {
  const elsewhere = new URL(db.url)
  elsewhere.pathname = '/postgres'
  const stranger = await begun('stranger', elsewhere.href)
  const { events, daemon, writer } = await waiting()
  const younger = await begun('younger')
  await writer.query('rollback')
  await daemon.waitUntilProjected({ upTo: 3n })
  await eventually(() => skipped(daemon)).toEqual({ stale_high_water_mark: 1n })
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 3n])
  expect(daemon.status().highWater.holders).toEqual([])
  await Promise.all([younger.query('rollback'), stranger.query('rollback')])
})

test('an event whose transaction begins after its number was passed is counted, and is a late event', async () => {
  const events = await db.events(EVENTS)
  await events.append()
  const daemon = await start(events)
  await daemon.waitUntilProjected()
  const number = await takeNumber(events)
  await events.append()
  await daemon.waitUntilProjected({ upTo: 3n })
  await insert(db.pool, events, number)
  const operations = createOperations({
    checkpoints: checkpointsBeside(events, db.newPool()),
    source: postgresEvents(aheadOptions(events)),
  })
  await eventually(() => operations.lateEvents()).toMatchObject([
    { position: String(number), passed: 'without_proof', units: [{ state: 'open' }] },
  ])
  await eventually(() => skipped(daemon)).toEqual({ stale_high_water_mark: 1n })
})

test('such a table cannot be read as a proven one', () => {
  const { highWater: _, ...ahead } = aheadOptions({ name: 'events' } as EventTable)
  expect(postgresEvents(ahead)).toMatchObject({ passesUnproven: true, lateEventWindowMs: 600_000 })
  expect(() => postgresEvents({ ...ahead, highWater: { mode: 'proof' } })).toThrow(
    /highWater.mode: expected 'stale-threshold' beside numbers: 'taken-ahead' \(.* nothing in the database shows/,
  )
})
