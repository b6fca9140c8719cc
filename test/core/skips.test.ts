import type { SkippedReport } from '@tidemark/core'
import { afterEach, describe, expect, test } from 'vitest'
import { GuessingStore } from '../support/guessing-store.ts'
import { gate, projectionOf, recording, rig, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

function guessing() {
  const made = rig()
  const store = new GuessingStore(made.clock)
  return { ...made, store, source: store.source() }
}

describe('a run of numbers that the mark passed without proof', () => {
  test('is counted once by every projection that crosses it, whatever it filters and however its pages fall', async () => {
    const { clock, daemon, store, source } = guessing()
    store.show(1n)
    const running = daemon(
      [
        recording('all'),
        recording('one by one', { batchSize: 1 }),
        recording('odd', { eventTypes: ['odd'] }),
        recording('nothing', { eventTypes: ['never'] }),
      ],
      { source },
    )
    await running.start()
    await clock.run(running.waitUntilProjected())
    store.show(4n, 5n, 6n, 9n, 12n)
    await clock.advance(5_000)
    for (const name of ['all', 'one by one', 'odd', 'nothing']) {
      expect(projectionOf(running, name), name).toMatchObject({
        position: 12n,
        skipped: { stale_high_water_mark: 6n },
      })
    }
  })

  test('is reported after the checkpoint that crossed it has moved, with the totals', async () => {
    const { clock, daemon, store, source } = guessing()
    store.show(1n)
    const reports: SkippedReport[] = []
    const running = daemon([recording('all')], {
      source,
      telemetry: { skipped: (report) => reports.push(report) },
    })
    await running.start()
    await clock.run(running.waitUntilProjected())
    store.show(4n)
    await clock.advance(3_000)
    store.show(6n)
    await clock.advance(3_000)
    expect(reports).toEqual([
      {
        projection: 'all',
        crossed: [{ stored: '1', current: '4', count: 2n, reason: 'stale_high_water_mark' }],
        totals: { stale_high_water_mark: 2n },
      },
      {
        projection: 'all',
        crossed: [{ stored: '4', current: '6', count: 1n, reason: 'stale_high_water_mark' }],
        totals: { stale_high_water_mark: 3n },
      },
    ])
  })

  test('is not counted again after a restart', async () => {
    const { clock, daemon, store, source } = guessing()
    store.show(1n)
    const first = daemon([recording('all')], { source })
    await first.start()
    await clock.run(first.waitUntilProjected())
    store.show(4n)
    await clock.advance(3_000)
    await clock.run(first.stop())
    const second = daemon([recording('all')], { source })
    await second.start()
    store.show(7n)
    await clock.advance(3_000)
    expect(projectionOf(second, 'all').skipped).toEqual({ stale_high_water_mark: 4n })
  })

  test('is counted by a projection that was not running when the mark passed it', async () => {
    const { clock, daemon, store, source } = guessing()
    store.show(1n)
    const both = daemon([recording('quick'), recording('late')], { source })
    await both.start()
    await clock.run(both.waitUntilProjected())
    await clock.run(both.stop())
    const quick = daemon([recording('quick')], { source })
    await quick.start()
    store.show(4n)
    await clock.advance(3_000)
    await clock.run(quick.stop())
    const late = daemon([recording('late')], { source })
    await late.start()
    await clock.advance(3_000)
    expect(projectionOf(late, 'late')).toMatchObject({ position: 4n, skipped: { stale_high_water_mark: 2n } })
  })

  test('is counted when the batch that crosses it failed at first, once', async () => {
    const { clock, daemon, store, source } = guessing()
    store.show(1n)
    let calls = 0
    const running = daemon(
      [
        {
          name: 'shaky',
          handle: () => {
            if (++calls % 2 === 0) throw new Error('every second time')
          },
        },
      ],
      { source },
    )
    await running.start()
    await clock.run(running.waitUntilProjected())
    store.show(4n)
    await clock.advance(5_000)
    expect(projectionOf(running, 'shaky')).toMatchObject({
      position: 4n,
      skipped: { stale_high_water_mark: 2n },
    })
  })

  test('is counted once when two daemons passed it', async () => {
    const { clock, daemon, store, source } = guessing()
    store.show(1n)
    const daemons = [
      daemon([recording('all')], { source }),
      daemon([recording('all')], { source: store.source() }),
    ]
    for (const running of daemons) await running.start()
    await clock.advance(2_000)
    store.show(4n, 6n)
    await clock.advance(10_000)
    const totals = await Promise.all(daemons.map(async (running) => projectionOf(running, 'all').skipped))
    expect(totals).toContainEqual({ stale_high_water_mark: 3n })
  })
})

describe('a gap below the head when a projection first started', () => {
  test('counts as historical, later ones do not', async () => {
    const { clock, daemon, store, source } = guessing()
    store.show(1n, 4n, 10n)
    const running = daemon([recording('all')], { source })
    await running.start()
    await clock.advance(3_000)
    store.show(12n)
    await clock.advance(3_000)
    expect(projectionOf(running, 'all')).toMatchObject({
      position: 12n,
      skipped: { historical_gap: 7n, stale_high_water_mark: 1n },
    })
  })

  test('stays historical across a restart, and later ones do not become so', async () => {
    const { clock, daemon, store, source } = guessing()
    store.show(1n, 4n)
    const first = daemon([recording('all')], { source })
    await first.start()
    await clock.advance(3_000)
    await clock.run(first.stop())
    store.show(7n)
    const second = daemon([recording('all')], { source })
    await second.start()
    await clock.advance(3_000)
    expect(projectionOf(second, 'all').skipped).toEqual({ historical_gap: 2n, stale_high_water_mark: 2n })
  })

  test('does not exist where the projection started on an empty store', async () => {
    const { clock, daemon, store, source } = guessing()
    const first = daemon([recording('all')], { source })
    await first.start()
    await clock.advance(3_000)
    store.show(3n)
    await clock.advance(3_000)
    expect(projectionOf(first, 'all').skipped).toEqual({ stale_high_water_mark: 2n })
    await clock.run(first.stop())
    store.show(6n)
    const second = daemon([recording('all')], { source })
    await second.start()
    await clock.advance(3_000)
    expect(projectionOf(second, 'all').skipped).toEqual({ stale_high_water_mark: 4n })
  })
})

test('an event that was passed as missing and shows up later is not handled: that is what the count stands for', async () => {
  const { clock, daemon, store, source } = guessing()
  store.show(1n, 3n)
  const all = recording('all')
  const running = daemon([all], { source })
  await running.start()
  await clock.advance(3_000)
  store.show(2n)
  await clock.advance(3_000)
  expect(all.seen).toEqual([1n, 3n])
  expect(projectionOf(running, 'all').skipped).toEqual({ historical_gap: 1n })
})

test('a run is counted by the checkpoint that crosses it, not by the mark', async () => {
  const { clock, daemon, store, source } = guessing()
  store.show(1n)
  const busy = gate()
  const seen: bigint[] = []
  const running = daemon(
    [
      {
        name: 'slow',
        handle: async (batch) => {
          await busy.promise
          seen.push(...batch.map((event) => event.position))
        },
      },
    ],
    { source },
  )
  await running.start()
  store.show(4n)
  await clock.advance(10_000)
  expect(projectionOf(running, 'slow').skipped).toEqual({})
  busy.open()
  await clock.settle()
  expect(seen).toEqual([1n, 4n])
  expect(projectionOf(running, 'slow').skipped).toEqual({ stale_high_water_mark: 2n })
})
