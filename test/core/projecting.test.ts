import type { HighWaterReading } from '@tidemark/core'
import type { LoadRequest } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  altered,
  alteredCheckpoints,
  gate,
  positionOf,
  projectionOf,
  recording,
  rig,
  stateOf,
  stopAll,
} from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

describe('every committed event is handled once and in order', () => {
  type Step =
    | { readonly kind: 'append' }
    | { readonly kind: 'settle' }
    | { readonly kind: 'begin'; readonly events: number }
    | { readonly kind: 'commit' | 'rollback'; readonly which: number }
    | { readonly kind: 'wait'; readonly ms: number }
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.constantFrom<Step>({ kind: 'append' }, { kind: 'settle' }),
    fc.record({ kind: fc.constant('begin' as const), events: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ kind: fc.constantFrom('commit' as const, 'rollback' as const), which: fc.nat(3) }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(2_000) }),
  )

  test('whatever order transactions commit and roll back in, by every projection and across restarts', {
    timeout: 60_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(40),
        async (steps, batchSize, restartAt) => {
          const { clock, events, daemon } = rig()
          const all = recording('all', { batchSize })
          const odd = recording('odd', { batchSize: 3, eventTypes: ['odd'] })
          const committed: bigint[] = []
          const open: { transaction: ReturnType<typeof events.begin>; positions: bigint[] }[] = []
          let appended = 0
          const type = (): string => (++appended % 2 === 1 ? 'odd' : 'even')
          const types = new Map<bigint, string>()
          const append = (to: { append(type: string, data: unknown): bigint }): bigint => {
            const ofType = type()
            const position = to.append(ofType, undefined)
            types.set(position, ofType)
            return position
          }

          let running = daemon([all, odd])
          await running.start()
          for (const [index, todo] of steps.entries()) {
            if (index === restartAt) {
              await clock.run(running.stop())
              running = daemon([all, odd])
              await running.start()
            }
            if (todo.kind === 'append') committed.push(append(events))
            else if (todo.kind === 'settle') await clock.settle()
            else if (todo.kind === 'wait') await clock.advance(todo.ms)
            else if (todo.kind === 'begin') {
              const transaction = events.begin()
              open.push({
                transaction,
                positions: Array.from({ length: todo.events }, () => append(transaction)),
              })
            } else {
              for (const { transaction, positions } of open.splice(todo.which, 1)) {
                if (todo.kind === 'commit') committed.push(...positions)
                transaction[todo.kind]()
              }
            }
            const firstOpen = open.reduce(
              (least, { positions }) => ((positions[0] ?? 0n) < least ? (positions[0] ?? 0n) : least),
              10n ** 9n,
            )
            expect(
              all.seen.every((position) => position < firstOpen),
              'never past an open transaction',
            ).toBe(true)
          }
          for (const { transaction, positions } of open) {
            transaction.commit()
            committed.push(...positions)
          }
          await clock.run(running.waitUntilProjected())
          const expected = committed.sort((a, b) => Number(a - b))
          expect(all.seen).toEqual(expected)
          expect(odd.seen).toEqual(expected.filter((position) => types.get(position) === 'odd'))
          await clock.run(running.stop())
        },
      ),
      { numRuns: 60 },
    )
  })

  test('with an open transaction, everything below it and nothing above', async () => {
    const { clock, events, daemon } = rig()
    const all = recording('all')
    await daemon([all]).start()
    events.append('a', 1)
    const slow = events.begin()
    slow.append('a', 2)
    events.append('a', 3)
    await clock.advance(60_000)
    expect(all.seen).toEqual([1n])
    slow.commit()
    await clock.settle()
    expect(all.seen).toEqual([1n, 2n, 3n])
  })
})

test('a batch never has more events than batchSize', async () => {
  const { clock, events, daemon } = rig()
  for (let i = 0; i < 25; i++) events.append('a', i)
  const sizes: number[] = []
  const running = daemon([{ name: 'sizes', batchSize: 10, handle: (batch) => void sizes.push(batch.length) }])
  await running.start()
  await clock.run(running.waitUntilProjected())
  expect(sizes).toEqual([10, 10, 5])
})

