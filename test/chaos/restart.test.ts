import { expect, test } from 'vitest'
import { PROJECTIONS, startDaemon } from './daemons.ts'
import { append, flush, lastPosition } from './events.ts'
import { expectExact, untilArrived } from './oracle.ts'
import { seeded } from './seed.ts'
import { chaosStore } from './store.ts'
import { until } from './until.ts'
import { startWriters } from './writers.ts'

test('a daemon restarted under load, behind an open transaction, goes on from what was settled', async () => {
  const random = seeded('restart behind a holder')
  const store = await chaosStore()
  const first = await startDaemon(store, { pollIntervalMs: 20 })
  const writers = startWriters(store, { random, writers: 4 })
  await untilArrived(store, 'all', 200)
  await writers.stop()
  await expectExact(PROJECTIONS, store)
  // A tail that nothing but the proof settles: no checkpoint ever stands in it.
  const rolledBack = await store.connect()
  await rolledBack.query('begin')
  const tail = BigInt(await append(rolledBack, 20))
  await rolledBack.query('rollback')
  await rolledBack.end()
  await until('the tail is settled', () => first.status().highWater.settled === tail)

  const holder = await store.connect()
  await holder.query('begin')
  const held = BigInt(await append(holder, 1))
  expect(held).toBe(tail + 1n)
  const more = startWriters(store, { random, writers: 4 })
  await until('and that is stored', async () => {
    const { rows: stored } = await store.query('select settled from tidemark.settled')
    const { rows: moved } = await store.query(
      'select max(settled::bigint)::text as settled from tidemark.checkpoints',
    )
    return [stored[0]?.settled, moved[0]?.settled].includes(String(tail))
  })
  await first.stop()

  const second = await startDaemon(store, { pollIntervalMs: 20 })
  expect(second.status().highWater.settled).toBe(tail)
  await until('others have gone on', async () => (await lastPosition(store)) > Number(held) + 100)
  await holder.query('commit')
  await holder.end()
  await untilArrived(store, 'all', 50)
  await more.stop()
  await expectExact(PROJECTIONS, store)
})

test('a long holder, rollbacks around it and a checkpoint every second hold nothing longer than the holder', async () => {
  const random = seeded('checkpoints')
  const store = await chaosStore()
  const daemon = await startDaemon(store, { pollIntervalMs: 20 })
  await append(store, 5)
  await expectExact([{ name: 'all' }], store)
  const incarnations = new Set<string>()
  const readIncarnations = async (): Promise<void> => {
    const { rows } = await store.query(
      'select incarnation from tidemark.checkpoints where incarnation is not null',
    )
    for (const { incarnation } of rows) incarnations.add(incarnation)
  }
  await readIncarnations()

  const holder = await store.connect()
  await holder.query('begin')
  await append(holder, 1)
  const writers = startWriters(store, { random, writers: 4 })
  const beforeCheckpoints = await redo(store)
  for (let checkpoint = 1; checkpoint <= 4; checkpoint++) {
    const before = await lastPosition(store)
    await until('a second has passed, with others writing', async () => {
      const { rows } = await store.query(`select now() > $1::timestamptz + interval '1 s' as is`, [
        (await lastCheckpoint(store)) ?? new Date(0),
      ])
      return rows[0].is && (await lastPosition(store)) > before + 20
    })
    await flush(store)
    await store.query('checkpoint')
  }
  expect(await redo(store)).not.toBe(beforeCheckpoints)
  expect(daemon.status().highWater.mark).toBe(5n)
  const head = daemon.status().highWater.head ?? 0n
  await holder.query('commit')
  await holder.end()
  await until(
    'the mark has passed what the holder held up',
    () => (daemon.status().highWater.settled ?? 0n) > head,
  )
  await writers.stop()
  await expectExact(PROJECTIONS, store)
  await readIncarnations()
  expect([...incarnations]).toHaveLength(1)
})

async function redo(store: Awaited<ReturnType<typeof chaosStore>>): Promise<string> {
  return (await store.query('select redo_lsn::text as redo from pg_control_checkpoint()')).rows[0].redo
}

async function lastCheckpoint(store: Awaited<ReturnType<typeof chaosStore>>): Promise<Date | undefined> {
  return (await store.query('select checkpoint_time as at from pg_control_checkpoint()')).rows[0].at
}
