import { expect, test } from 'vitest'
import { PROJECTIONS, startDaemon } from './daemons.ts'
import { expectExact, untilArrived } from './oracle.ts'
import { seeded } from './seed.ts'
import { chaosStore } from './store.ts'
import { startBystanders, startWriters } from './writers.ts'

test('loses, repeats and reorders nothing under writers that roll back, prepare, stall and lose their sessions', async () => {
  const random = seeded('writers')
  const store = await chaosStore()
  startBystanders(store)
  const writers = startWriters(store, { random, writers: 8 })
  const daemon = await startDaemon(store)
  await untilArrived(store, 'slow', 2_500)
  await writers.stop()
  await expectExact(PROJECTIONS, store)
  await writers.expectAcknowledged()
  await daemon.waitUntilProjected({ timeoutMs: 10_000 })
  expect(daemon.status().highWater.gaps).toEqual([])
})
