import { createDaemon, type HighWaterReading } from '@tidemark/core'
import { wholeUnit } from '@tidemark/core/adapter'
import { inMemoryCheckpoints, inMemoryEvents } from '@tidemark/core/testing'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { never } from '../support/never.ts'
import {
  altered,
  alteredCheckpoints,
  gate,
  positionOf,
  recording,
  rig,
  stateOf,
  stopAll,
  TransientError,
} from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

describe('start', () => {
  test('rejects when called twice, and after stop', async () => {
    const { clock, daemon } = rig()
    const running = daemon([recording('all')])
    await running.start()
    await expect(running.start()).rejects.toMatchObject({
      code: 'TIDEMARK_LIFECYCLE',
      message: /already started/,
    })
    await clock.run(running.stop())
    await expect(running.start()).rejects.toMatchObject({
      code: 'TIDEMARK_LIFECYCLE',
      message: /already stopped/,
    })
  })

  test('prepares the checkpoint store before anything is polled', async () => {
    const { events, checkpoints, daemon } = rig()
    const calls: string[] = []
    const store = alteredCheckpoints(checkpoints, {
      prepare: async () => {
        calls.push('prepare')
      },
    })
    const source = altered(events, {
      readHighWater: (request) => {
        calls.push('poll')
        return events.readHighWater(request)
      },
    })
    await daemon([recording('all')], { source, checkpoints: store }).start()
    expect(calls.slice(0, 2)).toEqual(['prepare', 'poll'])
  })

  test('rejects with the violated condition, runs nothing and leaves nothing behind', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const source = altered(events, {
      readHighWater: async (): Promise<HighWaterReading<bigint>> => {
        throw new Error('the sequence has cache 20')
      },
    })
    const all = recording('all')
    const running = daemon([all], { source })
    await expect(clock.run(running.start())).rejects.toThrow('the sequence has cache 20')
    await clock.settle()
    expect(all.seen).toEqual([])
    expect(stateOf(running, 'all')).toBe('stopped')
    expect(clock.sleeping).toBe(0)
  })

  test('rejects when the checkpoint store cannot be prepared', async () => {
    const { clock, checkpoints, daemon } = rig()
    const store = alteredCheckpoints(checkpoints, {
      prepare: async () => {
        throw new Error('no right to create a table')
      },
    })
    const running = daemon([recording('all')], { checkpoints: store })
    await expect(clock.run(running.start())).rejects.toThrow('no right to create a table')
    expect(running.status().highWater.state).toBe('stopped')
  })

  test('waits while the checkpoint store cannot be prepared for a passing reason, and says once why', async () => {
    const { clock, checkpoints, daemon } = rig()
    let prepared = 0
    const store = alteredCheckpoints(checkpoints, {
      prepare: async () => {
        if (++prepared <= 3) throw new Error('connect ECONNREFUSED')
      },
      isTransient: () => true,
    })
    const warnings: string[] = []
    const logger = { info: () => {}, warn: (message: string) => warnings.push(message), error: () => {} }
    const running = daemon([recording('all')], { checkpoints: store, logger })
    await clock.run(running.start())
    expect(prepared).toBe(4)
    expect(warnings).toEqual([expect.stringMatching(/checkpoint store cannot be prepared .* ECONNREFUSED/)])
  })
})

