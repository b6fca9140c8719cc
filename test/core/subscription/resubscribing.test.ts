import { Readable } from 'node:stream'
import { CheckpointBeyondHeadError, monitorSubscription, resubscribing } from '@tidemark/core'
import { HeadUnknownError } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { restMs } from '../../../packages/core/src/subscription/resubscription.ts'
import { event, PersistentClientSubscription, type TestEvent } from './client-subscription.ts'
import { consume, resubscribingRig } from './resubscribing-rig.ts'
import { type RecordedMetrics, rig, Unavailable } from './rig.ts'

// Nothing here waits for real time; how long a run takes depends on what else the machine does.
vi.setConfig({ testTimeout: 60_000 })

/** It takes real time to find the OpenTelemetry API. */
const isOpen = (metrics: RecordedMetrics) => vi.waitFor(() => expect(metrics.observers).toBe(1))

/** Without a server. */
function resubscribable() {
  const { source, options, ...all } = rig()
  return { ...all, source, options: { ...options, source } }
}

/** Unsubscribing takes a turn of the event loop. */
const isClosed = (call: { readonly isOpen: boolean }) => vi.waitFor(() => expect(call.isOpen).toBe(false))

/** Longer than any wait between two subscriptions. */
const NEXT_TRY_MS = 8_000

/** Handlers that run until the test lets them end. */
function heldBack() {
  let release: (() => void)[] = []
  let isHeld = true
  return {
    handle: (): Promise<void> =>
      isHeld ? new Promise<void>((resolve) => release.push(resolve)) : Promise.resolve(),
    /** Ends those that run. */
    release(): void {
      for (const each of release) each()
      release = []
    },
    set isHeld(to: boolean) {
      isHeld = to
      if (!to) this.release()
    },
  }
}

describe('every event comes once, in order', () => {
  const STEPS = [
    'event',
    'event',
    'event',
    'left out',
    'left out',
    'caught up',
    'drop',
    'end',
    'down',
    'up',
    'hold',
    'release',
    'let go',
    'a moment',
    'a while',
  ] as const

  test.each([
    ['a stream', false, 'start'],
    ['a stream from its end', false, 'end'],
    ['$all with a filter', true, 'start'],
    ['$all with a filter, from its end', true, 'end'],
  ] as const)(
    'of %s, whatever drops it, whenever, and however slow its handler is',
    async (_, isFiltered, from) => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.constantFrom(...STEPS), { maxLength: 40 }), async (steps) => {
          const { clock, server, events } = resubscribingRig({ isFiltered, from })
          const handlers = heldBack()
          let last = 0n
          const append = (isWanted: boolean) => server.append({ position: ++last, isWanted })
          append(true)
          append(false)
          const expectedFrom = from === 'end' ? 2n : 0n
          const consumed = consume(events, handlers.handle)
          handlers.isHeld = false
          await clock.settle()
          for (const step of steps) {
            if (step === 'event') append(true)
            else if (step === 'left out' && isFiltered) append(false)
            else if (step === 'caught up') server.tell('caughtUp')
            else if (step === 'drop') server.drop()
            else if (step === 'end') server.end()
            else if (step === 'down') server.refusal = new Unavailable('down')
            else if (step === 'up') server.refusal = undefined
            else if (step === 'hold') handlers.isHeld = true
            else if (step === 'release') handlers.release()
            else if (step === 'let go') handlers.isHeld = false
            else if (step === 'a moment') await clock.settle()
            else if (step === 'a while') await clock.advance(1_000)
          }
          server.refusal = undefined
          handlers.isHeld = false
          const wanted = server.log.filter((each) => each.isWanted && each.position > expectedFrom)
          await clock.advance(2 * NEXT_TRY_MS)
          expect(consumed.positions).toEqual(wanted.map(({ position }) => position))
          expect(consumed.isOver).toBe(false)
          expect(events.status()).toMatchObject({ processedEvents: wanted.length, skipped: {} })
        }),
        { numRuns: 150 },
      )
    },
  )

  test('the event in hand when the drop comes is handled to its end, and does not come again', async () => {
    const { clock, server, events } = resubscribingRig()
    const handlers = heldBack()
    server.events(0, 3)
    const consumed = consume(events, handlers.handle)
    await clock.settle()
    server.drop()
    await clock.advance(60_000)
    expect(server.begunAt, 'it waits for the handler').toEqual(['start'])
    expect(events.status()).toMatchObject({ state: 'dropped', processedEvents: 0, nextTryAtMs: undefined })
    handlers.isHeld = false
    await clock.settle()
    expect(events.status()).toMatchObject({ state: 'dropped', processedEvents: 4, failuresInARow: 1 })
    await clock.advance(NEXT_TRY_MS)
    expect(consumed.positions).toEqual([0n, 1n, 2n, 3n])
    // What was in its buffer came before the next was made.
    expect(server.begunAt).toEqual(['start', 3n])
  })

  test('whoever asks for several at once is answered in turn, also over a drop', async () => {
    const { clock, server, events } = resubscribingRig()
    const iterator = events[Symbol.asyncIterator]()
    const asked = [iterator.next(), iterator.next(), iterator.next()]
    server.events(0, 0)
    await clock.settle()
    server.drop()
    await clock.settle()
    server.events(1, 2)
    await clock.advance(NEXT_TRY_MS)
    expect((await Promise.all(asked)).map(({ value }) => value?.position)).toEqual([0n, 1n, 2n])
    expect(server.begunAt).toEqual(['start', 0n])
    await iterator.return?.()
  })

  test("what a filter's checkpoint has passed is not read again, though no event came", async () => {
    const { clock, server, events } = resubscribingRig({ isFiltered: true })
    consume(events)
    await clock.settle()
    server.append({ position: 700n, isWanted: false })
    await clock.settle()
    server.drop()
    await clock.advance(NEXT_TRY_MS)
    expect(server.begunAt).toEqual(['start', 700n])
  })

  test('a checkpoint that comes late of one that was dropped moves nothing', async () => {
    const { clock, source, options } = resubscribable()
    source.isFiltered = true
    source.head = 1_000n
    const begunAt: unknown[] = []
    const filters: { checkpointReached?: (it: object, position: bigint) => unknown }[] = []
    const own = vi.fn()
    async function* dropped() {
      yield event(BigInt(begunAt.length))
      throw new Unavailable('gone')
    }
    const events = resubscribing(
      (from, monitor) => {
        begunAt.push(from)
        filters.push(monitor.filter({ checkpointReached: own }))
        return dropped()
      },
      { ...options, source },
    )
    consume(events)
    await clock.advance(1_600)
    filters[0]?.checkpointReached?.({}, 900n)
    await clock.advance(NEXT_TRY_MS)
    expect(begunAt.slice(0, 3)).toEqual(['start', 1n, 2n])
    expect(own).not.toHaveBeenCalled()
  })
})

