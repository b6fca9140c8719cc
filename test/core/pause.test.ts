import type { Logger } from '@tidemark/core'
import { type LoadRequest, ProjectionPausedError, UNKNOWN_DECISION } from '@tidemark/core/adapter'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  altered,
  alteredCheckpoints,
  projectionOf,
  recording,
  rig,
  stateOf,
  stopAll,
  TransientError,
} from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const MINUTE_MS = 60_000

/** Mails, sent to a server that is down for so long after the first is tried. */
async function mailing(downMs: number, options: Parameters<typeof recording>[1] = {}) {
  const { clock, events, daemon } = rig()
  for (let i = 0; i < 200; i++) events.append('a', i)
  const lines: string[] = []
  const line =
    (level: keyof Logger) =>
    (message: string): void => {
      lines.push(`${level}: ${message}`)
    }
  const logger: Logger = { info: line('info'), warn: line('warn'), error: line('error') }
  const all = recording('mails', { batchSize: 50, ...options })
  const backAtMs = clock.nowMs() + downMs
  const calls: { readonly atMs: number; readonly state: string }[] = []
  const running = daemon(
    [
      {
        ...all,
        handle: (batch, context) => {
          calls.push({ atMs: clock.nowMs(), state: stateOf(running, 'mails') })
          if (clock.nowMs() < backAtMs) throw new Error('503 service unavailable')
          return all.handle(batch, context)
        },
      },
    ],
    { logger },
  )
  await running.start()
  return { clock, running, seen: all.seen, lines, calls, backAtMs }
}

describe('a projection whose target is down', () => {
  test.each([
    ['10 s', 10_000, 8],
    ['10 minutes', 600_000, 18],
    ['an hour', 3_600_000, 30],
  ])('for %s goes on by itself, and nothing is lost or repeated', async (_, downMs, most) => {
    const { clock, running, seen, lines, calls, backAtMs } = await mailing(downMs)
    await clock.until(() => projectionOf(running, 'mails').position === 200n)
    expect(seen).toEqual(Array.from({ length: 200 }, (__, index) => BigInt(index + 1)))
    await clock.settle()
    expect(projectionOf(running, 'mails')).toMatchObject({ state: 'live', failure: undefined })
    expect(clock.nowMs() - backAtMs).toBeLessThanOrEqual(300_000)
    const failing = calls.filter(({ atMs }) => atMs < backAtMs)
    expect(failing.length, 'halves of 50, 5 attempts, then seldom tries').toBeLessThanOrEqual(5 + 5 + most)
    const told = lines.filter((line) => !line.startsWith('info'))
    expect(told[0]).toMatch(/^warn: .*"mails" is retrying: its handler failed on 50 events/)
    expect(told[1]).toMatch(
      /^warn: .*"mails" is retrying: its handler failed at position 1 .*, attempt 1 of 5/,
    )
    expect(told[2]).toMatch(
      /^error: .*"mails" is paused: its handler failed at position 1 .*, attempt 5 of 5: 503 .* paused since .*, its next try is at /,
    )
    expect(told.length).toBeLessThanOrEqual(3 + downMs / MINUTE_MS)
    expect(lines.at(-1)).toMatch(/^info: .*"mails" goes on, after \d+ failures/)
  })

  test('stays paused while it is tried, so that whoever waits for it is told', async () => {
    const { clock, running, calls } = await mailing(MINUTE_MS)
    await clock.until(() => stateOf(running, 'mails') === 'paused')
    const before = calls.length
    await clock.advance(30_000)
    expect(calls.length).toBeGreaterThan(before)
    expect(new Set(calls.slice(before).map(({ state }) => state))).toEqual(new Set(['paused']))
    await expect(clock.run(running.waitUntilProjected())).rejects.toThrow('"mails" is paused: 503')
  })

  test('says since when it is paused, and when it is tried next', async () => {
    const { clock, running, calls } = await mailing(600_000)
    await clock.until(() => stateOf(running, 'mails') === 'paused')
    const pausedSinceMs = clock.nowMs()
    for (const [attempt, aboutMs] of [5_000, 10_000, 20_000, 40_000, 80_000].entries()) {
      const { failure } = projectionOf(running, 'mails')
      expect(failure).toMatchObject({ attempt: 5 + attempt, attempts: 5, pausedSinceMs })
      const nextTryAtMs = failure?.nextTryAtMs ?? Number.NaN
      expect(nextTryAtMs - clock.nowMs()).toBeGreaterThanOrEqual(aboutMs * 0.75)
      expect(nextTryAtMs - clock.nowMs()).toBeLessThanOrEqual(aboutMs * 1.25)
      const before = calls.length
      await clock.until(() => calls.length > before)
      await clock.settle()
      expect(calls.at(-1)?.atMs).toBe(nextTryAtMs)
    }
  })

  test('is tried again after longestPauseMs at the latest', async () => {
    const { clock, calls } = await mailing(86_400_000, { attempts: 1, longestPauseMs: 2_000 })
    await clock.advance(20_000)
    const waits = calls.slice(6).map(({ atMs }, index) => atMs - (calls[index + 5]?.atMs ?? Number.NaN))
    expect(waits.length).toBeGreaterThanOrEqual(9)
    expect(Math.max(...waits)).toBeLessThanOrEqual(2_000)
  })

  test('counts its attempts anew once it has gone on', async () => {
    const { clock, running, backAtMs, calls } = await mailing(20_000)
    await clock.until(() => stateOf(running, 'mails') === 'paused')
    await clock.until(() => projectionOf(running, 'mails').position === 200n)
    const [first, ...others] = calls.filter(({ atMs }) => atMs >= backAtMs).map(({ state }) => state)
    expect(first).toBe('paused')
    expect(others, 'of 2, 4, 8, 16, 32, 50, 50 and 37 events').toEqual(
      Array.from({ length: 8 }, () => 'catching_up'),
    )
  })
})