describe('stop', () => {
  test('finishes and checkpoints the running batch, and begins no other', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    for (let i = 0; i < 6; i++) events.append('a', i)
    const handling = gate()
    const seen: bigint[] = []
    let signal: AbortSignal | undefined
    const running = daemon([
      {
        name: 'all',
        batchSize: 2,
        handle: async (batch, context) => {
          signal = context.signal
          await handling.promise
          seen.push(...batch.map((event) => event.position))
        },
      },
    ])
    await running.start()
    await clock.settle()
    let stopped = false
    const stop = running.stop().then(() => {
      stopped = true
    })
    await clock.settle()
    expect(stopped).toBe(false)
    handling.open()
    await clock.run(stop)
    expect(seen).toEqual([1n, 2n])
    expect(signal?.aborted, 'the signal is for those that come too late').toBe(false)
    expect(
      (await checkpoints.open(wholeUnit('all'), { source: events.name, head: undefined }, never())).position,
    ).toBe('2')
    expect(stateOf(running, 'all')).toBe('stopped')
  })

  test('moves the checkpoint of a filtered projection to the last event that it looked at', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    events.append('wanted', 1)
    const all = recording('all', { eventTypes: ['wanted'] })
    const running = daemon([all])
    await running.start()
    await clock.run(running.waitUntilProjected())
    for (let i = 0; i < 5; i++) events.append('other', i)
    await clock.settle()
    expect(
      (await checkpoints.open(wholeUnit('all'), { source: events.name, head: undefined }, never())).position,
    ).toBe('1')
    await clock.run(running.stop())
    expect(
      (await checkpoints.open(wholeUnit('all'), { source: events.name, head: undefined }, never())).position,
    ).toBe('6')
    expect(all.seen).toEqual([1n])
  })

  test('leaves the checkpoint to another owner who has moved it meanwhile', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    events.append('wanted', 1)
    const running = daemon([recording('all', { eventTypes: ['wanted'] })])
    await running.start()
    await clock.run(running.waitUntilProjected())
    for (let i = 0; i < 5; i++) events.append('other', i)
    await clock.settle()
    const evidence = { incarnation: '', settled: undefined, logPosition: undefined }
    const { signal } = new AbortController()
    const moved = { unit: wholeUnit('all'), source: events.name, from: '1', to: '3' }
    await checkpoints.advance({ ...moved, evidence, signal }, async () => {})
    await clock.run(running.stop())
    expect(
      (await checkpoints.open(wholeUnit('all'), { source: events.name, head: undefined }, never())).position,
    ).toBe('3')
    expect(stateOf(running, 'all')).toBe('stopped')
  })

  test('does not hang on a checkpoint store that hangs at the last', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    events.append('wanted', 1)
    let hangs = false
    const store = alteredCheckpoints(checkpoints, {
      advance: (request, work) => (hangs ? new Promise(() => {}) : checkpoints.advance(request, work)),
    })
    const running = daemon([recording('all', { eventTypes: ['wanted'] })], { checkpoints: store })
    await running.start()
    await clock.run(running.waitUntilProjected())
    events.append('other', 1)
    await clock.settle()
    hangs = true
    const before = clock.nowMs()
    await clock.run(running.stop())
    expect(clock.nowMs() - before).toBeLessThanOrEqual(11_000)
  })

  test('takes no time when nothing is going on', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const running = daemon([recording('all')])
    await running.start()
    await clock.run(running.waitUntilProjected())
    const before = clock.nowMs()
    await clock.run(running.stop())
    expect(clock.nowMs()).toBe(before)
  })

  test('fires the signal of a handler that hangs after drainTimeoutMs, and resolves; its checkpoint does not move', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    events.append('a', 1)
    const forever = gate()
    let signal: AbortSignal | undefined
    const running = daemon(
      [
        {
          name: 'hung',
          handle: async (_, context) => {
            signal = context.signal
            await forever.promise
          },
        },
      ],
      { drainTimeoutMs: 5_000 },
    )
    await running.start()
    await clock.settle()
    const before = clock.nowMs()
    await clock.run(running.stop())
    expect(clock.nowMs() - before).toBe(5_000)
    expect(signal?.aborted).toBe(true)
    forever.open()
    await clock.settle()
    expect(
      (await checkpoints.open(wholeUnit('hung'), { source: events.name, head: undefined }, never())).position,
    ).toBeUndefined()
  })

  test('resolves also when the checkpoint store does not heed its signal either', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    events.append('a', 1)
    const store = alteredCheckpoints(checkpoints, { advance: () => new Promise(() => {}) })
    const running = daemon([recording('all')], { checkpoints: store, drainTimeoutMs: 5_000 })
    await running.start()
    await clock.settle()
    const before = clock.nowMs()
    await clock.run(running.stop())
    expect(clock.nowMs() - before).toBeLessThanOrEqual(6_000)
  })

  test('does not wait for the back-off of a failing projection', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const running = daemon([
      {
        name: 'broken',
        attempts: 100,
        handle: () => {
          throw new Error('boom')
        },
      },
    ])
    await running.start()
    await clock.advance(20_000)
    const before = clock.nowMs()
    await clock.run(running.stop())
    expect(clock.nowMs()).toBe(before)
    expect(running.status().projections).toMatchObject([{ state: 'stopped', error: { message: 'boom' } }])
  })

  test('may be called twice, at once and later, and before start', async () => {
    const { clock, daemon } = rig()
    const running = daemon([recording('all')])
    await running.start()
    await clock.run(Promise.all([running.stop(), running.stop()]))
    await clock.run(running.stop())
    const never = daemon([recording('all')])
    await clock.run(never.stop())
    expect(stateOf(never, 'all')).toBe('stopped')
  })

  test('during start lets no projection begin, and waits for what start was doing', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    events.append('a', 1)
    const begun = gate()
    const preparing = gate()
    let polls = 0
    const source = altered(events, {
      readHighWater: (request) => {
        polls++
        return events.readHighWater(request)
      },
    })
    const prepare = (): Promise<void> => {
      begun.open()
      return preparing.promise
    }
    const store = alteredCheckpoints(checkpoints, { prepare })
    const all = recording('all')
    const running = daemon([all], { source, checkpoints: store })
    const start = running.start()
    await begun.promise
    let stopped = false
    const stop = running.stop().then(() => {
      stopped = true
    })
    await clock.settle()
    expect(stopped).toBe(false)
    preparing.open()
    await clock.run(Promise.all([start, stop]))
    await clock.settle()
    expect(polls).toBe(0)
    expect(all.seen).toEqual([])
    expect(running.status().highWater.state).toBe('stopped')
  })

  test('during the first poll lets no projection begin', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const polling = gate()
    const source = altered(events, {
      readHighWater: async (request) => {
        await polling.promise
        return await events.readHighWater(request)
      },
    })
    const all = recording('all')
    const running = daemon([all], { source })
    const start = running.start()
    await clock.settle()
    const stop = running.stop()
    polling.open()
    await clock.run(Promise.all([start, stop]))
    await clock.settle()
    expect(all.seen).toEqual([])
    expect(running.status().highWater.state).toBe('stopped')
  })

  test('leaves no timer on the system clock', async () => {
    const timers = (): number =>
      process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length
    const before = timers()
    const events = inMemoryEvents<number>()
    for (let i = 0; i < 10; i++) events.append('a', i)
    const all: bigint[] = []
    const running = createDaemon({
      source: events,
      checkpoints: inMemoryCheckpoints(),
      projections: [
        { name: 'all', batchSize: 3, handle: (batch) => void all.push(...batch.map((e) => e.position)) },
      ],
    })
    await running.start()
    await running.waitUntilProjected({ timeoutMs: 30_000 })
    await running.stop()
    expect(all.length).toBe(10)
    expect(timers()).toBeLessThanOrEqual(before)
  })

  test('leaves no listener on the signals that are handed out, however many batches there were', async () => {
    const { clock, events, daemon } = rig()
    const listeners = new Map<EventTarget, number>()
    const count = (by: number) =>
      function (this: EventTarget, ...args: Parameters<EventTarget['addEventListener']>): void {
        if (args[0] === 'abort') listeners.set(this, (listeners.get(this) ?? 0) + by)
        const original = by > 0 ? add : remove
        original.apply(this, args)
      }
    const add = EventTarget.prototype.addEventListener
    const remove = EventTarget.prototype.removeEventListener
    vi.spyOn(EventTarget.prototype, 'addEventListener').mockImplementation(count(1))
    vi.spyOn(EventTarget.prototype, 'removeEventListener').mockImplementation(count(-1))
    try {
      const running = daemon([recording('all', { batchSize: 1 }), recording('some', { eventTypes: ['b'] })])
      await running.start()
      for (let i = 0; i < 80; i++) {
        events.append(i % 7 ? 'a' : 'b', i)
        await clock.advance(20)
      }
      const most = Math.max(...listeners.values())
      expect(most).toBeLessThanOrEqual(6)
      await clock.run(running.stop())
      expect(positionOf(running, 'all')).toBe(80n)
    } finally {
      vi.restoreAllMocks()
    }
  })
})

test('start waits for a checkpoint store that cannot be reached yet', async () => {
  const { clock, daemon, events, checkpoints } = rig()
  let tries = 0
  const store = alteredCheckpoints(checkpoints, {
    prepare: async () => {
      if (++tries < 3) throw new TransientError('connection refused')
    },
    isTransient: (error) => error instanceof TransientError,
  })
  const all = recording('all')
  const running = daemon([all], { checkpoints: store })
  await clock.run(running.start())
  expect(tries).toBe(3)
  events.append('a', 1)
  await clock.until(() => all.seen.length === 1)
})

test('stop ends a start that waits for its checkpoint store', async () => {
  const { clock, daemon, checkpoints } = rig()
  const store = alteredCheckpoints(checkpoints, {
    prepare: async () => {
      throw new TransientError('connection refused')
    },
    isTransient: () => true,
  })
  const running = daemon([recording('all')], { checkpoints: store })
  const starting = running.start()
  await clock.run(running.stop())
  await starting
})
