import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BETWEEN_SPLITS_MS } from '../../packages/core/src/daemon/auto-shard.ts'
import { QUIET_MS } from '../../packages/core/src/daemon/shard-history.ts'
import { areAllSlots } from '../../packages/core/src/ports/slot.ts'
import { ShardWorld } from './shard-world.ts'

const HOUR = 3_600
/** Longer than fifteen merges take, with the longest quiet between them. */
const LONG = 70 * HOUR

const load = fc.record({
  max: fc.integer({ min: 2, max: 16 }),
  handledPerSecond: fc.integer({ min: 50, max: 500 }),
  phases: fc.array(
    fc.record({ seconds: fc.integer({ min: 60, max: HOUR }), perSecond: fc.integer({ min: 0, max: 2_000 }) }),
    { minLength: 1, maxLength: 6 },
  ),
})

const skewed = fc.record({
  slot: fc.integer({ min: 0, max: 1_023 }),
  share: fc.double({ min: 0.05, max: 1, noNaN: true }),
})

describe('whatever the load does', () => {
  test('there is at least one shard, never more than max, and changes keep their distance', () => {
    fc.assert(
      fc.property(load, fc.option(skewed, { nil: undefined }), ({ max, handledPerSecond, phases }, hot) => {
        const world = new ShardWorld({ max, handledPerSecond, ...(hot ? { hot } : {}) })
        for (const { seconds, perSecond } of phases) {
          world.run(seconds, perSecond)
          expect(world.shards.length).toBeLessThanOrEqual(max)
          expect(areAllSlots(world.shards.map(({ slots }) => slots))).toBe(true)
        }
        world.changes.forEach(({ kind, atS, shards, why }, index) => {
          const apartMs = 1_000 * (atS - (world.changes[index - 1]?.atS ?? 0))
          expect(apartMs).toBeGreaterThanOrEqual(kind === 'split' ? BETWEEN_SPLITS_MS : QUIET_MS)
          expect(shards).toBeLessThanOrEqual(max)
          expect(why).not.toMatch(/NaN|Infinity|undefined|\?/)
        })
      }),
      { numRuns: 40 },
    )
  })

  test('under one that stays, the shards become enough, and then stay as they are', () => {
    const times = fc.double({ min: 0, max: 10, noNaN: true })
    const bursts = fc.array(fc.record({ seconds: fc.integer({ min: 60, max: 300 }), times }), {
      maxLength: 4,
    })
    fc.assert(
      fc.property(bursts, times, fc.integer({ min: 50, max: 500 }), (phases, last, handledPerSecond) => {
        const max = 2 * Math.ceil(last) + 1
        const world = new ShardWorld({ max, handledPerSecond, lookEveryS: 20 })
        for (const { seconds, times } of phases) world.run(seconds, times * handledPerSecond)
        world.run(40 * HOUR, last * handledPerSecond)
        for (const { slots } of world.shards) expect(world.share(slots) * last).toBeLessThanOrEqual(1.02)
        const before = world.changes.length
        world.run(6 * HOUR, last * handledPerSecond)
        expect(world.changes.slice(before)).toEqual([])
      }),
      { numRuns: 15 },
    )
  })

  test('when it is gone, one shard is left in the end', () => {
    fc.assert(
      fc.property(load, fc.option(skewed, { nil: undefined }), ({ max, handledPerSecond, phases }, hot) => {
        const world = new ShardWorld({ max, handledPerSecond, lookEveryS: 20, ...(hot ? { hot } : {}) })
        for (const { seconds, perSecond } of phases) world.run(seconds, perSecond)
        for (let hour = 0; hour < 500 && world.look().shards.some(({ behind }) => behind > 0); hour++)
          world.run(HOUR, 0)
        world.run(LONG, 0)
        expect(world.shards).toHaveLength(1)
      }),
      { numRuns: 15 },
    )
  })
})