test('a fault of the store at a pause is retried, and changes neither the pause nor how long it waits', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  events.append('a', 1)
  let isDown = false
  const store = alteredCheckpoints(checkpoints, {
    open: async (...args) => {
      if (isDown) throw new TransientError('connection refused')
      return await checkpoints.open(...args)
    },
    isTransient: (error) => error instanceof TransientError,
  })
  const handle = vi.fn(() => {
    throw new Error('poison')
  })
  const running = daemon([{ name: 'orders', attempts: 1, handle }], { checkpoints: store })
  await running.start()
  await clock.until(() => stateOf(running, 'orders') === 'paused')
  const { pausedSinceMs } = projectionOf(running, 'orders').failure ?? {}
  isDown = true
  await clock.until(() => projectionOf(running, 'orders').failure?.stage === 'read')
  expect(projectionOf(running, 'orders')).toMatchObject({
    state: 'paused',
    error: { message: 'connection refused' },
    failure: { pausedSinceMs },
  })
  isDown = false
  await clock.until(() => projectionOf(running, 'orders').failure?.stage === 'handle')
  const { failure } = projectionOf(running, 'orders')
  expect(failure).toMatchObject({ attempt: 2, pausedSinceMs })
  expect((failure?.nextTryAtMs ?? 0) - clock.nowMs()).toBeGreaterThanOrEqual(7_500)
  expect(handle).toHaveBeenCalledTimes(2)
})

test('a hundred projections whose target comes back do not call it together', async () => {
  const { clock, events, daemon } = rig()
  events.append('a', 1)
  const calls: number[] = []
  const running = daemon(
    Array.from({ length: 100 }, (_, index) => ({
      name: `mails ${index}`,
      attempts: 1,
      handle: () => {
        calls.push(clock.nowMs())
        throw new Error('503')
      },
    })),
  )
  await running.start()
  await clock.until(() => calls.length >= 200)
  expect(new Set(calls.slice(100)).size, 'each at a moment of its own').toBeGreaterThanOrEqual(90)
})

test('what was appended meanwhile is handled once the projection goes on', async () => {
  const { clock, events, daemon } = rig()
  events.append('a', 1)
  const seen: bigint[] = []
  let isPoisoned = true
  const running = daemon([
    {
      name: 'orders',
      attempts: 1,
      handle: (batch) => {
        if (isPoisoned) throw new Error('poison')
        seen.push(...batch.map(({ position }) => position))
      },
    },
  ])
  await running.start()
  await clock.until(() => stateOf(running, 'orders') === 'paused')
  isPoisoned = false
  events.append('a', 2)
  await clock.until(() => stateOf(running, 'orders') === 'live')
  expect(seen).toEqual([1n, 2n])
})

