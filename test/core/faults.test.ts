import { HandlerEndedTransactionError, IncarnationChangedError } from '@tidemark/core'
import type { LoadRequest } from '@tidemark/core/adapter'
import { afterEach, describe, expect, test } from 'vitest'
import { never } from '../support/never.ts'
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

describe('a handler that throws', () => {
  test('gets smaller batches until it handles one, and then everything after it', async () => {
    const { clock, events, daemon } = rig()
    for (let i = 0; i < 4; i++) events.append('a', i)
    const batches: bigint[][] = []
    const running = daemon([
      {
        name: 'shaky',
        batchSize: 2,
        handle: (batch) => {
          batches.push(batch.map((event) => event.position))
          if (batches.length <= 3) throw new Error(`failure ${batches.length}`)
        },
      },
    ])
    await running.start()
    await clock.settle()
    expect(projectionOf(running, 'shaky')).toMatchObject({
      state: 'retrying',
      error: { message: 'failure 1' },
    })
    await clock.run(running.waitUntilProjected())
    expect(batches).toEqual([[1n, 2n], [1n], [1n], [1n], [2n, 3n], [4n]])
    await clock.settle()
    expect(projectionOf(running, 'shaky')).toMatchObject({
      state: 'live',
      error: undefined,
      handledEvents: 4,
    })
  })

  test('is paused after its attempts, with its error in the status, while the others go on', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    let attempts = 0
    const failures: unknown[] = []
    const healthy = recording('healthy')
    const running = daemon(
      [
        {
          name: 'broken',
          attempts: 3,
          handle: async () => {
            attempts++
            throw new Error('no such account')
          },
        },
        healthy,
      ],
      { telemetry: { handlerFailed: ({ projection, action }) => failures.push(`${projection}: ${action}`) } },
    )
    await running.start()
    await clock.until(() => stateOf(running, 'broken') === 'paused')
    events.append('a', 2)
    expect(attempts).toBe(3)
    await clock.settle()
    expect(healthy.seen).toEqual([1n, 2n])
    expect(projectionOf(running, 'broken')).toMatchObject({
      position: undefined,
      error: { message: 'no such account' },
    })
    expect(failures).toEqual(['broken: retry', 'broken: retry', 'broken: pause'])
    await clock.advance(60_000)
    expect(attempts, 'one try each after some 5, 10 and 20 s').toBeGreaterThanOrEqual(5)
    expect(attempts).toBeLessThanOrEqual(7)
    await clock.run(running.stop())
    expect(stateOf(running, 'broken')).toBe('paused')
  })

  test('and one that is slow, hold up none of those on the same source, and repeat nothing for them', async () => {
    const { clock, events, daemon } = rig()
    const appended = (count: number): bigint[] =>
      Array.from({ length: count }, (_, n) => events.append(n % 3 === 0 ? 'rare' : 'common', n))
    const first = appended(40)
    const others = Array.from({ length: 18 }, (_, n) => recording(`other ${n}`, { batchSize: 1 + n }))
    const broken = recording('broken', { batchSize: 8, attempts: 1_000 })
    const slow = recording('slow', { batchSize: 8 })
    const running = daemon([
      {
        ...broken,
        handle: (batch, context) => {
          if (batch.some(({ position }) => position === 12n)) throw new Error('no such account')
          return broken.handle(batch, context)
        },
      },
      ...others,
      {
        ...slow,
        handle: async (batch, context) => {
          await clock.sleep(60_000, context.signal)
          await slow.handle(batch, context)
        },
      },
    ])
    await running.start()
    await clock.advance(1_000)
    const second = appended(40)
    // Far less than the slow one takes for its first batch.
    await clock.advance(1_000)
    for (const { seen } of others) expect(seen).toEqual([...first, ...second])
    await clock.advance(30_000)
    expect(broken.seen).toEqual(first.slice(0, 11))
    expect(slow.seen).toEqual([])
    for (const { seen } of others) expect(seen).toHaveLength(80)
  })

  test('is tried again at once after a restart', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    let isBroken = true
    const fragile = recording('fragile', { attempts: 1 })
    const handle = fragile.handle
    const projection = {
      ...fragile,
      handle: (...args: Parameters<typeof handle>) => {
        if (isBroken) throw new Error('broken')
        return handle(...args)
      },
    }
    const first = daemon([projection])
    await first.start()
    await clock.until(() => stateOf(first, 'fragile') === 'paused')
    await clock.run(first.stop())
    isBroken = false
    const second = daemon([projection])
    await second.start()
    await clock.run(second.waitUntilProjected())
    expect(fragile.seen).toEqual([1n])
  })

  test('counts attempts for each batch anew', async () => {
    const { clock, events, daemon } = rig()
    for (let i = 0; i < 6; i++) events.append('a', i)
    const tries = new Map<bigint, number>()
    const running = daemon([
      {
        name: 'shaky',
        batchSize: 1,
        attempts: 2,
        handle: ([event]) => {
          const position = event?.position ?? 0n
          tries.set(position, (tries.get(position) ?? 0) + 1)
          if (tries.get(position) === 1) throw new Error('the first time never works')
        },
      },
    ])
    await running.start()
    await clock.run(running.waitUntilProjected())
    expect([...tries.values()]).toEqual([2, 2, 2, 2, 2, 2])
  })

  test('and whatever it throws, undefined included, is an error like any other', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const running = daemon([
      {
        name: 'odd',
        attempts: 1,
        handle: () => {
          throw undefined
        },
      },
    ])
    await running.start()
    await clock.until(() => stateOf(running, 'odd') === 'paused')
    await expect(clock.run(running.waitUntilProjected())).rejects.toThrow('"odd" is paused')
  })

  test('for having ended its transaction is paused at once', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    let calls = 0
    const running = daemon([
      {
        name: 'committer',
        handle: () => {
          calls++
          throw new HandlerEndedTransactionError('committer')
        },
      },
    ])
    await running.start()
    await clock.until(() => stateOf(running, 'committer') === 'paused')
    await clock.advance(3_600_000)
    expect(calls).toBe(1)
    expect(projectionOf(running, 'committer').failure).toMatchObject({
      nextTryAtMs: undefined,
      whatToDo: expect.stringContaining(
        'restart the daemon: this process does not try the batch again before that',
      ),
    })
  })
})

