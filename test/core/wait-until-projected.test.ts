import { type HighWaterReading, IncarnationChangedError, StoreRewoundError } from '@tidemark/core'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { altered, gate, recording, rig, stateOf, stopAll, TransientError } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

describe('resolves when everything appended before the call is projected', () => {
  test('and not before', async () => {
    const { clock, events, daemon } = rig()
    const handling = gate()
    const running = daemon([recording('quick'), { name: 'slow', handle: () => handling.promise }])
    await running.start()
    events.append('a', 1)
    let resolved = false
    const wait = running.waitUntilProjected().then(() => {
      resolved = true
    })
    await clock.advance(60_000)
    expect(resolved).toBe(false)
    await clock.run(running.waitUntilProjected({ projections: ['quick'] }))
    handling.open()
    await clock.run(wait)
  })

  test('at once, without waiting for the next poll of an idle store', async () => {
    const { clock, events, daemon } = rig()
    const source = altered(events, {})
    delete source.wakeUps
    const all = recording('all')
    const running = daemon([all], { source, pollIntervalMs: 60_000 })
    await running.start()
    await clock.advance(300_000)
    events.append('a', 1)
    const before = clock.nowMs()
    await clock.run(running.waitUntilProjected())
    expect(all.seen).toEqual([1n])
    expect(clock.nowMs()).toBe(before)
  })

  test.each([
    ['by then', {}],
    ['up to a position', { upTo: 12n }],
  ])('%s, though polls of a busy store are kept apart', async (_, options) => {
    const { clock, events, daemon } = rig()
    const all = recording('all')
    const running = daemon([all], { pollDelayMs: 60_000, pollIntervalMs: 60_000 })
    await running.start()
    for (let n = 1; n <= 10; n++) {
      events.append('a', n)
      await clock.settle()
    }
    const held = events.begin()
    held.append('a', 11)
    events.append('a', 12)
    const before = clock.nowMs()
    const wait = running.waitUntilProjected(options)
    await clock.advance(100)
    expect(all.seen.length, 'it waits for the transaction that is open').toBeLessThan(11)
    held.commit()
    await clock.run(wait)
    expect(all.seen).toHaveLength(12)
    expect(clock.nowMs() - before).toBeLessThan(200)
  })

  test('also with a rolled-back tail', async () => {
    const { clock, events, daemon } = rig()
    const all = recording('all')
    const running = daemon([all])
    await running.start()
    events.append('a', 1)
    const rolledBack = events.begin()
    rolledBack.append('a', 2)
    rolledBack.rollback()
    await clock.run(running.waitUntilProjected())
    expect(all.seen).toEqual([1n])
  })

  test('also when nothing was ever appended', async () => {
    const { clock, daemon } = rig()
    const running = daemon([recording('all')])
    await running.start()
    await clock.run(running.waitUntilProjected())
  })

  test('also when the store has not handed out a position yet', async () => {
    const { clock, events, daemon } = rig()
    const source = altered(events, {
      readHighWater: async (request): Promise<HighWaterReading<bigint>> => ({
        ...(await events.readHighWater(request)),
        head: undefined,
        settled: undefined,
      }),
    })
    const running = daemon([recording('all')], { source })
    await running.start()
    await clock.run(running.waitUntilProjected())
  })

  test('also by projections that none of it matches', async () => {
    const { clock, events, daemon } = rig()
    const running = daemon([recording('opened', { eventTypes: ['opened'] })])
    await running.start()
    for (let i = 0; i < 5; i++) events.append('closed', i)
    const before = clock.nowMs()
    await clock.run(running.waitUntilProjected())
    expect(clock.nowMs()).toBe(before)
  })

  test('also when transactions that were open at the call commit later', async () => {
    const { clock, events, daemon } = rig()
    const all = recording('all')
    const running = daemon([all])
    await running.start()
    const slow = events.begin()
    slow.append('a', 1)
    events.append('a', 2)
    const wait = running.waitUntilProjected()
    await clock.advance(5_000)
    slow.commit()
    await clock.run(wait)
    expect(all.seen).toEqual([1n, 2n])
  })

  describe('and then the status says the same at once:', () => {
    const isLive = { state: 'live', lagPositions: 0n, lagMs: 0, error: undefined }

    test('after a batch', async () => {
      const { clock, events, daemon } = rig()
      const running = daemon([recording('all')])
      await running.start()
      for (let i = 0; i < 5; i++) {
        events.append('a', i)
        let status: unknown
        const wait = running.waitUntilProjected().then(() => {
          status = running.status().projections[0]
        })
        await clock.run(wait)
        expect(status).toMatchObject({ ...isLive, handledEvents: i + 1 })
      }
    })

    test('after a fault', async () => {
      const { clock, events, daemon } = rig()
      let failures = 2
      const fail = (): void => {
        if (failures-- > 0) throw new Error('not yet')
      }
      const running = daemon([{ name: 'all', handle: fail }])
      await running.start()
      events.append('a', 1)
      let status: unknown
      const wait = running.waitUntilProjected().then(() => {
        status = running.status().projections[0]
      })
      await clock.run(wait)
      expect(status).toMatchObject(isLive)
    })
  })

  test('by another daemon on the same checkpoints', async () => {
    const { clock, events, daemon } = rig()
    const owning = recording('all')
    const handling = gate()
    const owner = daemon([
      { ...owning, handle: (batch, context) => handling.promise.then(() => owning.handle(batch, context)) },
    ])
    await owner.start()
    events.append('a', 1)
    await clock.settle()
    const other = daemon([recording('all')])
    await other.start()
    const wait = other.waitUntilProjected()
    await clock.advance(1_000)
    expect(stateOf(other, 'all')).toBe('standby')
    handling.open()
    await clock.run(wait)
    expect(owning.seen).toEqual([1n])
  })

  test('also when the store lost the tail that the wait was for', async () => {
    const { clock, events, daemon } = rig()
    let incarnation = 'first'
    let head = 100n
    const source = altered(events, {
      readHighWater: async (request) => {
        if (request.previous && request.previous.incarnation !== incarnation)
          throw new IncarnationChangedError(request.previous.incarnation, incarnation)
        const seen = await events.readHighWater(request)
        return { ...seen, head, settled: incarnation === 'first' ? seen.settled : head, incarnation }
      },
    })
    const all = recording('all')
    const running = daemon([all], { source })
    await running.start()
    events.append('a', 1)
    const wait = running.waitUntilProjected()
    await clock.advance(1_000)
    // Immediate shutdown: 2 to 100 were never on disk, and are handed out again.
    incarnation = 'second'
    head = 1n
    await clock.run(wait)
    expect(all.seen).toEqual([1n])
  })
})