describe('from the end', () => {
  test('is the head when the loop begins: what is appended while nothing comes about is not lost', async () => {
    const { clock, server, events } = resubscribingRig({ from: 'end' })
    server.events(0, 4)
    server.refusal = new Unavailable('down')
    const consumed = consume(events)
    await clock.settle()
    server.events(5, 6)
    await clock.advance(20_000)
    expect(events.status().lagPositions, 'known before anything has come').toBe(2n)
    server.refusal = undefined
    await clock.advance(NEXT_TRY_MS)
    expect(new Set(server.begunAt)).toEqual(new Set([4n]))
    expect(server.begunAt.length).toBeGreaterThan(2)
    expect(consumed.positions).toEqual([5n, 6n])
  })

  test.each([
    ['is the start of an empty stream', undefined],
    ['is the start where all is truncated', new HeadUnknownError('all is gone')],
  ])('%s', async (_, failure) => {
    const { clock, source, server, events } = resubscribingRig({ from: 'end' })
    source.headFailure = failure
    const consumed = consume(events)
    await clock.settle()
    source.headFailure = undefined
    server.drop()
    server.events(0, 1)
    await clock.advance(NEXT_TRY_MS)
    expect(server.begunAt).toEqual(['start', 'start'])
    expect(consumed.positions).toEqual([0n, 1n])
  })

  test('is read until it is known, from the leader', async () => {
    const { clock, source, server, metrics, events } = resubscribingRig({ from: 'end' })
    server.events(0, 4)
    source.leaderHead = 3n
    source.headFailure = new Unavailable('no leader')
    consume(events)
    await clock.advance(20_000)
    expect(server.begunAt).toEqual([])
    expect(events.status()).toMatchObject({ state: 'dropped', dropReason: 'unavailable' })
    source.headFailure = undefined
    await clock.advance(NEXT_TRY_MS)
    expect(server.begunAt).toEqual([3n])
    await isOpen(metrics)
    expect(metrics.counters.get('subscription_drops{reason="unavailable"}')).toBe(1)
  })
})

