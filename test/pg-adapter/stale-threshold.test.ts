import { postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import {
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

const start = (events: EventTable, names = ['all'], thresholdMs = 100) =>
  startDaemon({
    source: postgresEvents({
      pool: db.pool,
      table: events.name,
      eventType: 'type',
      highWater: { mode: 'stale-threshold', thresholdMs },
    }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: names.map((name) =>
      recorder(events, name, name === 'rare' ? { eventTypes: ['rare'] } : { batchSize: 2 }),
    ),
  })

const newEvents = async () => {
  const events = await db.events()
  await events.run(HANDLED)
  return events
}

/** A transaction that has taken the next number and stays open. */
async function slowWriter(events: EventTable) {
  const writer = await db.session()
  await writer.query('begin')
  await writer.query(`insert into ${events.name} default values`)
  return writer
}

const rollBack = async (events: EventTable) => (await slowWriter(events)).query('rollback')

/** As the checkpoint rows have them. */
async function storedSkips(events: EventTable): Promise<Record<string, unknown>> {
  const { rows } = await db.pool.query(`select projection, skipped from ${events.schema}.checkpoints`)
  const counted = (skipped: Record<string, string>) =>
    Object.fromEntries(Object.entries(skipped).map(([reason, count]) => [reason, Number(count)]))
  return Object.fromEntries(rows.map((row) => [row.projection, counted(row.skipped)]))
}

test('a gap older than the threshold is skipped, counted and lost, by every projection that crosses it', async () => {
  const events = await newEvents()
  await events.append(2)
  const daemon = await start(events, ['all', 'rare'])
  await daemon.waitUntilProjected()
  const writer = await slowWriter(events)
  await events.append(2)
  await daemon.waitUntilProjected({ upTo: 5n })
  await writer.query('commit')
  await eventually(() => storedSkips(events)).toEqual({
    all: { stale_high_water_mark: 1 },
    rare: { stale_high_water_mark: 1 },
  })
  await events.append()
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 4n, 5n, 6n])
  expect(daemon.status().projections).toMatchObject([
    { name: 'all', skipped: { stale_high_water_mark: 1n } },
    { name: 'rare', skipped: { stale_high_water_mark: 1n } },
  ])
})

test('a writer faster than the threshold loses nothing', async () => {
  const events = await newEvents()
  await events.append(2)
  const daemon = await start(events, ['all'], 60_000)
  await daemon.waitUntilProjected()
  const writer = await slowWriter(events)
  await events.append(2)
  await eventually(() => daemon.status().highWater).toMatchObject({
    head: 5n,
    mark: 2n,
    gaps: [{ from: 3n, to: 3n }],
  })
  await writer.query('commit')
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n, 4n, 5n])
  expect(daemon.status().projections[0]?.skipped).toEqual({})
})

test('gaps below the head of the first start are historical, of one projection and of one added later', async () => {
  const events = await newEvents()
  await events.append(2)
  await rollBack(events)
  await events.append(2)
  const first = await start(events)
  await first.waitUntilProjected({ upTo: 5n })
  expect(await storedSkips(events)).toEqual({ all: { historical_gap: 1 } })
  await rollBack(events)
  await rollBack(events)
  await events.append()
  await first.waitUntilProjected({ upTo: 8n })
  expect(await storedSkips(events)).toEqual({ all: { historical_gap: 1, stale_high_water_mark: 2 } })
  await first.stop()

  const second = await start(events, ['all', 'late'])
  await second.waitUntilProjected()
  expect(await storedSkips(events)).toEqual({
    all: { historical_gap: 1, stale_high_water_mark: 2 },
    late: { historical_gap: 3 },
  })
})

test('skips are counted once across a restart in the middle of them', async () => {
  const events = await newEvents()
  await events.append()
  const first = await start(events)
  await first.waitUntilProjected()
  await rollBack(events)
  await events.append()
  await first.waitUntilProjected({ upTo: 3n })
  await first.stop()
  await rollBack(events)
  await events.append()
  const second = await start(events)
  await second.waitUntilProjected({ upTo: 5n })
  expect(await storedSkips(events)).toEqual({ all: { stale_high_water_mark: 2 } })
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 3n, 5n])
})

test('two daemons count each skip once', async () => {
  const events = await newEvents()
  await events.append()
  const daemons = await Promise.all([start(events, ['a', 'b']), start(events, ['a', 'b'])])
  await Promise.all(daemons.map((daemon) => daemon.waitUntilProjected()))
  for (let n = 0; n < 3; n++) {
    await rollBack(events)
    await events.append()
  }
  await Promise.all(daemons.map((daemon) => daemon.waitUntilProjected({ upTo: 7n })))
  expect(await storedSkips(events)).toEqual({
    a: { stale_high_water_mark: 3 },
    b: { stale_high_water_mark: 3 },
  })
  for (const name of ['a', 'b']) expect(await handledBy(db.pool, events, name)).toEqual([1n, 3n, 5n, 7n])
})

test('the same store in proof mode skips nothing', async () => {
  const events = await newEvents()
  await events.append(2)
  await rollBack(events)
  await events.append(2)
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all')],
  })
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 4n, 5n])
  expect(await storedSkips(events)).toEqual({ all: {} })
})