test('the next page is loaded while the current one is handled', async () => {
  const { clock, events, daemon } = rig()
  for (let i = 0; i < 6; i++) events.append('a', i)
  const loads: (bigint | undefined)[] = []
  const source = altered(events, {
    load: (request: LoadRequest<bigint>) => {
      loads.push(request.after)
      return events.load(request)
    },
  })
  const handling = gate()
  const running = daemon([{ name: 'slow', batchSize: 2, handle: () => handling.promise }], { source })
  await running.start()
  await clock.settle()
  expect(loads).toEqual([undefined, 2n])
  handling.open()
  await clock.run(running.waitUntilProjected())
  expect(loads).toEqual([undefined, 2n, 4n])
})

test('nothing is asked of the source beyond the mark', async () => {
  const { clock, events, daemon } = rig()
  const requests: LoadRequest<bigint>[] = []
  let mark: bigint | undefined
  const source = altered(events, {
    readHighWater: async (request) => {
      const seen: HighWaterReading<bigint> = await events.readHighWater(request)
      mark = seen.mark
      return seen
    },
    load: (request: LoadRequest<bigint>) => {
      expect(request.upTo <= (mark ?? -1n)).toBe(true)
      requests.push(request)
      return events.load(request)
    },
  })
  const running = daemon([recording('all', { batchSize: 3 })], { source, pollDelayMs: 0 })
  await running.start()
  for (let i = 0; i < 20; i++) {
    const open = events.begin()
    open.append('a', i)
    events.append('a', i)
    await clock.settle()
    open.rollback()
    await clock.settle()
  }
  expect(requests.length).toBeGreaterThan(10)
})

test('handlers get the transaction of the checkpoint store, and a signal', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  events.append('a', 1)
  const tx = { query: () => 'a transaction' }
  const store = alteredCheckpoints(checkpoints, {
    advance: (request, work) => checkpoints.advance(request, () => work(tx as never)),
  })
  const handle = vi.fn()
  const running = daemon([{ name: 'all', handle }], { checkpoints: store })
  await running.start()
  await clock.run(running.waitUntilProjected())
  const [batch, context] = handle.mock.calls[0] ?? []
  expect(batch).toMatchObject([{ position: 1n, type: 'a', data: 1 }])
  expect(context.tx).toBe(tx)
  expect(context.signal).toBeInstanceOf(AbortSignal)
  expect(context.signal.aborted).toBe(false)
})

test('a handler that is not async works as well', async () => {
  const { clock, events, daemon } = rig()
  events.append('a', 1)
  let handled = 0
  const running = daemon([
    {
      name: 'sync',
      handle: (batch) => {
        handled += batch.length
      },
    },
  ])
  await running.start()
  await clock.run(running.waitUntilProjected())
  expect(handled).toBe(1)
})