describe('a passing fault', () => {
  test('of the source is retried for ever, and is no attempt', async () => {
    const { clock, events, daemon } = rig()
    for (let i = 0; i < 3; i++) events.append('a', i)
    let isDown = true
    let loads = 0
    const source = altered(events, {
      load: async (request: LoadRequest<bigint>) => {
        loads++
        if (isDown) throw new TransientError('connection refused')
        return await events.load(request)
      },
      isTransient: (error) => error instanceof TransientError,
    })
    const all = recording('all', { attempts: 1 })
    const running = daemon([all], { source })
    await running.start()
    await clock.advance(3_600_000)
    expect(projectionOf(running, 'all')).toMatchObject({
      state: 'retrying',
      error: { message: 'connection refused' },
    })
    expect(loads, 'it backs off to one try in 5 s at most, 2.5 s on average').toBeLessThan(1_800)
    isDown = false
    await clock.run(running.waitUntilProjected())
    expect(all.seen).toEqual([1n, 2n, 3n])
  })

  test('of the checkpoint store is retried for ever, and keeps the position in the status', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    events.append('a', 1)
    let isDown = false
    const failWhenDown = (): void => {
      if (isDown) throw new TransientError('server in recovery')
    }
    const store = alteredCheckpoints(checkpoints, {
      open: async (unit, first) => {
        failWhenDown()
        return await checkpoints.open(unit, first, never())
      },
      advance: async (request, work) => {
        failWhenDown()
        return await checkpoints.advance(request, work)
      },
      isTransient: (error) => error instanceof TransientError,
    })
    const all = recording('all', { attempts: 1 })
    const running = daemon([all], { checkpoints: store })
    await running.start()
    await clock.run(running.waitUntilProjected())
    isDown = true
    events.append('a', 2)
    await clock.advance(600_000)
    expect(projectionOf(running, 'all')).toMatchObject({ state: 'retrying', position: 1n, lagPositions: 1n })
    isDown = false
    await clock.run(running.waitUntilProjected())
    expect(all.seen).toEqual([1n, 2n])
  })

  test('while the checkpoint is read for the first time does not end the projection', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    events.append('a', 1)
    let reads = 0
    const store = alteredCheckpoints(checkpoints, {
      open: async (unit, first) => {
        if (++reads <= 3) throw new TransientError('connection reset')
        return await checkpoints.open(unit, first, never())
      },
      isTransient: (error) => error instanceof TransientError,
    })
    const all = recording('all')
    const running = daemon([all], { checkpoints: store })
    await running.start()
    await clock.run(running.waitUntilProjected())
    expect(all.seen).toEqual([1n])
  })
})