describe('which drops are followed', () => {
  test.each([
    ['an error that passes', (server: { drop(): void }) => server.drop()],
    ['an end without an error', (server: { end(): void }) => server.end()],
  ])('%s', async (_, drop) => {
    const { clock, server, events } = resubscribingRig()
    const consumed = consume(events)
    await clock.settle()
    drop(server)
    await clock.advance(NEXT_TRY_MS)
    expect(server.begunAt).toHaveLength(2)
    expect(consumed.isOver).toBe(false)
  })

  test('the loop throws what the source does not know as passing, and all is over', async () => {
    const { clock, server, events, logger, metrics } = resubscribingRig()
    const consumed = consume(events)
    await clock.settle()
    const denied = new Error('access denied')
    server.drop(denied)
    await clock.advance(600_000)
    expect(consumed).toMatchObject({ outcome: denied, isOver: true })
    expect(server.begunAt).toHaveLength(1)
    await isClosed(server)
    expect(clock.sleeping).toBe(0)
    expect(events.status()).toMatchObject({ state: 'dropped', error: denied, nextTryAtMs: undefined })
    expect(logger.lines).toEqual([
      'error tidemark: the subscription of projection "mailer" ended (unavailable): access denied',
    ])
    await isOpen(metrics)
    expect(metrics.gauges()).toMatchObject({ 'projection_state{state="dropped"}': 1 })
  })

  test('also where it comes after others that passed: it is a drop of its own', async () => {
    const { clock, server, events, metrics } = resubscribingRig()
    const consumed = consume(events)
    await clock.settle()
    server.refusal = new Unavailable('down')
    server.drop()
    await clock.advance(NEXT_TRY_MS)
    server.refusal = new Error('too slow to log in')
    await clock.advance(NEXT_TRY_MS)
    expect(consumed).toMatchObject({ outcome: server.refusal, isOver: true })
    await isOpen(metrics)
    expect(metrics.counters.get('subscription_drops{reason="unavailable"}')).toBe(1)
    expect(metrics.counters.get('subscription_drops{reason="consumer_too_slow"}')).toBe(1)
  })

  test('what subscribe throws ends the loop, unless it passes', async () => {
    const { clock, options } = resubscribable()
    const failures = [new Unavailable('channel closed'), new TypeError('no such client')]
    let calls = 0
    const events = resubscribing((): AsyncIterable<never> => {
      throw failures[calls++]
    }, options)
    const consumed = consume(events)
    await clock.advance(NEXT_TRY_MS)
    expect(consumed).toMatchObject({ outcome: failures[1], isOver: true })
    expect(calls).toBe(2)
    expect(clock.sleeping).toBe(0)
  })

  test('a store that comes back behind what was processed ends it, before anything is left out', async () => {
    const { clock, server, events } = resubscribingRig()
    server.events(0, 9)
    const consumed = consume(events)
    await clock.settle()
    server.drop()
    server.log.splice(4)
    await clock.advance(NEXT_TRY_MS)
    expect(consumed.outcome).toBeInstanceOf(CheckpointBeyondHeadError)
    expect(consumed.outcome).toMatchObject({ from: '9', head: '3' })
    expect(events.status()).toMatchObject({ state: 'dropped', dropReason: 'checkpoint_beyond_head' })
    await isClosed(server)
    expect(clock.sleeping).toBe(0)
  })

  test('nor is that tried again where the source takes it for a passing error', async () => {
    const { clock, source, server, events } = resubscribingRig({ from: 40n })
    source.isTransient = () => true
    server.events(0, 9)
    const consumed = consume(events)
    await clock.advance(NEXT_TRY_MS)
    expect(consumed.outcome).toBeInstanceOf(CheckpointBeyondHeadError)
    expect(server.begunAt).toHaveLength(1)
  })

  test("the consumer's own unsubscribe is its wish", async () => {
    const { clock, server, events } = resubscribingRig()
    const consumed = consume(events)
    await clock.settle()
    await server.subscriptions[0]?.unsubscribe()
    await clock.advance(NEXT_TRY_MS)
    expect(consumed).toMatchObject({ outcome: undefined, isOver: true })
    expect(events.status().state).toBe('ended')
    expect(server.begunAt).toHaveLength(1)
  })
})