describe('a projection of some event types', () => {
  test('gets only those', async () => {
    const { clock, events, daemon } = rig()
    const opened = recording('opened', { eventTypes: ['opened'], batchSize: 2 })
    for (const type of ['opened', 'closed', 'opened', 'opened', 'closed']) events.append(type, undefined)
    const running = daemon([opened])
    await running.start()
    await clock.run(running.waitUntilProjected())
    expect(opened.seen).toEqual([1n, 3n, 4n])
  })

  test('has a checkpoint that follows the mark while nothing matches, at most once a second', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    const moves: { to: string; atMs: number }[] = []
    const store = alteredCheckpoints(checkpoints, {
      advance: (request, work) => {
        moves.push({ to: request.to, atMs: clock.nowMs() })
        return checkpoints.advance(request, work)
      },
    })
    const running = daemon([recording('opened', { eventTypes: ['opened'] })], { checkpoints: store })
    await running.start()
    for (let i = 0; i < 100; i++) {
      events.append('closed', i)
      await clock.advance(97)
    }
    await clock.advance(1_100)
    expect(positionOf(running, 'opened')).toBe(100n)
    expect(stateOf(running, 'opened')).toBe('live')
    expect(moves.length).toBeGreaterThan(7)
    for (const [index, move] of moves.entries()) {
      if (index > 0) expect(move.atMs - (moves[index - 1]?.atMs ?? 0)).toBeGreaterThanOrEqual(1_000)
    }
    const before = moves.length
    await clock.advance(60_000)
    expect(moves.length, 'nothing is written while nothing happens').toBe(before)
  })

  test('has a checkpoint that follows the mark also when the mark never stands still', async () => {
    // Each look at the store finds a newer mark: there was never a moment to let the checkpoint follow.
    const { clock, events, daemon } = rig()
    const source = altered(events, {
      load: async (request: LoadRequest<bigint>) => {
        const page = await events.load(request)
        await clock.sleep(100, request.signal)
        return page
      },
    })
    const running = daemon([recording('opened', { eventTypes: ['opened'] })], { source })
    await running.start()
    for (let i = 0; i < 100; i++) {
      events.append('closed', i)
      await clock.advance(50)
    }
    expect(positionOf(running, 'opened') ?? 0n).toBeGreaterThan(60n)
  })
})

describe('lag in positions', () => {
  test('is 0 when everything that was handed out is settled and projected', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const running = daemon([recording('all')])
    await running.start()
    await clock.run(running.waitUntilProjected())
    expect(projectionOf(running, 'all').lagPositions).toBe(0n)
  })

  test('of an idle store with a rolled-back tail is 0', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const rolledBack = events.begin()
    for (let i = 0; i < 50; i++) rolledBack.append('a', i)
    rolledBack.rollback()
    const running = daemon([recording('all')])
    await running.start()
    await clock.run(running.waitUntilProjected())
    expect(projectionOf(running, 'all')).toMatchObject({ position: 1n, lagPositions: 0n, state: 'live' })
  })

  test('counts what is not settled and what is not projected', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const stuck = gate()
    let batches = 0
    const running = daemon([
      {
        name: 'all',
        handle: async () => {
          if (++batches > 1) await stuck.promise
        },
      },
    ])
    await running.start()
    await clock.settle()
    for (let i = 0; i < 3; i++) events.append('a', i)
    const open = events.begin()
    open.append('a', 5)
    events.append('a', 6)
    await clock.settle()
    expect(projectionOf(running, 'all').lagPositions).toBe(5n)
    open.rollback()
    stuck.open()
    await clock.run(running.waitUntilProjected())
    expect(projectionOf(running, 'all').lagPositions).toBe(0n)
  })

  test('is unknown, not 0, before the first poll and before the first checkpoint', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const stuck = gate()
    const running = daemon([{ name: 'all', handle: () => stuck.promise }])
    expect(projectionOf(running, 'all').lagPositions).toBeUndefined()
    await running.start()
    await clock.settle()
    expect(projectionOf(running, 'all').lagPositions).toBeUndefined()
    stuck.open()
  })
})

test('a projection may be an instance of a class, with a method and fields of its own', async () => {
  class Balances {
    readonly name = 'balances'
    readonly seen: bigint[] = []
    handle(handled: readonly { readonly position: bigint }[]): void {
      this.seen.push(...handled.map(({ position }) => position))
    }
  }
  const { clock, events, daemon } = rig()
  for (let i = 0; i < 2; i++) events.append('a', i)
  const balances = new Balances()
  const running = daemon([balances])
  await running.start()
  await clock.run(running.waitUntilProjected())
  expect(balances.seen).toEqual([1n, 2n])
})

