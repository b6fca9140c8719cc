import { wholeUnit } from '@tidemark/core/adapter'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { never } from '../support/never.ts'
import { eventsOf, PROJECTIONS, startDaemon } from './daemons.ts'
import { untilArrived } from './oracle.ts'
import { seeded } from './seed.ts'
import { expectLossesCounted, holdUntilPassed } from './stale.ts'
import { chaosStore } from './store.ts'
import { startWriters } from './writers.ts'

test('stale-threshold mode loses nothing that it does not count, for each projection', async () => {
  const random = seeded('stale threshold')
  const store = await chaosStore()
  const holder = await holdUntilPassed(store)
  const highWater = { mode: 'stale-threshold', thresholdMs: 30 } as const
  await startDaemon(store, { source: eventsOf(store.pool(), { highWater }) })
  const writers = startWriters(store, { random, writers: 6 })
  await untilArrived(store, 'slow', 600)
  await holder.commit()
  await writers.stop()
  expect(await expectLossesCounted(PROJECTIONS, store)).toBeGreaterThan(0)
})

test('runs that two daemons passed with different views are recorded without overlap, and nothing of them is left out', async () => {
  const store = await chaosStore()
  const checkpoints = postgresCheckpoints({ pool: store.pool() })
  await checkpoints.prepare?.(never())
  await checkpoints.open(wholeUnit('all'), { source: 'events', head: '10' }, never())
  // The one has seen 12 appear, the other not yet: it must not pass 13 and 14 uncounted.
  await checkpoints.skips?.record('events', [{ stored: '10', current: '12', count: 1n }], never())
  await checkpoints.skips?.record('events', [{ stored: '10', current: '15', count: 4n }], never())
  await checkpoints.skips?.record('events', [{ stored: '12', current: '14', count: 1n }], never())
  const { rows } = await store.query(
    'select stored::int, current::int, count::int from tidemark.skips order by current',
  )
  expect(rows).toEqual([
    { stored: 10, current: 12, count: 1 },
    { stored: 12, current: 15, count: 2 },
  ])
  const advanced = await checkpoints.advance(
    {
      unit: wholeUnit('all'),
      source: 'events',
      from: undefined,
      to: '15',
      evidence: { incarnation: 'unproven', settled: '15', logPosition: undefined },
      signal: new AbortController().signal,
    },
    async () => {},
  )
  expect(advanced.skipped).toEqual({ stale_high_water_mark: 3n })
})