describe('the wait between two subscriptions', () => {
  test('is doubled from 1 s to 5 s, and up to half of it longer', () => {
    const longest = [1, 2, 3, 4, 5, 1_000].map((failures) => restMs(failures, 1))
    expect(longest).toEqual([1_500, 3_000, 6_000, 7_500, 7_500, 7_500])
    expect([1, 2, 3, 4].map((failures) => restMs(failures, 0))).toEqual([1_000, 2_000, 4_000, 5_000])
  })

  test.each([
    ['an event', (server: { events(from: number, to: number): void }) => server.events(0, 0)],
    ['a server that says it is live', (server: { tell(kind: 'caughtUp'): void }) => server.tell('caughtUp')],
  ])('is short again after %s', async (_, recover) => {
    const { clock, source, server, events } = resubscribingRig()
    // Nor does the head say that it is live.
    source.headFailure = new Error('not read')
    server.refusal = new Unavailable('down')
    consume(events)
    await clock.advance(60_000)
    expect(events.status().failuresInARow).toBeGreaterThan(8)
    server.refusal = undefined
    await clock.advance(NEXT_TRY_MS)
    recover(server)
    await clock.settle()
    expect(events.status()).toMatchObject({ failuresInARow: 0, nextTryAtMs: undefined })
    const tries = server.begunAt.length
    server.drop()
    await clock.advance(1_500)
    expect(server.begunAt).toHaveLength(tries + 1)
  })

  test('is not short again for one that was confirmed and failed at once', async () => {
    const { clock, source, server, events } = resubscribingRig()
    source.headFailure = new Error('not read')
    consume(events)
    for (let n = 1; n <= 5; n++) {
      await clock.settle()
      server.drop()
      await clock.settle()
      expect(events.status().failuresInARow).toBe(n)
      await clock.advance(NEXT_TRY_MS)
    }
  })

  test('is told: state, next try, last error', async () => {
    const { clock, server, events } = resubscribingRig()
    consume(events)
    await clock.settle()
    const slow = new Unavailable('too slow')
    server.drop(slow)
    await clock.settle()
    const { nextTryAtMs = 0, ...status } = events.status()
    expect(status).toMatchObject({
      state: 'dropped',
      dropReason: 'consumer_too_slow',
      error: slow,
      failuresInARow: 1,
    })
    expect(nextTryAtMs - clock.nowMs()).toBeGreaterThanOrEqual(1_000)
    expect(nextTryAtMs - clock.nowMs()).toBeLessThanOrEqual(1_500)
    await clock.advance(NEXT_TRY_MS)
    expect(events.status()).toMatchObject({ dropReason: undefined, error: undefined })
  })
})