/** Looks at ten positions a page, as sources do that filter by type where few events match. */
function inSmallSteps(events: ReturnType<typeof rig>['events']) {
  return altered(events, {
    load: async (request: LoadRequest<bigint>) => {
      const to = (request.after ?? 0n) + 10n
      return await events.load({ ...request, upTo: to < request.upTo ? to : request.upTo })
    },
  })
}

test.each([
  [5, 5],
  [1, 1],
])(
  'pages with nothing in them before the failing event change neither attempts (%d) nor pauses',
  async (attempts, calls) => {
    const { clock, events, daemon } = rig()
    for (let i = 0; i < 400; i++) events.append('other', i)
    events.append('a', 1)
    const handle = vi.fn(() => {
      throw new Error('poison')
    })
    const running = daemon([{ name: 'orders', eventTypes: ['a'], attempts, handle }], {
      source: inSmallSteps(events),
    })
    await running.start()
    await clock.until(() => stateOf(running, 'orders') === 'paused')
    expect(handle).toHaveBeenCalledTimes(calls)
    const { pausedSinceMs } = projectionOf(running, 'orders').failure ?? {}
    await clock.advance(300_000)
    expect(projectionOf(running, 'orders')).toMatchObject({ state: 'paused', failure: { pausedSinceMs } })
    expect(handle.mock.calls.length).toBeLessThanOrEqual(calls + 8)
  },
)

test.each([300, 2_000, 30_000])(
  'two daemons whose handler fails after %d ms pause, each after its own attempts',
  async (ms) => {
    const { clock, events, daemon } = rig()
    for (let i = 0; i < 100; i++) events.append('a', i)
    let calls = 0
    const daemons = [1, 2].map(() =>
      daemon([
        {
          name: 'mails',
          handle: async (_, { signal }) => {
            calls++
            await clock.sleep(ms, signal)
            throw new Error('503')
          },
        },
      ]),
    )
    for (const each of daemons) await each.start()
    await clock.until(() =>
      daemons.every((each) => projectionOf(each, 'mails').failure?.pausedSinceMs !== undefined),
    )
    expect(calls).toBeLessThanOrEqual(2 * (7 + 5 + 20))
    const before = calls
    await clock.advance(3_600_000)
    expect(calls - before).toBeLessThanOrEqual(2 * 40)
  },
)

test('an event of another incarnation is not blamed for what failed before', async () => {
  const { clock, events, daemon } = rig()
  events.append('a', 1)
  let incarnation = 'one'
  const source = altered(events, {
    open: async (request: Parameters<typeof events.open>[0]) => ({
      ...(await events.open(request)),
      incarnation,
    }),
    readHighWater: async (request: Parameters<typeof events.readHighWater>[0]) => ({
      ...(await events.readHighWater(request)),
      incarnation,
    }),
  })
  const handle = vi.fn(() => {
    throw new Error('poison')
  })
  const running = daemon([{ name: 'orders', attempts: 3, handle }], { source })
  await running.start()
  await clock.until(() => stateOf(running, 'orders') === 'paused')
  const before = handle.mock.calls.length
  incarnation = 'two'
  await clock.until(() => handle.mock.calls.length > before)
  await clock.settle()
  expect(projectionOf(running, 'orders')).toMatchObject({ state: 'retrying', failure: { attempt: 1 } })
})

test('a stopped daemon says of no next try', async () => {
  const { clock, running } = await mailing(600_000)
  await clock.until(() => stateOf(running, 'mails') === 'paused')
  await clock.run(running.stop())
  expect(projectionOf(running, 'mails').failure).toMatchObject({ attempt: 5, nextTryAtMs: undefined })
})

test('a pause of which no time is known is told without one', () => {
  expect(new ProjectionPausedError('orders', UNKNOWN_DECISION).message).toBe(
    'projection "orders" is paused by somebody (its row says so, and not why); it stays paused until it is resumed ' +
      '(createOperations(...).resume)',
  )
})