describe('a key that has most of the events', () => {
  test('is not cut out again and again: halves that are no faster are left', () => {
    const hot = { slot: 700, share: 0.9 }
    const world = new ShardWorld({ max: 64, handledPerSecond: 100, hot }).run(10 * HOUR, 1_000)
    expect(world.changes.map(({ kind }) => kind)).toEqual(['split'])
    expect(world.shards.map(({ slots }) => slots)).toEqual([
      { from: 0, to: 511 },
      { from: 512, to: 1_023 },
    ])
  })

  test('stops no other shard from being cut, which gains by it', () => {
    const hot = { slot: 0, share: 0.4 }
    const world = new ShardWorld({ max: 64, handledPerSecond: 100, hot }).run(6 * HOUR, 500)
    const before = world.changes.length
    expect(before).toBeLessThan(10)
    for (const { slots } of world.shards) {
      if (slots.from > 0) expect(world.share(slots) * 500).toBeLessThanOrEqual(100)
    }
    world.run(12 * HOUR, 500)
    expect(world.changes.length).toBe(before)
  })

  test('is left where its shard is one slot', () => {
    const world = new ShardWorld({ max: 64, handledPerSecond: 100, hot: { slot: 5, share: 1 } })
    world.shards = [
      { slots: { from: 0, to: 4 }, at: 0 },
      { slots: { from: 5, to: 5 }, at: 0 },
      { slots: { from: 6, to: 1_023 }, at: 0 },
    ]
    world.run(2 * HOUR, 1_000)
    expect(world.changes).toEqual([])
  })

  test('is tried anew under another load, once it has not lagged for long', () => {
    const hot = { slot: 700, share: 0.9 }
    const world = new ShardWorld({ max: 64, handledPerSecond: 100, hot }).run(HOUR, 200)
    expect(world.shards).toHaveLength(2)
    world.run(6 * HOUR, 10).run(HOUR, 200)
    expect(world.changes.map(({ kind }) => kind)).toEqual(['split', 'merge', 'split'])
  })
})

describe('a shard is not cut', () => {
  const busy = { max: 8, handledPerSecond: 100 }

  test('that catches up by itself within a minute or so', () => {
    const world = new ShardWorld(busy).run(600, 50).run(30, 150)
    expect(world.run(HOUR, 10).changes).toEqual([])
  })

  test('that does not move at all: something else is wrong with it', () => {
    expect(new ShardWorld({ ...busy, handledPerSecond: 0 }).run(2 * HOUR, 500).changes).toEqual([])
  })

  test('where each node has something that lags, and this one has no time for more', () => {
    const nodes = [
      { isOwn: true, lagging: 1 },
      { isOwn: false, lagging: 2 },
    ]
    expect(new ShardWorld({ ...busy, nodes, busyShare: 0.9 }).run(HOUR, 500).changes).toEqual([])
    expect(new ShardWorld({ ...busy, nodes, busyShare: 0.5 }).run(HOUR, 500).shards).toHaveLength(8)
    const idle = [...nodes, { isOwn: false, lagging: 0 }]
    expect(new ShardWorld({ ...busy, nodes: idle, busyShare: 0.9 }).run(HOUR, 500).shards).toHaveLength(8)
  })

  test('while they are not to be changed', () => {
    expect(new ShardWorld({ ...busy, isHeld: true }).run(HOUR, 500).changes).toEqual([])
  })

  test('soon after a start, however far behind it is', () => {
    const world = new ShardWorld({ ...busy, lookEveryS: 1 })
    expect(world.run(60, 10_000).changes).toEqual([])
    expect(world.run(2, 10_000).changes).toMatchObject([{ kind: 'split', slots: { from: 0, to: 1_023 } }])
  })
})

describe('two shards do not become one', () => {
  test('that would lag as one: what was too slow has to do with half of its pace', () => {
    const world = new ShardWorld({ max: 8, handledPerSecond: 100 }).run(HOUR, 150)
    expect(world.shards).toHaveLength(2)
    expect(world.run(24 * HOUR, 60).shards).toHaveLength(2)
    expect(world.run(3 * HOUR, 40).shards).toHaveLength(1)
  })

  test('again and again, where bursts come and go: the quiet that it takes becomes longer', () => {
    const world = new ShardWorld({ max: 4, handledPerSecond: 100 })
    for (let burst = 0; burst < 150; burst++) world.run(300, 200).run(1_500, 5)
    expect(world.changes.length).toBeLessThan(80)
    expect(world.changes.filter(({ atS }) => atS > 40 * HOUR).length).toBeLessThan(25)
  })
})

test('the reason of a change has the figures that it was decided by', () => {
  const world = new ShardWorld({ max: 2, handledPerSecond: 100 }).run(120, 250).run(2 * HOUR, 5)
  const [split, merge] = world.changes
  expect(split?.why).toMatch(
    /^the shard of the slots 0-1023 lags most: it is \d+ positions behind, an event has waited for \d+ s, and it passes 100 positions a second, of which 250 come; 1 of 1 nodes lag in nothing$/,
  )
  expect(merge?.why).toMatch(
    /^none of its 2 shards has lagged for \d+ s, and at most [\d.]+ positions a second have come lately$/,
  )
})
