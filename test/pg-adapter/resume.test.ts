import { postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import {
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

const start = (events: EventTable) =>
  startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all')],
  })

async function holdOpen(events: EventTable) {
  const holder = await db.session()
  await holder.query('begin')
  await holder.query(`insert into ${events.name} default values`)
  return holder
}

test('a new daemon goes on from what was settled while the holder is still open', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append(3)
  const first = await start(events)
  await first.waitUntilProjected()
  const holder = await holdOpen(events)
  await events.append(2)
  await eventually(() => first.status().highWater).toMatchObject({ head: 6n, settled: 3n })
  await first.stop()

  const second = await start(events)
  expect(second.status().highWater).toMatchObject({ head: 6n, settled: 3n, mark: 3n, holders: [{}] })
  await holder.query('commit')
  await second.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual(await appended(db.pool, events))
})

test('a settled tail without a visible event is remembered too', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append(3)
  const first = await start(events)
  await first.waitUntilProjected()
  await events.run("select setval('events_position_seq', 50)")
  await eventually(async () => {
    const { rows } = await db.pool.query(`select settled from ${events.schema}.settled`)
    return rows[0]?.settled
  }).toBe('50')
  await first.stop()
  const holder = await holdOpen(events)
  const second = await start(events)
  expect(second.status().highWater).toMatchObject({ head: 51n, settled: 50n, mark: 3n })
  await holder.query('rollback')
  await second.waitUntilProjected()
  expect(second.status().projections[0]).toMatchObject({ position: 3n, lagPositions: 0n })
})

test('settled positions of another incarnation are worth nothing: the checkpoint is', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append(3)
  const first = await start(events)
  await first.waitUntilProjected()
  await first.stop()
  const otherRun = "regexp_replace(incarnation, '^([^/]*/[^/]*/[^/]*)', '\\10')"
  await events.run(`update settled set settled = '4', incarnation = ${otherRun};
    update checkpoints set settled = '4', incarnation = ${otherRun}`)
  const holder = await holdOpen(events)
  const second = await start(events)
  expect(second.status().highWater).toMatchObject({ head: 4n, settled: 3n, mark: 3n })
  await holder.query('commit')
  await second.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n, 4n])
})

test('what stale-threshold mode passed is not settled for a proof: a new projection waits for who is still open', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  const holder = await holdOpen(events)
  await events.append(2)
  const guessing = await startDaemon({
    source: postgresEvents({
      pool: db.pool,
      table: events.name,
      highWater: { mode: 'stale-threshold', thresholdMs: 50 },
    }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'guessing')],
  })
  await eventually(() => guessing.status().projections[0]?.position).toBe(3n)
  await guessing.stop()

  const proving = await start(events)
  expect(proving.status().highWater).toMatchObject({ settled: undefined, mark: undefined })
  await holder.query('commit')
  await proving.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n])
})