test('a commit whose answer was lost does not repeat the batch', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  for (let i = 0; i < 4; i++) events.append('a', i)
  let commits = 0
  const store = alteredCheckpoints(checkpoints, {
    advance: async (request, work) => {
      const advanced = await checkpoints.advance(request, work)
      if (++commits === 1) throw new TransientError('connection terminated')
      return advanced
    },
    isTransient: (error) => error instanceof TransientError,
  })
  const all = recording('all', { batchSize: 2 })
  const conflicts: string[] = []
  const telemetry = {
    checkpointConflict: ({ projection }: { projection: string }) => conflicts.push(projection),
  }
  const running = daemon([all], { checkpoints: store, telemetry })
  await running.start()
  await clock.run(running.waitUntilProjected())
  expect(all.seen).toEqual([1n, 2n, 3n, 4n])
  expect(conflicts, 'its own commit is not taken for another owner').toEqual([])
})

describe('a change of the store', () => {
  test('noticed while loading drops the page, and the projection goes on with the next poll', async () => {
    const { clock, events, daemon } = rig()
    for (let i = 0; i < 3; i++) events.append('a', i)
    let loads = 0
    const source = altered(events, {
      load: async (request: LoadRequest<bigint>) => {
        if (++loads <= 8) throw new IncarnationChangedError('old', 'new')
        return await events.load(request)
      },
    })
    const all = recording('all', { attempts: 1 })
    const running = daemon([all], { source })
    await running.start()
    await clock.run(running.waitUntilProjected())
    expect(all.seen).toEqual([1n, 2n, 3n])
  })

  test('noticed while committing rolls back, and drops the prefetched page too', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    for (let i = 0; i < 4; i++) events.append('a', i)
    const loads: (bigint | undefined)[] = []
    const source = altered(events, {
      load: (request: LoadRequest<bigint>) => {
        loads.push(request.after)
        return events.load(request)
      },
    })
    let commits = 0
    const store = alteredCheckpoints(checkpoints, {
      advance: async (request, work) => {
        return await checkpoints.advance(request, async (tx) => {
          await work(tx)
          if (++commits === 1) throw new IncarnationChangedError('old', 'new')
        })
      },
    })
    const all = recording('all', { batchSize: 2, attempts: 1 })
    const running = daemon([all], { source, checkpoints: store })
    await running.start()
    await clock.run(running.waitUntilProjected())
    expect(all.seen).toEqual([1n, 2n, 1n, 2n, 3n, 4n])
    expect(loads).toEqual([undefined, 2n, undefined, 2n])
  })

  test('noticed while committing, and by no poll, makes the next poll begin anew', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    for (let i = 0; i < 3; i++) events.append('a', i)
    let incarnation = 'first'
    // As on a connection that is known already: what was learned once is not compared again.
    const source = altered(events, {
      readHighWater: async (request) => ({
        ...(await events.readHighWater(request)),
        incarnation: request.previous?.incarnation ?? incarnation,
      }),
    })
    const store = alteredCheckpoints(checkpoints, {
      advance: async (request, work) => {
        if (request.evidence.incarnation !== incarnation)
          throw new IncarnationChangedError(request.evidence.incarnation, incarnation)
        return await checkpoints.advance(request, work)
      },
    })
    const all = recording('all', { attempts: 1 })
    const running = daemon([all], { source, checkpoints: store })
    await running.start()
    await clock.run(running.waitUntilProjected())
    incarnation = 'second'
    events.append('a', 3)
    await clock.run(running.waitUntilProjected())
    expect(all.seen).toEqual([1n, 2n, 3n, 4n])
  })

  test('takes the checkpoint from the store again, which may have fallen back with it, and forgets what it only had in memory', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    const loads: (bigint | undefined)[] = []
    let incarnation = 'first'
    const source = altered(events, {
      readHighWater: async (request) => {
        if (request.previous && request.previous.incarnation !== incarnation)
          throw new IncarnationChangedError(request.previous.incarnation, incarnation)
        return { ...(await events.readHighWater(request)), incarnation }
      },
      load: (request: LoadRequest<bigint>) => {
        expect(request.evidence.incarnation).toBe(incarnation)
        loads.push(request.after)
        return events.load(request)
      },
    })
    let reads = 0
    const store = alteredCheckpoints(checkpoints, {
      open: async (unit, first) => {
        reads++
        return await checkpoints.open(unit, first, never())
      },
    })
    const opened = recording('opened', { eventTypes: ['opened'] })
    const running = daemon([opened], { source, checkpoints: store, pollDelayMs: 0 })
    await running.start()
    events.append('opened', 1)
    await clock.run(running.waitUntilProjected())
    events.append('closed', 2)
    await clock.settle()
    expect(loads, 'the second is not checkpointed yet').toEqual([undefined, 1n])
    reads = 0
    incarnation = 'second'
    running.wake()
    await clock.settle()
    expect(reads).toBe(1)
    expect(loads.at(-1)).toBe(1n)
    expect(opened.seen).toEqual([1n])
  })
})
