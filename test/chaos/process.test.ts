import { expect, test } from 'vitest'
import { append } from './events.ts'
import { killInMidBatch } from './kills.ts'
import { arrived, expectExact } from './oracle.ts'
import { spawnDaemon } from './processes.ts'
import { seeded } from './seed.ts'
import { chaosStore } from './store.ts'
import { until } from './until.ts'

test('a daemon process killed in mid-batch 3 times loses and repeats nothing', async () => {
  await killInMidBatch(seeded('killed daemon'), 3)
})

test('of two daemon processes one works while the other stands by, and takes over when the first is killed', async () => {
  const store = await chaosStore()
  const options = { url: store.url, 'batch-size': '5' }
  const daemons = [await spawnDaemon(options), await spawnDaemon(options)]
  const append5 = async (): Promise<number> => {
    const before = await arrived(store, 'all')
    await append(store, 5)
    await until('they have arrived', async () => (await arrived(store, 'all')) === before + 5)
    const { rows } = await store.query('select process from handled order by arrival desc limit 1')
    return rows[0].process
  }
  // Both may try the first batches; who loses one stands by for as long as the other goes on.
  const owners: number[] = []
  for (let batch = 0; batch < 30; batch++) owners.push(await append5())
  const changes = owners.filter((owner, n) => n > 0 && owner !== owners[n - 1])
  expect(changes.length).toBeLessThan(10)

  const owner = daemons.find(({ pid }) => pid === owners.at(-1))
  const other = daemons.find((daemon) => daemon !== owner)
  await owner?.kill()
  expect(await append5()).toBe(other?.pid)
  await expectExact([{ name: 'all' }], store)
})

test('a process ends by itself once its daemon is stopped and its pool is ended', async () => {
  const store = await chaosStore()
  const daemon = await spawnDaemon({ url: store.url, projections: 'all,rare,second' })
  const handling = daemon.says('handling')
  await append(store, 50)
  await handling
  expect(await daemon.terminate()).toBe(0)
})

test('a handler that hangs holds up the end of a process no longer than the time it may take to drain', async () => {
  const store = await chaosStore()
  const daemon = await spawnDaemon({ url: store.url, hang: true, 'drain-timeout-ms': '500' })
  const handling = daemon.says('handling')
  await append(store, 50)
  await handling
  const startedMs = performance.now()
  expect(await daemon.terminate()).toBe(0)
  expect(performance.now() - startedMs).toBeLessThan(6_000)
  const { rows } = await store.query('select count(*)::int as n from handled')
  expect(rows).toEqual([{ n: 0 }])
})
