import type { Daemon } from '@tidemark/core'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { Registry } from 'prom-client'
import { afterEach, describe, expect, test } from 'vitest'
import { never } from '../../support/never.ts'
import { startOn } from '../../support/start.ts'
import { TimedStore } from '../../support/timed-store.ts'
import { alteredCheckpoints, gate, recording, rig, stopAll } from '../rig.ts'
import { samplesOf } from './scrape.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

function observed() {
  const made = rig()
  const registry = new Registry()
  const store = new TimedStore(made.clock)
  const sample = async (metric: string, labels: string): Promise<number | undefined> =>
    samplesOf(await registry.metrics()).get(`martend_async_daemon_${metric}{${labels}}`)
  return {
    ...made,
    store,
    start: (running: Daemon<bigint>) => startOn(made.clock, running),
    observedDaemon: (...[projections, options]: Parameters<typeof made.daemon>) =>
      made.daemon(projections, {
        source: store.source,
        metrics: promClientMetrics({ registry }),
        ...options,
      }),
    lag: () => sample('projection_lag_seconds', 'projection_name="all"'),
    ofStore: (metric: string) => sample(metric, 'source="orders"'),
    polls: (outcome: string) => sample('polls', `outcome="${outcome}",source="orders"`),
  }
}

describe('lag in seconds rises from scrape to scrape', () => {
  test('with a handler that hangs, from the time its first event was appended', async () => {
    const { clock, store, start, observedDaemon, lag } = observed()
    const hung = gate()
    store.append()
    await clock.advance(2_000)
    await start(observedDaemon([{ name: 'all', handle: () => hung.promise }]))
    const scrapes: (number | undefined)[] = []
    for (let scrape = 0; scrape < 3; scrape++) {
      await clock.advance(15_000)
      scrapes.push(await lag())
    }
    const [first = 0] = scrapes
    expect(first).toBeCloseTo(17, 1)
    expect(scrapes.map((lag = 0) => Math.round(lag - first))).toEqual([0, 15, 30])
    hung.open()
    await clock.advance(1)
    expect(await lag()).toBe(0)
  })

  test('with batches that are slower than what is appended, whatever the source knows of append times', async () => {
    const { clock, events, daemon } = rig()
    const slow = daemon([{ name: 'all', batchSize: 10, handle: () => clock.sleep(100, never()) }])
    await slow.start()
    const lags: number[] = []
    for (let round = 0; round < 5; round++) {
      for (let n = 0; n < 2_000; n++) events.append('a', {})
      await clock.advance(3_000)
      lags.push(Math.round((slow.status().projections[0]?.lagMs ?? 0) / 1_000))
    }
    // 300 of each round's 2,000 are handled: all that time the first round is not even through.
    expect(lags).toEqual([3, 6, 9, 12, 15])
  })

  test('with a projection that is paused', async () => {
    const { clock, store, start, observedDaemon, lag } = observed()
    store.append()
    const fail = (): never => {
      throw new Error('boom')
    }
    await start(observedDaemon([{ name: 'all', handle: fail, attempts: 1 }]))
    await clock.advance(10_000)
    const before = await lag()
    expect(before).toBeGreaterThan(9)
    await clock.advance(15_000)
    expect(await lag()).toBeCloseTo((before ?? 0) + 15)
  })

  test('with a checkpoint store that hangs while nothing waited, once something does', async () => {
    const { clock, checkpoints, store, start, observedDaemon, lag } = observed()
    const hung = gate()
    let advances = 0
    const hanging = alteredCheckpoints(checkpoints, {
      advance: async (request, work) => {
        if (++advances === 2) await hung.promise
        return await checkpoints.advance(request, work)
      },
    })
    store.append('wanted')
    await start(observedDaemon([recording('all', { eventTypes: ['wanted'] })], { checkpoints: hanging }))
    await clock.advance(100)
    store.append('other')
    await clock.until(() => advances === 2)
    store.append('wanted')
    await clock.advance(10_000)
    const before = await lag()
    expect(before).toBeGreaterThan(9)
    store.append('wanted')
    await clock.advance(15_000)
    expect(await lag()).toBeCloseTo((before ?? 0) + 15)
    hung.open()
  })

  test('with events above a gap that is held open: they wait too', async () => {
    const { clock, store, start, observedDaemon, lag } = observed()
    store.append()
    await start(observedDaemon([recording('all')]))
    await clock.advance(100)
    const holder = store.begin()
    holder.append('a', {})
    await clock.advance(30_000)
    expect(await lag(), 'an open transaction alone holds no event up').toBe(0)
    store.append()
    await clock.advance(10_000)
    expect(await lag()).toBeCloseTo(10, 0)
    await clock.advance(15_000)
    expect(await lag()).toBeCloseTo(25, 0)
    holder.commit()
    await clock.advance(100)
    expect(await lag()).toBe(0)
  })

  test.each(['failing', 'hanging'] as const)(
    'with a database that cannot be reached (%s polls), while last_successful_poll stands still and the mark goes stale',
    async (how) => {
      const { clock, store, start, observedDaemon, lag, ofStore, polls } = observed()
      store.append()
      await start(observedDaemon([recording('all')]))
      await clock.advance(2_000)
      expect(await lag()).toBe(0)
      expect(await ofStore('high_water_mark_stale')).toBe(0)
      const failed = (await polls('failed')) ?? Number.NaN
      expect(failed).toBe(0)
      const hung = gate()
      if (how === 'failing') store.failure = new Error('connection refused')
      else store.hang = hung.promise
      await clock.advance(15_000)
      const [before, polledAt] = [await lag(), await ofStore('last_successful_poll_timestamp_seconds')]
      expect(before).toBeGreaterThan(13)
      await clock.advance(15_000)
      expect(await lag()).toBeCloseTo((before ?? 0) + 15)
      expect(await ofStore('last_successful_poll_timestamp_seconds')).toBe(polledAt)
      expect(await ofStore('high_water_mark_stale')).toBe(1)
      if (how === 'failing') expect(await polls('failed')).toBeGreaterThan(2)
      store.failure = undefined
      hung.open()
      await clock.advance(10_000)
      expect(await lag()).toBe(0)
      expect(await ofStore('high_water_mark_stale')).toBe(0)
    },
  )
})

