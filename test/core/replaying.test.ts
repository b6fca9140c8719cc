import { denseOrder } from '@tidemark/core/adapter'
import { createOperations } from '@tidemark/core/operations'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { furthestAfter, furthestAsLive } from '../../packages/core/src/ports/furthest.ts'
import { type ReplaySample, replaySpeed, withSample } from '../../packages/core/src/rebuild/progress.ts'
import { gate, positionOf, projectionOf, recording, rig, stateOf, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const BY = { projection: 'all', who: 'ann', why: 'wrong sums' }

/** A projection at 20 whose batches of two wait, one by one, once it is `held`. */
async function atTwenty() {
  const { clock, events, checkpoints, daemon } = rig()
  for (let n = 0; n < 20; n++) events.append('a', n)
  let held = gate()
  held.open()
  const projection = recording('all', { batchSize: 2, reset: () => {} })
  const running = daemon([
    {
      ...projection,
      handle: async (...args) => {
        await held.promise
        await projection.handle(...args)
      },
    },
  ])
  await running.start()
  await clock.until(() => positionOf(running, 'all') === 20n)
  held = gate()
  const operations = createOperations({ checkpoints, source: events })
  const next = async (): Promise<void> => {
    const { open } = held
    held = gate()
    open()
    await clock.advance(1_000)
  }
  return { clock, events, running, operations, next, all: () => projectionOf(running, 'all') }
}

describe('a projection that handles events anew', () => {
  test.each([
    ['after a rebuild in place', 'rebuild', undefined],
    ['after it was moved back', 'move', 4n],
  ] as const)('is replaying %s, until it is where it was', async (_, operation, from) => {
    const { clock, events, running, operations, next, all } = await atTwenty()
    expect(all()).toMatchObject({ state: 'live', replay: undefined })
    if (operation === 'rebuild') await clock.run(operations.rebuild(BY))
    else {
      await clock.run(operations.pause(BY))
      await clock.run(operations.moveTo({ ...BY, position: from }))
      await clock.run(operations.resume(BY))
    }
    events.append('a', 21)
    await clock.advance(5_000)
    await next()
    expect(all()).toMatchObject({ state: 'replaying', replay: { target: 20n } })
    expect(await operations.list()).toMatchObject([{ furthest: '20' }])
    expect(running.health()).toMatchObject({
      ready: true,
      projections: [{ status: 'replaying', why: expect.stringContaining('it handles events anew up to 20') }],
    })
    while ((positionOf(running, 'all') ?? 0n) < 14n) await next()
    const { eventsPerSecond = 0, secondsLeft = 0 } = all().replay ?? {}
    expect(eventsPerSecond).toBeGreaterThan(0)
    expect(secondsLeft).toBeCloseTo(6 / eventsPerSecond, 5)
    expect(JSON.parse(JSON.stringify(all())).replay).toMatchObject({ target: '20' })
    while ((positionOf(running, 'all') ?? 0n) < 20n) await next()
    expect(all()).toMatchObject({ state: 'catching_up', replay: undefined })
    await next()
    await clock.until(() => stateOf(running, 'all') === 'live')
  })

  test('is not replaying where it was moved forward, or has a backlog', async () => {
    const { clock, events, running, operations, all } = await atTwenty()
    for (let n = 0; n < 10; n++) events.append('a', n)
    await clock.until(() => stateOf(running, 'all') === 'catching_up')
    expect(all().replay).toBeUndefined()
    expect(await operations.list()).toMatchObject([{ furthest: undefined }])
  })

  test('is replaying from its own start while its version is beside the live one', async () => {
    const { clock, events, daemon } = rig()
    for (let n = 0; n < 10; n++) events.append('a', n)
    const first = recording('orders')
    const alone = daemon([first])
    await alone.start()
    await clock.run(alone.waitUntilProjected())
    await clock.run(alone.stop())
    const held = gate()
    const both = daemon([{ ...recording('orders', { version: 2 }), handle: () => held.promise }, first])
    await both.start()
    const second = () => both.status().projections[0]
    await clock.until(() => second()?.state === 'replaying')
    expect(second()).toMatchObject({ role: 'beside', replay: { target: 10n } })
    held.open()
    await clock.until(() => second()?.state === 'live')
    expect(second()?.replay).toBeUndefined()
  })
})

describe('how far the live versions have come', () => {
  const stored = (role: 'live' | 'beside', position?: string, furthest?: string) => ({
    role,
    position,
    furthest,
  })

  test.each([
    ['a live one has come as far as it stands', stored('live', '7'), '7'],
    ['or as far as it stood', stored('live', '7', '12'), '12'],
    ['9 is below 10', stored('live', '9', '10'), '10'],
    ['one that begins is nowhere', stored('live'), undefined],
    ['what one has passed beside the live one does not count', stored('beside', '7'), undefined],
    ['what it had passed as the live one does', stored('beside', '7', '5'), '5'],
  ])('%s', (_, unit, expected) => {
    expect(furthestAsLive(denseOrder, unit)).toBe(expected)
  })

  test('of one that becomes live it is that of the one that was', () => {
    expect(furthestAfter(denseOrder, stored('beside', '7'), stored('live', '7', '12'))).toBe('12')
    expect(furthestAfter(denseOrder, stored('beside', '7', '5'), stored('live', '7'))).toBe('7')
    expect(furthestAfter(denseOrder, stored('beside', '7'), undefined)).toBeUndefined()
  })
})

describe('the speed of a replay', () => {
  const at = (seconds: number, position: number, events = position): ReplaySample<bigint> => ({
    atMs: seconds * 1_000,
    position: BigInt(position),
    events,
  })

  test('is not known within the first second, and is that of the last half minute later', () => {
    expect(replaySpeed(denseOrder, [at(0, 0)], at(0.9, 90), 1_000n)).toEqual({
      eventsPerSecond: undefined,
      secondsLeft: undefined,
    })
    const samples = [at(0, 0), at(30, 30_000), at(60, 30_300)]
    expect(replaySpeed(denseOrder, samples, at(60, 30_300), 31_300n)).toEqual({
      eventsPerSecond: 10,
      secondsLeft: 100,
    })
  })

  test('that nothing moves is said, and not how long it takes', () => {
    expect(replaySpeed(denseOrder, [at(0, 5)], at(20, 5), 10n)).toEqual({
      eventsPerSecond: 0,
      secondsLeft: undefined,
    })
  })

  test('positions without events count for the time that is left, and sparse positions tell none', () => {
    expect(replaySpeed(denseOrder, [at(0, 0, 0)], at(10, 500, 5), 1_000n)).toEqual({
      eventsPerSecond: 0.5,
      secondsLeft: 10,
    })
    const { distance: _, ...sparse } = denseOrder
    expect(replaySpeed(sparse, [at(0, 0, 0)], at(10, 500, 5), 1_000n).secondsLeft).toBeUndefined()
  })

  test('keeps few samples, and is that of a steady replay whatever batches there are', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 10, max: 5_000 }), { minLength: 5, maxLength: 300 }),
        (waits) => {
          let samples: readonly ReplaySample<bigint>[] = []
          let ms = 0
          const now = () => ({ atMs: ms, position: BigInt(ms), events: ms })
          for (const wait of [0, ...waits]) {
            ms += wait
            samples = withSample(denseOrder, samples, now())
            expect(samples.length).toBeLessThanOrEqual(32)
          }
          fc.pre(ms >= 1_000)
          expect(replaySpeed(denseOrder, samples, now(), BigInt(ms + 5_000))).toEqual({
            eventsPerSecond: expect.closeTo(1_000, 5),
            secondsLeft: expect.closeTo(5, 5),
          })
        },
      ),
    )
  })

  test('begins anew where the checkpoint goes back', () => {
    expect(withSample(denseOrder, [at(0, 50), at(2, 60)], at(4, 3))).toEqual([at(4, 3)])
  })
})