describe('leaving', () => {
  const leavers = [
    ['return()', (iterator: AsyncIterator<unknown>) => void iterator.return?.()],
    ['the signal', (_: AsyncIterator<unknown>, stopping: AbortController) => stopping.abort()],
  ] as const
  const moments = [
    'while an event is waited for',
    'while it waits to subscribe again',
    'while the end is read',
  ] as const

  test.each(leavers.flatMap(([how, leave]) => moments.map((when) => [how, when, leave] as const)))(
    '%s, %s, ends at once and leaves nothing',
    async (_, when, leave) => {
      const stopping = new AbortController()
      const from = when === 'while the end is read' ? 'end' : 'start'
      const { clock, source, server, events } = resubscribingRig({ signal: stopping.signal, from })
      let isRead = (): void => {}
      if (from === 'end') {
        source.headGate = new Promise<void>((resolve) => {
          isRead = resolve
        })
      }
      const iterator = events[Symbol.asyncIterator]()
      const next = iterator.next()
      await clock.settle()
      if (when === 'while it waits to subscribe again') {
        server.drop()
        await clock.settle()
        expect(events.status().nextTryAtMs).toBeDefined()
      }
      leave(iterator, stopping)
      isRead()
      expect(await next).toEqual({ done: true, value: undefined })
      await clock.settle()
      await isClosed(server)
      expect(clock.sleeping).toBe(0)
      expect(events.status()).toMatchObject({ state: 'ended', nextTryAtMs: undefined })
      expect(await iterator.next()).toEqual({ done: true, value: undefined })
      const tries = server.begunAt.length
      await clock.advance(60_000)
      expect(server.begunAt).toHaveLength(tries)
    },
  )

  test.each(['break', 'throw'])('%s in the loop closes the call', async (how) => {
    const { clock, server, events } = resubscribingRig()
    server.events(0, 5)
    const cannot = new Error('cannot be mailed')
    const loop = async () => {
      for await (const _ of events) {
        if (how === 'throw') throw cannot
        break
      }
    }
    expect(await loop().catch((error: unknown) => error)).toBe(how === 'throw' ? cannot : undefined)
    await clock.settle()
    await isClosed(server)
    expect(clock.sleeping).toBe(0)
    expect(events.status()).toMatchObject({ state: 'ended', processedEvents: 0 })
  })

  test('by the signal while a handler runs: its event counts, and no other comes', async () => {
    const stopping = new AbortController()
    const { clock, server, metrics, events } = resubscribingRig({ signal: stopping.signal })
    const handlers = heldBack()
    server.events(0, 5)
    const consumed = consume(events, handlers.handle)
    await isOpen(metrics)
    await clock.settle()
    stopping.abort()
    await clock.settle()
    await isClosed(server)
    handlers.release()
    await clock.settle()
    expect(consumed).toMatchObject({ positions: [0n], outcome: undefined, isOver: true })
    expect(events.status()).toMatchObject({ state: 'ended', position: 0n, processedEvents: 1 })
    expect(metrics.counters.get('processed_events')).toBe(1)
  })

  test('an event that comes too late to be handed over does not count', async () => {
    const { clock, options } = resubscribable()
    let deliver = (): void => {}
    const delivered = new Promise<void>((resolve) => {
      deliver = resolve
    })
    async function* late() {
      await delivered
      yield event(0n)
    }
    const events = resubscribing(late, options)
    const iterator = events[Symbol.asyncIterator]()
    const next = iterator.next()
    await clock.settle()
    void iterator.return?.()
    deliver()
    await clock.settle()
    expect([await next, await iterator.next()]).toEqual([
      { done: true, value: undefined },
      { done: true, value: undefined },
    ])
    expect(events.status().processedEvents).toBe(0)
  })

  test('a signal that has fired already makes no subscription', async () => {
    const { server, events } = resubscribingRig({ signal: AbortSignal.abort() })
    for await (const _ of events) expect.unreachable()
    expect(server.begunAt).toEqual([])
  })

  test('leaves no listener on the signal', async () => {
    const { signal } = new AbortController()
    const added = vi.spyOn(signal, 'addEventListener')
    const removed = vi.spyOn(signal, 'removeEventListener')
    const { clock, server, events } = resubscribingRig({ signal })
    consume(events)
    await clock.settle()
    server.drop(new Error('denied'))
    await clock.settle()
    expect(added).toHaveBeenCalledOnce()
    expect(removed.mock.calls).toEqual([added.mock.calls[0]?.slice(0, 2)])
  })

  test('a generator that waits for what never comes holds nobody up', async () => {
    const { clock, options } = resubscribable()
    async function* silent() {
      yield event(0n)
      await new Promise(() => {})
    }
    const iterator = resubscribing(silent, options)[Symbol.asyncIterator]()
    await iterator.next()
    const next = iterator.next()
    await clock.settle()
    await iterator.return?.()
    expect(await next).toEqual({ done: true, value: undefined })
    expect(clock.sleeping).toBe(0)
  })

  test('a stream that nothing else ends is destroyed', async () => {
    const { clock, options } = resubscribable()
    const silent = new Readable({ objectMode: true, read() {} })
    const events = resubscribing((): AsyncIterable<TestEvent> => silent, options)
    const iterator = events[Symbol.asyncIterator]()
    const next = iterator.next()
    await clock.settle()
    await iterator.return?.()
    expect(await next).toEqual({ done: true, value: undefined })
    expect(silent.destroyed).toBe(true)
    expect(clock.sleeping).toBe(0)
  })
})