describe('an idle store', () => {
  test.each(['with a rolled-back tail', 'with a last event', 'that is empty'])(
    '%s has no lag, is not stale, and its polls are told as unchanged',
    async (what) => {
      const { clock, store, start, observedDaemon, lag, ofStore, polls } = observed()
      if (what !== 'that is empty') store.append()
      if (what === 'with a rolled-back tail') {
        const undone = store.begin()
        undone.append('a', {})
        undone.append('a', {})
        undone.rollback()
      }
      await start(observedDaemon([recording('all')]))
      await clock.advance(5_000)
      const moved = await polls('moved')
      for (let scrape = 0; scrape < 20; scrape++) {
        await clock.advance(15_000)
        expect(await lag()).toBe(0)
        expect(await ofStore('high_water_mark_stale')).toBe(0)
        expect(await ofStore('open_gaps')).toBe(0)
      }
      expect(await polls('moved'), 'nothing moved').toBe(moved)
      expect(await polls('unchanged')).toBeGreaterThan(250)
    },
  )
})

describe('what is unknown is absent', () => {
  test('before the first poll has succeeded', async () => {
    const { clock, store, start, observedDaemon, lag, ofStore } = observed()
    store.failure = new Error('connection refused')
    await start(observedDaemon([recording('all')]))
    await clock.advance(10_000)
    expect(await lag()).toBeUndefined()
    for (const gauge of [
      'high_water_mark',
      'store_head',
      'open_gaps',
      'gap_holders',
      'oldest_gap_age_seconds',
    ]) {
      expect(await ofStore(gauge), gauge).toBeUndefined()
    }
    expect(await ofStore('high_water_mark_stale'), 'that it is stale is known').toBe(1)
  })

  test('behind a transaction that was open at the first poll', async () => {
    const { clock, store, start, observedDaemon, lag, ofStore } = observed()
    const holder = store.begin()
    holder.append('a', {})
    store.append()
    await start(observedDaemon([recording('all')]))
    await clock.advance(1_000)
    expect(await lag()).toBeUndefined()
    expect(await ofStore('settled_position')).toBeUndefined()
    holder.commit()
    await clock.advance(1_000)
    expect(await lag()).toBe(0)
  })

  test('before the checkpoint was read', async () => {
    const { clock, checkpoints, start, observedDaemon, lag } = observed()
    const reading = gate()
    const hanging = alteredCheckpoints(checkpoints, {
      open: async (unit, first) => {
        await reading.promise
        return await checkpoints.open(unit, first, never())
      },
    })
    await start(observedDaemon([recording('all')], { checkpoints: hanging }))
    await clock.advance(1_000)
    expect(await lag()).toBeUndefined()
    reading.open()
    await clock.advance(1_000)
    expect(await lag()).toBe(0)
  })
})
