import { UnsupportedByStoreError } from '@tidemark/core'
import { createOperations } from '@tidemark/core/operations'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { pacedBatchSize, paceMs } from '../../packages/core/src/rebuild/pace.ts'
import { positionOf, projectionOf, recording, rig, stateOf, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const BY = { projection: 'all', who: 'ann', why: 'wrong sums' }

/** A projection at 20, which fails at the poisoned positions from then on. */
async function atTwenty(options: Parameters<typeof recording>[1], poisoned: readonly bigint[] = []) {
  const { clock, events, checkpoints, daemon } = rig()
  for (let n = 0; n < 20; n++) events.append('a', n)
  let isPoisoned = false
  const projection = recording('all', options)
  const running = daemon([
    {
      ...projection,
      handle: async (batch, context) => {
        if (isPoisoned && batch.some(({ position }) => poisoned.includes(position))) throw new Error('poison')
        await projection.handle(batch, context)
      },
    },
  ])
  await running.start()
  await clock.until(() => positionOf(running, 'all') === 20n)
  isPoisoned = true
  projection.seen.length = 0
  // A rebuild is waited for in real time, while which the clock would run on.
  const operations = createOperations({ checkpoints, source: events })
  await clock.run(operations.pause(BY))
  await clock.run(operations.moveTo({ ...BY, position: undefined }))
  await clock.run(operations.resume(BY))
  return { clock, events, running, seen: projection.seen }
}

test('a replay handles at most so many events a second, in small batches, and what is new is not slowed', async () => {
  const { clock, events, running, seen } = await atTwenty({ replay: { maxEventsPerSecond: 2 } })
  await clock.until(() => seen.length > 0)
  const before = seen.length
  for (let second = 1; second <= 5; second++) {
    await clock.advance(1_000)
    expect(seen.length - before).toBeLessThanOrEqual(2 * second)
    expect(seen.length - before).toBeGreaterThanOrEqual(2 * second - 1)
    expect(stateOf(running, 'all')).toBe('replaying')
  }
  expect(projectionOf(running, 'all').replay?.eventsPerSecond).toBeLessThanOrEqual(2)
  await clock.until(() => positionOf(running, 'all') === 20n)
  for (let n = 0; n < 500; n++) events.append('a', n)
  await clock.advance(1_000)
  expect(seen.at(-1)).toBe(520n)
  expect(seen.length).toBe(520)
})

test.each([
  ['pause', 'skip', undefined, { skipped: { apply_error: 1n }, position: 20n }, 'paused'],
  ['skip', 'pause', undefined, { position: 2n, state: 'paused' }, undefined],
  ['skip', undefined, undefined, { skipped: { apply_error: 1n }, position: 20n }, 'live'],
  ['pause', 'skip', 1, { skipped: { apply_error: 1n }, position: 20n }, 'paused'],
] as const)(
  "with onFailure '%s', and '%s' for a replay, each holds for its own events",
  async (onFailure, ofReplay, attempts, replayed, afterIt) => {
    const { clock, events, running } = await atTwenty(
      {
        attempts: 2,
        onFailure,
        replay: {
          ...(ofReplay === undefined ? {} : { onFailure: ofReplay }),
          ...(attempts === undefined ? {} : { attempts }),
        },
      },
      [3n, 22n],
    )
    for (let n = 0; n < 3; n++) events.append('a', n)
    if (afterIt === undefined) {
      await clock.until(() => stateOf(running, 'all') === 'paused')
      expect(projectionOf(running, 'all')).toMatchObject(replayed)
      return
    }
    await clock.until(() => positionOf(running, 'all') === 20n)
    expect(projectionOf(running, 'all')).toMatchObject(replayed)
    await clock.until(() => stateOf(running, 'all') === afterIt)
    expect(projectionOf(running, 'all').position).toBe(afterIt === 'paused' ? 21n : 23n)
  },
)

test('a batch and the wait after it keep within the pace, and a batch has an event at least', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5_000 }),
      fc.integer({ min: 1, max: 100_000 }),
      (batchSize, most) => {
        const events = pacedBatchSize(batchSize, most)
        expect(events).toBeGreaterThanOrEqual(1)
        expect(events).toBeLessThanOrEqual(batchSize)
        expect((events * 1_000) / paceMs(events, most)).toBeLessThanOrEqual(most)
        expect(paceMs(events, most)).toBeLessThanOrEqual(Math.max(201, Math.ceil(1_000 / most)))
      },
    ),
  )
  expect([pacedBatchSize(1_000, undefined), paceMs(1_000, undefined)]).toEqual([1_000, 0])
})

test('what is wrong is refused when the daemon is made', () => {
  const { daemon } = rig()
  const { control: _, ...without } = inMemoryCheckpoints()
  expect(() =>
    daemon([recording('all', { replay: {} })], {
      checkpoints: { ...without, advance: async () => ({}) as never } as never,
    }),
  ).toThrow(UnsupportedByStoreError)
  expect(() => daemon([recording('all', { replay: { maxEventsPerSecond: 0 } })])).toThrow(
    'maxEventsPerSecond',
  )
  expect(() => daemon([recording('all', { replay: { attempts: 0 } })])).toThrow('replay.attempts')
  expect(() => daemon([recording('all', { replay: { onFailure: 'park_key' } })])).toThrow('keyOf')
  expect(() => daemon([recording('all', { replay: { faster: true } as never })])).toThrow('faster')
})