test('status tells where each projection stands', async () => {
  const { clock, events, daemon } = rig()
  for (let i = 0; i < 4; i++) events.append(i % 2 ? 'odd' : 'even', i)
  const running = daemon([recording('all'), recording('odd', { eventTypes: ['odd'] })])
  expect(running.status().projections.map(({ state }) => state)).toEqual(['stopped', 'stopped'])
  await running.start()
  await clock.run(running.waitUntilProjected())
  await clock.settle()
  expect(running.status().projections).toMatchObject([
    { name: 'all', state: 'live', position: 4n, handledEvents: 4, skipped: {}, error: undefined },
    { name: 'odd', state: 'live', position: 4n, handledEvents: 2, skipped: {}, error: undefined },
  ])
})

test('telemetry is told of every batch, and its errors do not disturb projecting', async () => {
  const { clock, events, daemon } = rig()
  for (let i = 0; i < 5; i++) events.append('a', i)
  const batches: unknown[] = []
  const onTelemetryError = vi.fn()
  const all = recording('all', { batchSize: 3 })
  const running = daemon([all], {
    onTelemetryError,
    telemetry: {
      batchProcessed: ({ projection, events, through }) => {
        batches.push({ projection, events, through })
        throw new Error('exporter')
      },
    },
  })
  await running.start()
  await clock.run(running.waitUntilProjected())
  expect(all.seen).toEqual([1n, 2n, 3n, 4n, 5n])
  expect(batches).toEqual([
    { projection: 'all', events: 3, through: '3' },
    { projection: 'all', events: 2, through: '5' },
  ])
  expect(onTelemetryError).toHaveBeenCalledTimes(2)
  expect(projectionOf(running, 'all')).toMatchObject({ state: 'live', error: undefined })
})

test('a page that a source cut short of the mark tells no delay: it is not live', async () => {
  const { events, clock, daemon } = rig()
  for (let n = 0; n < 6; n++) events.append('Happened', n)
  const delays: (number | undefined)[] = []
  // Most of what it looks at is left out, as by a filter.
  const source = altered(events, {
    load: async (request) => {
      const page = await events.load({ ...request, limit: 3 })
      return {
        events: page.events.slice(0, 1),
        positions: page.positions.slice(0, 1),
        through: page.through,
        appendTimesMs: [clock.nowMs()],
      }
    },
  })
  const running = daemon([recording('all')], {
    source,
    telemetry: { batchProcessed: ({ delayMs }) => void delays.push(delayMs) },
  })
  await clock.run(running.start())
  await clock.run(running.waitUntilProjected())
  expect(delays.map((delayMs) => delayMs !== undefined)).toEqual([false, true])
})

test('a page that does not say when its first event was appended tells no delay, whatever it says of the others', async () => {
  const { events, clock, daemon } = rig()
  for (let n = 0; n < 3; n++) events.append('Happened', n)
  const appendTimes = [
    [undefined, clock.nowMs(), clock.nowMs()],
    [clock.nowMs(), undefined, undefined],
  ]
  const delays: (number | undefined)[] = []
  const source = altered(events, {
    load: async (request) => ({ ...(await events.load(request)), appendTimesMs: appendTimes.shift() }),
  })
  const running = daemon([recording('all')], {
    source,
    telemetry: { batchProcessed: ({ delayMs }) => void delays.push(delayMs) },
  })
  await clock.run(running.start())
  await clock.run(running.waitUntilProjected())
  for (let n = 3; n < 6; n++) events.append('Happened', n)
  await clock.run(running.waitUntilProjected())
  expect(delays).toEqual([undefined, expect.any(Number)])
})

test('an event from the future, by a clock that is ahead, has waited for no time: never less', async () => {
  const { events, clock, daemon } = rig()
  events.append('Happened', 1)
  const delays: (number | undefined)[] = []
  const future = clock.nowMs() + 3_600_000
  const source = altered(events, {
    load: async (request) => ({ ...(await events.load(request)), appendTimesMs: [future] }),
  })
  const running = daemon([recording('all')], {
    source,
    telemetry: { batchProcessed: ({ delayMs }) => void delays.push(delayMs) },
  })
  await clock.run(running.start())
  await clock.run(running.waitUntilProjected())
  expect(delays).toEqual([0])
  expect(running.status().projections[0]?.lagMs).toBe(0)
})