describe('all is one series', () => {
  test('totals go on, and the state is dropped until the next is answered', async () => {
    const { clock, server, metrics, events } = resubscribingRig()
    server.events(0, 2)
    consume(events)
    await isOpen(metrics)
    server.tell('caughtUp')
    await clock.settle()
    expect(events.status().state).toBe('live')
    server.refusal = new Unavailable('down')
    server.drop()
    for (let s = 0; s < 60; s++) {
      await clock.advance(1_000)
      expect(metrics.gauges(), `after ${s} s`).toMatchObject({ 'projection_state{state="dropped"}': 1 })
    }
    server.events(3, 4)
    await clock.advance(6_000)
    expect(events.status().lagPositions, 'known while it is dropped').toBe(2n)
    server.refusal = undefined
    await clock.advance(NEXT_TRY_MS)
    server.tell('caughtUp')
    await clock.advance(1_000)
    expect(metrics.gauges()).toMatchObject({ 'projection_state{state="live"}': 1, projection_position: 4 })
    expect(metrics.observers).toBe(1)
    const { counters } = metrics
    expect(counters.get('delivered_events')).toBe(5)
    expect(counters.get('processed_events')).toBe(5)
    // Tries that failed are none of their own.
    expect(counters.get('subscription_drops{reason="unavailable"}')).toBe(1)
  })

  test('what was truncated while it was dropped is counted', async () => {
    const { clock, server, events } = resubscribingRig()
    server.events(0, 2)
    consume(events)
    await clock.settle()
    server.drop()
    server.events(7, 8)
    await clock.advance(NEXT_TRY_MS)
    expect(events.status()).toMatchObject({ skipped: { truncated: 4n }, position: 8n })
  })

  test('a server that says nothing is live by its head, once it has confirmed', async () => {
    const { clock, server, events } = resubscribingRig()
    server.events(0, 0)
    consume(events)
    await clock.settle()
    // The one before did say so.
    server.tell('caughtUp')
    await clock.settle()
    server.refusal = new Unavailable('down')
    server.drop()
    await clock.advance(30_000)
    expect(events.status().state).toBe('dropped')
    server.refusal = undefined
    await clock.advance(20_000)
    expect(events.status()).toMatchObject({ state: 'live', failuresInARow: 0 })
  })

  test('what is no stream of a client is taken for open as it is made', async () => {
    const { clock, options } = resubscribable()
    let rounds = 0
    const events = resubscribing(async function* () {
      if (rounds++ === 0) return
      await new Promise(() => {})
      yield event(0n)
    }, options)
    consume(events)
    await clock.advance(NEXT_TRY_MS)
    expect(rounds).toBe(2)
    expect(events.status()).toMatchObject({ dropReason: undefined, failuresInARow: 0 })
  })

  test('nothing stalls while it is dropped, and the next one has its own time', async () => {
    const { clock, server, events, logger } = resubscribingRig({ stallAfterMs: 30_000 })
    server.events(0, 0)
    consume(events)
    await clock.advance(10_000)
    server.refusal = new Unavailable('down')
    server.drop()
    server.events(1, 1)
    await clock.advance(120_000)
    expect(events.status().isStalled).toBeUndefined()
    server.refusal = undefined
    server.isSilent = true
    await clock.advance(NEXT_TRY_MS)
    await clock.advance(20_000)
    expect(events.status()).toMatchObject({ state: 'catching_up', isStalled: false })
    await clock.advance(30_000)
    expect(events.status().isStalled).toBe(true)
    expect(logger.lines.filter((line) => line.includes('stall'))).toHaveLength(1)
    server.drop()
    await clock.advance(NEXT_TRY_MS)
    expect(logger.lines.filter((line) => line.includes('delivers again'))).toEqual([])
  })

  test('what a subscription says after another has taken its place is not heard', async () => {
    const { clock, server, metrics, events } = resubscribingRig()
    const consumed = consume(events)
    await isOpen(metrics)
    server.drop()
    await clock.advance(NEXT_TRY_MS)
    const [old] = server.subscriptions
    old?.emit('error', new Error('cancelled late'))
    old?.emit('data', event(77n))
    old?.emit('caughtUp')
    old?.emit('end')
    old?.emit('close')
    server.events(0, 0)
    await clock.settle()
    expect(consumed).toMatchObject({ positions: [0n], isOver: false })
    expect(events.status()).toMatchObject({ deliveredEvents: 1, failuresInARow: 0, error: undefined })
    expect(metrics.counters.get('subscription_drops{reason="unavailable"}')).toBe(1)
  })
})

