import { createWatch, type Watch } from '@tidemark/core'
import { postgresCheckpoints, postgresConsumers, watchedPostgresEvents } from '@tidemark/pg-adapter'
import { expect, onTestFinished, test } from 'vitest'
import { type EventTable, eventually, fileDatabase } from '../support/event-table.ts'

const db = fileDatabase()

async function tables(): Promise<{ events: EventTable; moveTo: (position: bigint) => Promise<void> }> {
  const events = await db.events()
  await events.run(
    `create table checkpoints (name text primary key, position bigint); insert into checkpoints values ('loop', 0)`,
  )
  const moveTo = async (position: bigint): Promise<void> => {
    await db.pool.query(`update ${events.schema}.checkpoints set position = $1`, [String(position)])
  }
  return { events, moveTo }
}

async function startWatch({ name, schema }: EventTable): Promise<{ watch: Watch; told: string[] }> {
  const { pool } = db
  const told: string[] = []
  const watch = createWatch({
    source: watchedPostgresEvents({ pool, table: name, eventType: 'type' }),
    consumers: postgresConsumers({
      pool,
      table: `${schema}.checkpoints`,
      name: 'loops',
      consumer: 'name',
      checkpoint: 'position',
      eventTypes: { loop: 'all' },
    }),
    ledger: postgresCheckpoints({ pool, schema: `${schema}_ledger` }),
    telemetry: {
      consumerLostEvents: ({ events }) => void told.push(...events.map(({ position }) => String(position))),
    },
  })
  onTestFinished(() => watch.stop())
  await watch.start()
  return { watch, told }
}

async function twoLooks(...watches: Watch[]): Promise<void> {
  for (const watch of watches) {
    const { looks } = watch.status()
    await eventually(() => watch.status().looks).toBeGreaterThan(looks + 1)
  }
}

test('two watches at once, then a third one: each event is told once, and listed by all', async () => {
  const { events, moveTo } = await tables()
  const both = [await startWatch(events), await startWatch(events)]
  const watches = both.map(({ watch }) => watch)
  await twoLooks(...watches)
  const slow = await Promise.all(
    [0, 1, 2].map(async () => {
      const session = await db.session()
      await session.query(`begin; insert into ${events.name} (type) values ('slow "one"')`)
      return session
    }),
  )
  for (let moves = 0; moves < 2; moves++) {
    await moveTo(await events.append())
    await twoLooks(...watches)
  }
  for (const session of slow) await session.query('commit')
  const listed = (watch: Watch) => watch.lost().map(({ position }) => String(position))
  for (const watch of watches) await eventually(() => listed(watch).toSorted()).toEqual(['1', '2', '3'])
  await eventually(() => both.flatMap(({ told }) => told).toSorted()).toEqual(['1', '2', '3'])
  await eventually(async () => {
    const { rows } = await db.pool.query(
      `select count(*)::int as kept, count(told_at)::int as told from ${events.schema}_ledger.lost_events`,
    )
    return rows[0]
  }).toEqual({ kept: 3, told: 3 })
  for (const watch of watches) await watch.stop()

  const third = await startWatch(events)
  expect(listed(third.watch).toSorted()).toEqual(['1', '2', '3'])
  expect(third.watch.lost()[0]).toMatchObject({ type: 'slow "one"', consumer: 'loops.loop', verdict: 'lost' })
  await twoLooks(third.watch)
  expect(third.watch.status().consumers).toMatchObject([{ lost: 3, passed: 0 }])
  expect(third.told).toEqual([])
})