describe('with upTo', () => {
  test('resolves when that position is projected, though more was appended', async () => {
    const { clock, events, daemon } = rig()
    for (let i = 0; i < 4; i++) events.append('a', i)
    const stuck = gate()
    const running = daemon([
      {
        name: 'all',
        batchSize: 1,
        handle: ([event]) => (event?.position === 3n ? stuck.promise : undefined),
      },
    ])
    await running.start()
    await clock.run(running.waitUntilProjected({ upTo: 2n }))
    const wait = running.waitUntilProjected({ upTo: 3n, timeoutMs: 1_000 })
    await expect(clock.run(wait)).rejects.toMatchObject({ code: 'TIDEMARK_WAIT_TIMEOUT' })
    stuck.open()
  })

  test('waits for a position that is not appended yet', async () => {
    const { clock, events, daemon } = rig()
    const all = recording('all')
    const running = daemon([all])
    await running.start()
    const wait = running.waitUntilProjected({ upTo: 2n })
    events.append('a', 1)
    await clock.advance(1_000)
    events.append('a', 2)
    await clock.run(wait)
    expect(all.seen).toEqual([1n, 2n])
  })
})

describe('rejects', () => {
  const broken = {
    name: 'broken',
    attempts: 2,
    handle: () => {
      throw new Error('no such account')
    },
  }

  test('when a projection pauses meanwhile, naming it and why', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const running = daemon([broken, recording('fine')])
    await running.start()
    await expect(clock.run(running.waitUntilProjected())).rejects.toMatchObject({
      code: 'TIDEMARK_WAIT_FAILED',
      message: 'projection "broken" is paused: no such account',
    })
  })

  test('when a projection is paused already, though nothing new was appended, but not for the others', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const running = daemon([broken, recording('fine')])
    await running.start()
    await clock.until(() => stateOf(running, 'broken') === 'paused')
    await expect(clock.run(running.waitUntilProjected())).rejects.toThrow('"broken" is paused')
    await clock.run(running.waitUntilProjected({ projections: ['fine'] }))
  })

  test('when a projection pauses while the position is not even settled', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const running = daemon([broken])
    await running.start()
    await clock.settle()
    const open = events.begin()
    open.append('a', 2)
    await expect(clock.run(running.waitUntilProjected())).rejects.toThrow('"broken" is paused')
    open.rollback()
  })

  test('when the daemon is stopped meanwhile', async () => {
    const { clock, events, daemon } = rig()
    const open = events.begin()
    open.append('a', 1)
    const running = daemon([recording('all')])
    await running.start()
    const wait = running.waitUntilProjected()
    wait.catch(() => {})
    await clock.settle()
    await clock.run(running.stop())
    await expect(wait).rejects.toMatchObject({ code: 'TIDEMARK_WAIT_FAILED' })
  })

  test('before start and after stop', async () => {
    const { clock, daemon } = rig()
    const running = daemon([recording('all')])
    await expect(running.waitUntilProjected()).rejects.toMatchObject({ code: 'TIDEMARK_WAIT_FAILED' })
    await running.start()
    await clock.run(running.stop())
    await expect(running.waitUntilProjected()).rejects.toMatchObject({ code: 'TIDEMARK_WAIT_FAILED' })
  })

  test('after timeoutMs, telling where the projections stand', async () => {
    const { clock, events, daemon } = rig()
    const open = events.begin()
    open.append('a', 1)
    const running = daemon([recording('all')])
    await running.start()
    const before = clock.nowMs()
    await expect(clock.run(running.waitUntilProjected({ timeoutMs: 700 }))).rejects.toMatchObject({
      code: 'TIDEMARK_WAIT_TIMEOUT',
      message: 'not projected within 700 ms: "all" is live',
    })
    expect(clock.nowMs() - before).toBe(700)
  })

  test('with the reason of its signal, leaving no listener on it', async () => {
    const { clock, events, daemon } = rig()
    const open = events.begin()
    open.append('a', 1)
    const running = daemon([recording('all')])
    await running.start()
    const given = new AbortController()
    const add = vi.spyOn(given.signal, 'addEventListener')
    const remove = vi.spyOn(given.signal, 'removeEventListener')
    const wait = running.waitUntilProjected({ signal: given.signal })
    wait.catch(() => {})
    await clock.advance(1_000)
    given.abort(new Error('the request was cancelled'))
    await expect(clock.run(wait)).rejects.toThrow('the request was cancelled')
    expect(remove.mock.calls.length).toBe(add.mock.calls.length)
    await expect(running.waitUntilProjected({ signal: given.signal })).rejects.toThrow(
      'the request was cancelled',
    )
  })

  test('when polling is halted', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    let isRewound = false
    const stuck = gate()
    const source = altered(events, {
      readHighWater: async (request) => {
        if (isRewound) throw new StoreRewoundError('the sequence stands behind checkpoint 1')
        return await events.readHighWater(request)
      },
    })
    const running = daemon([{ name: 'all', handle: () => stuck.promise }], { source })
    await running.start()
    const wait = running.waitUntilProjected()
    wait.catch(() => {})
    await clock.settle()
    isRewound = true
    await clock.advance(2_000)
    await expect(wait).rejects.toThrow('behind checkpoint 1')
    stuck.open()
  })

  test('not because the store cannot be reached for an hour', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    let isDown = true
    const source = altered(events, {
      readHighWater: async (request) => {
        if (isDown) throw new TransientError('down')
        return await events.readHighWater(request)
      },
      isTransient: (error) => error instanceof TransientError,
    })
    const running = daemon([recording('all')], { source })
    await running.start()
    const wait = running.waitUntilProjected()
    await clock.advance(3_600_000)
    isDown = false
    await clock.run(wait)
  })
})

test('a wait that ended leaves no timer and no other wait behind', async () => {
  const { clock, events, daemon } = rig()
  events.append('a', 1)
  const running = daemon([recording('all')])
  await running.start()
  await clock.run(running.waitUntilProjected())
  await clock.settle()
  const before = clock.sleeping
  for (let i = 0; i < 50; i++) await clock.run(running.waitUntilProjected({ timeoutMs: 3_600_000 }))
  await clock.settle()
  expect(clock.sleeping).toBe(before)
})
