import { type LossMonitor, type LossMonitorOptions, monitorHandler } from '@tidemark/core'
import { postgresCheckpoints, watchedPostgresEvents } from '@tidemark/pg-adapter'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type EventTable, eventually, fileDatabase } from '../support/event-table.ts'

const db = fileDatabase()

/** The position may be NULL, and nothing is led by it. */
const BARE = `
  create sequence events_position;
  create table events (position bigint default nextval('events_position'), type text not null default 'happened')`

interface Row {
  readonly position: string
}

interface Rig {
  readonly events: EventTable
  readonly monitor: LossMonitor<Row>
  /** Hands over all that is visible above the last position, as a loop does. */
  read(types?: readonly string[]): Promise<void>
}

function monitorOf(events: EventTable, options: Partial<LossMonitorOptions<Row>> = {}): LossMonitor<Row> {
  const monitor = monitorHandler<Row>({
    projection: 'orders',
    source: watchedPostgresEvents({ pool: db.pool, table: events.name, eventType: 'type' }),
    position: ({ position }) => position,
    eventTypes: 'all',
    from: 0n,
    lookIntervalMs: 20,
    ...options,
  })
  onTestFinished(() => monitor.stop())
  return monitor
}

async function rig(ddl?: string, options: Partial<LossMonitorOptions<Row>> = {}): Promise<Rig> {
  const events = await db.events(ddl)
  const monitor = monitorOf(events, options)
  const handle = monitor.wrap((_: Row) => {})
  let last = '0'
  const read = async (types?: readonly string[]): Promise<void> => {
    const { rows } = await db.pool.query(
      `select position::text from ${events.name} e
       where position > $1 and ($2::text[] is null or type = any ($2)) order by e.position`,
      [last, types],
    )
    for (const row of rows) handle(row)
    last = rows.at(-1)?.position ?? last
    await eventually(() => String(monitor.status().lookedTo)).toBe(last)
  }
  return { events, monitor, read }
}

const lost = (monitor: LossMonitor<Row>): bigint[] => monitor.lost().map(({ position }) => position)

describe.each([
  ['a table with an index', undefined],
  ['a table without one', BARE],
])('%s', (_, ddl) => {
  test('a long transaction that becomes visible far below is told event by event', async () => {
    const { events, monitor, read } = await rig(ddl)
    const session = await db.session()
    const many = (count: number): string =>
      `insert into ${events.name} (type) select 'many' from generate_series(1, ${count})`
    await session.query(`begin; ${many(2_500)}`)
    await db.pool.query(many(6_000))
    await read()
    expect(monitor.status()).toMatchObject({ exposedPositions: 2_500n, unconfirmed: 0 })
    await session.query('commit')
    await eventually(() => monitor.status()).toMatchObject({ exposedPositions: 0n, unconfirmed: 2_500 })
    await events.append()
    await read()
    await eventually(() => lost(monitor)).toHaveLength(2_500)
    expect(lost(monitor)).toEqual(Array.from({ length: 2_500 }, (_, index) => BigInt(index + 1)))
  })
})

test('events of other types, placeholders and numbers that were rolled back are no loss', async () => {
  const { events, monitor, read } = await rig(undefined, { eventTypes: ['mine'] })
  const session = await db.session()
  await session.query(`begin; insert into ${events.name} (type) values ('mine')`)
  await db.pool.query(
    `insert into ${events.name} (type) values ('other'), ('mine'), ('tombstone'), ('other'), ('mine')`,
  )
  await read(['mine'])
  await session.query('rollback')
  await db.pool.query(`insert into ${events.name} (type) values ('mine')`)
  await read(['mine'])
  await eventually(() => monitor.status()).toMatchObject({ exposedPositions: 0n, unconfirmed: 0, lost: 0 })
})

test('with a ledger a loss is told once, and known after a restart', async () => {
  const ledger = postgresCheckpoints({ pool: db.pool, schema: 'monitor_ledger' })
  const { events, monitor, read } = await rig(undefined, { ledger })
  await events.append(3)
  const handle = monitor.wrap((_: Row) => {})
  for (const position of ['1', '3']) handle({ position })
  await eventually(() => monitor.status()).toMatchObject({ unconfirmed: 1 })
  await events.append()
  handle({ position: '4' })
  await eventually(() => monitor.status()).toMatchObject({
    lost: 1,
    ledger: { unwritten: 0, error: undefined },
  })
  expect(lost(monitor)).toEqual([2n])
  expect(monitor.lost()).toMatchObject([{ missingAt: undefined }])
  await monitor.stop()
  const lines: string[] = []
  const say = (line: string): void => void lines.push(line)
  const again = monitorOf(events, { ledger, logger: { info: say, warn: say, error: say } })
  await eventually(() => lost(again)).toEqual([2n])
  expect(lines).toEqual([])
  await read()
})

test('a sequence that begins anew is another run of the store', async () => {
  const { events, monitor, read } = await rig()
  await events.append(4)
  await read()
  await db.pool.query(`truncate ${events.name} restart identity`)
  await events.append(2)
  await eventually(() => monitor.status()).toMatchObject({ begunAnew: 1, handedTo: undefined })
  expect(lost(monitor)).toEqual([])
})