describe('the log', () => {
  test('has one line for a drop and one when it goes on; of drops that follow each other, of one a minute', async () => {
    const { clock, server, events, logger } = resubscribingRig()
    consume(events)
    await clock.settle()
    for (let n = 0; n < 3; n++) {
      if (n === 2) await clock.advance(60_000)
      server.drop()
      await clock.advance(NEXT_TRY_MS)
      server.tell('caughtUp')
      await clock.settle()
      server.events(n, n)
      await clock.settle()
    }
    const drop =
      'warn tidemark: the subscription of projection "mailer" ended (unavailable): gone; it subscribes again by itself'
    const back = expect.stringMatching(
      /^warn tidemark: the subscription of projection "mailer" goes on, after one try in \d\.\d s$/,
    )
    expect(logger.lines).toEqual([drop, back, drop, back])
  })

  test('has one a minute while it fails, however many tries there are', async () => {
    const { clock, source, server, events, logger } = resubscribingRig()
    server.refusal = new Unavailable('down')
    source.headFailure = new Unavailable('down')
    consume(events)
    await clock.advance(600_000)
    const about = (what: string) => logger.lines.filter((line) => line.includes(what)).length
    expect(server.begunAt.length).toBeGreaterThan(80)
    expect(about('it subscribes again by itself')).toBeGreaterThan(8)
    expect(about('it subscribes again by itself')).toBeLessThanOrEqual(11)
    expect(logger.lines.length - about('it subscribes again by itself'), 'of the head').toBeLessThanOrEqual(2)
    server.refusal = undefined
    server.events(0, 0)
    await clock.advance(NEXT_TRY_MS)
    expect(logger.lines.at(-1)).toMatch(/goes on, after \d+ tries in \d+\.\d s$/)
  })

  test('says once that the leader cannot be read for a checkpoint, through all tries', async () => {
    const { clock, source, server, events, logger } = resubscribingRig({ from: 4n })
    server.refusal = new Unavailable('down')
    source.headFailure = new Unavailable('down')
    consume(events)
    await clock.advance(600_000)
    expect(logger.lines.filter((line) => line.includes('from the leader'))).toHaveLength(1)
  })
})

describe('what cannot resubscribe is refused', () => {
  test('a consumer group, where the loop is made', () => {
    const { options } = resubscribable()
    const source = Object.assign(options.source, { readGroup: async () => ({}) as never })
    expect(() => resubscribing(() => (async function* () {})(), { ...options, source })).toThrow(
      /source: expected that of a catch-up subscription .*subscribe to it again in a loop of your own/,
    )
  })

  test('a persistent subscription, where it is made, which is left closed', async () => {
    const { clock, call, options } = resubscribable()
    const persistent = new PersistentClientSubscription(call)
    const consumed = consume(resubscribing(() => persistent, options))
    await clock.settle()
    persistent.emit('error', new Error('cancelled late'))
    expect(String(consumed.outcome)).toMatch(
      /subscribe: expected a function that makes a catch-up subscription/,
    )
    await isClosed(call)
    expect(clock.sleeping).toBe(0)
  })

  test('a subscription that is wrapped already, which is left closed', async () => {
    const { clock, call, subscription, options } = resubscribable()
    const consumed = consume(resubscribing(() => monitorSubscription(options).wrap(subscription()), options))
    await clock.settle()
    expect(consumed.outcome).toMatchObject({ code: 'TIDEMARK_ALREADY_MONITORED' })
    await isClosed(call)
    expect(clock.sleeping).toBe(0)
  })

  test('a source that does not tell what passes, a signal that is none, and what is no function', () => {
    const { options } = resubscribable()
    const subscribe = () => (async function* () {})()
    const source = Object.assign(options.source, { isTransient: undefined as never })
    expect(() => resubscribing(subscribe, { ...options, source })).toThrow(
      'source: expected a SubscriptionSource with isTransient, found an object',
    )
    expect(() => resubscribing('orders' as never, resubscribable().options)).toThrow(
      'subscribe: expected a function',
    )
    expect(() => resubscribing(subscribe, { ...resubscribable().options, signal: {} as never })).toThrow(
      'signal: expected an AbortSignal',
    )
    expect(() => resubscribing(subscribe, { ...resubscribable().options, form: 4n } as never)).toThrow('form')
  })

  test('a second loop', async () => {
    const { events } = resubscribingRig()
    const iterator = events[Symbol.asyncIterator]()
    expect(() => events[Symbol.asyncIterator]()).toThrow(/has a loop already/)
    await iterator.return?.()
  })
})
