import { EventEmitter, on } from 'node:events'
import { addAbortSignal, Writable } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { monitorHandler, monitorSubscription } from '@tidemark/core'
import { describe, expect, test, vi } from 'vitest'
import { event } from './client-subscription.ts'
import { type RecordedMetrics, recordedTelemetry, rig, sparseOrder, take } from './rig.ts'

// Nothing here waits for real time; how long a run takes depends on what else the machine does.
vi.setConfig({ testTimeout: 60_000 })

/** A subscription with a monitor whose telemetry is open, consumed by an iterator. */
async function monitored(parts: Parameters<typeof rig>[0] = {}, head?: bigint) {
  const all = rig(parts)
  all.source.head = head
  const monitor = monitorSubscription(all.options)
  const wrapped = monitor.wrap(all.subscription())
  await isOpen(all.metrics)
  return { ...all, monitor, wrapped, iterator: wrapped[Symbol.asyncIterator]() }
}

/** The same without an iterator. */
function listenedTo() {
  const all = rig()
  const monitor = monitorSubscription(all.options)
  return { ...all, monitor, wrapped: monitor.wrap(all.subscription()) }
}

/** It takes real time to find the OpenTelemetry API. */
const isOpen = (metrics: RecordedMetrics, observers = 1) =>
  vi.waitFor(() => expect(metrics.observers).toBe(observers))

describe('delivered and processed', () => {
  test('an event is processed when the consumer comes back for the next', async () => {
    const { clock, call, monitor, iterator, metrics } = await monitored()
    call.send(event(1n), event(2n), event(3n))
    await take(iterator, 3)
    expect(monitor.status()).toMatchObject({ deliveredEvents: 3, processedEvents: 2, position: 2n })
    void iterator.next()
    expect(monitor.status()).toMatchObject({ processedEvents: 3, position: 3n })
    await clock.advance(1_000)
    expect(metrics.counters.get('delivered_events')).toBe(3)
    expect(metrics.counters.get('processed_events')).toBe(3)
    expect(metrics.gauges()).toMatchObject({ projection_position: 3 })
  })

  test("of on('data') alone only delivered is told: no position, no lag", async () => {
    const { clock, source, call, subscription, options, metrics } = rig({ from: 0n })
    const monitor = monitorSubscription(options)
    const wrapped = monitor.wrap(subscription())
    source.head = 3n
    await isOpen(metrics)
    wrapped.on('data', () => {})
    call.send(event(1n, { appendedAtMs: 0 }), event(2n))
    await clock.advance(6_000)
    expect(monitor.status()).toMatchObject({ deliveredEvents: 2, processedEvents: 0 })
    const gauges = metrics.gauges()
    expect(metrics.counters.get('delivered_events')).toBe(2)
    expect(metrics.counters.get('processed_events')).toBe(0)
    expect(Object.keys(gauges).filter((name) => /position|lag/.test(name))).toEqual([])
    expect(gauges).toMatchObject({ 'projection_state{state="catching_up"}': 1 })
  })

  test('a break does not make the last event processed', async () => {
    const { call, monitor, wrapped } = await monitored()
    call.send(event(1n), event(2n))
    for await (const { position } of wrapped) if (position === 2n) break
    expect(monitor.status()).toMatchObject({ deliveredEvents: 2, processedEvents: 1, position: 1n })
  })

  test('thousands of events cost a handful of calls', async () => {
    const { clock, call, wrapped, metrics } = await monitored()
    call.send(...Array.from({ length: 10_000 }, (_, i) => event(BigInt(i), { appendedAtMs: 1 })))
    call.end()
    await clock.settle()
    const before = metrics.calls
    let seen = 0
    for await (const _ of wrapped) seen++
    await clock.settle()
    expect(seen).toBe(10_000)
    expect(metrics.counters.get('processed_events')).toBe(10_000)
    expect(metrics.calls - before).toBeLessThan(60)
  })

  test('what came in its last moments is counted too', async () => {
    const { clock, call, wrapped, metrics } = await monitored()
    call.send(event(1n), event(2n))
    call.end()
    for await (const _ of wrapped);
    await clock.settle()
    expect(metrics.counters.get('processed_events')).toBe(2)
    expect(metrics.counters.get('subscription_drops{reason="silent_end"}')).toBe(1)
  })

  test('so is what was over before telemetry was open', async () => {
    const { subscription, options, metrics } = rig()
    const wrapped = monitorSubscription(options).wrap(subscription())
    wrapped.on('error', () => {})
    wrapped.emit('data', event(1n))
    wrapped.emit('error', new Error('gone'))
    await vi.waitFor(() => expect(metrics.counters.get('delivered_events')).toBe(1))
    expect(metrics.counters.get('subscription_drops{reason="unavailable"}')).toBe(1)
    expect(metrics.gauges()).toMatchObject({ 'projection_state{state="dropped"}': 1 })
  })
})

describe('series start at 0', () => {
  test('with the reasons that this subscription can have, and no others', async () => {
    const stream = await monitored()
    await stream.clock.settle()
    await vi.waitFor(() =>
      expect([...stream.metrics.counters]).toEqual([
        ['skipped_events{reason="unknown_event"}', 0],
        ['skipped_events{reason="truncated"}', 0],
        ['delivered_events', 0],
        ['processed_events', 0],
        ['subscription_drops{reason="silent_end"}', 0],
        ['telemetry_errors', 0],
      ]),
    )
    const group = rig()
    monitorSubscription(group.options).wrap(group.persistent())
    await vi.waitFor(() =>
      expect([...group.metrics.counters.keys()]).toEqual([
        'skipped_events{reason="unknown_event"}',
        'skipped_events{reason="apply_error"}',
        ...['ack', 'park', 'retry', 'skip', 'stop'].map(
          (action) => `acknowledged_events{action="${action}"}`,
        ),
        'delivered_events',
        'processed_events',
        'subscription_drops{reason="silent_end"}',
        'telemetry_errors',
      ]),
    )
  })
})

describe('lag and delay', () => {
  test('in positions it is head minus position', async () => {
    const { call, iterator, metrics, monitor } = await monitored({ from: 10n }, 15n)
    expect(monitor.status().lagPositions).toBe(5n)
    call.send(event(11n), event(12n), event(13n))
    await take(iterator, 3)
    expect(metrics.gauges()).toMatchObject({ projection_position: 12, projection_lag_positions: 3 })
  })

  test('on a sparse order a distance is never called events: absent', async () => {
    const sparse = rig({ from: 10n })
    sparse.source.order = sparseOrder
    const monitor = monitorSubscription(sparse.options)
    const wrapped = monitor.wrap(sparse.subscription())
    sparse.source.head = 150_000n
    sparse.call.send(event(1_100n))
    await take(wrapped[Symbol.asyncIterator](), 1)
    await sparse.clock.settle()
    expect(monitor.status()).toMatchObject({ lagPositions: undefined, head: 150_000n, skipped: {} })
    expect(sparse.metrics.gauges()).not.toHaveProperty('projection_lag_positions')
  })

  test('in seconds it rises while a handler hangs, from the append time of what it hangs on', async () => {
    const { clock, call, iterator, monitor } = await monitored()
    call.send(event(1n, { appendedAtMs: clock.nowMs() - 2_000 }), event(2n, { appendedAtMs: clock.nowMs() }))
    await take(iterator, 1)
    expect(monitor.status().lagMs).toBe(2_000)
    await clock.advance(10_000)
    expect(monitor.status().lagMs).toBe(12_000)
    void iterator.next()
    await clock.settle()
    expect(monitor.status().lagMs).toBe(10_000)
  })

  test('is 0 when all that the head shows is processed, and rises when the head cannot be read', async () => {
    const { clock, source, call, iterator, monitor } = await monitored()
    source.head = 2n
    call.send(event(1n, { appendedAtMs: 1 }), event(2n, { appendedAtMs: 2 }))
    await take(iterator, 2)
    void iterator.next()
    await clock.advance(60_000)
    expect(monitor.status().lagMs).toBe(0)
    source.headFailure = new Error('no connection')
    await clock.advance(60_000)
    const { lagMs } = monitor.status()
    expect(lagMs).toBeGreaterThanOrEqual(60_000)
    expect(lagMs).toBeLessThan(70_000)
  })

  test('of what waits and has not come, it counts from when nothing was there to wait', async () => {
    const { clock, source, call, iterator, monitor } = await monitored()
    source.head = 1n
    call.send(event(1n, { appendedAtMs: 5 }))
    await take(iterator, 1)
    void iterator.next()
    await clock.advance(100_000)
    source.head = 2n
    await clock.advance(20_000)
    const { lagMs } = monitor.status()
    expect(lagMs).toBeGreaterThanOrEqual(15_000)
    expect(lagMs).toBeLessThanOrEqual(25_000)
  })

  test('without append times it counts from when nothing waited, though everything has arrived since', async () => {
    const { clock, source, call, subscription, options } = rig()
    const monitor = monitorSubscription(options)
    let end = () => {}
    const hanging = new Promise<void>((resolve) => {
      end = resolve
    })
    const handle = monitor.handler(({ position }) => (position === 2n ? hanging : Promise.resolve()))
    monitor.wrap(subscription()).on('data', (item) => void handle(item))
    source.head = 1n
    call.send(event(1n))
    await clock.advance(20_000)
    expect(monitor.status().lagMs).toBe(0)
    source.head = 2n
    call.send(event(2n))
    await clock.advance(60_000)
    expect(monitor.status().lagMs).toBeGreaterThanOrEqual(60_000)
    end()
    await clock.advance(10_000)
    expect(monitor.status().lagMs).toBe(0)
  })

  test('of events that a clock ahead of ours has stamped it is never below 0, nor is their delay', async () => {
    const { clock, source, call, iterator, monitor, metrics } = await monitored()
    source.head = 2n
    call.tell('caughtUp')
    call.send(event(1n, { appendedAtMs: clock.nowMs() + 3_600_000 }), event(2n))
    await take(iterator, 1)
    expect(monitor.status().lagMs).toBe(0)
    void iterator.next()
    await clock.advance(10_000)
    expect(monitor.status().lagMs).toBeGreaterThanOrEqual(0)
    expect(Math.min(...(metrics.histograms.get('event_delay_seconds') ?? [-1]))).toBe(0)
  })

  test('is not known of what begins at the end, before anything has come', async () => {
    const { clock, source, iterator, monitor } = await monitored({ from: 'end' })
    source.head = 900n
    void iterator.next()
    await clock.advance(120_000)
    expect(monitor.status()).toMatchObject({
      lagMs: undefined,
      lagPositions: undefined,
      isStalled: undefined,
    })
  })

  test('the delay is from append to processed, while live only', async () => {
    const { clock, call, iterator, metrics } = await monitored({}, 2n)
    call.send(event(1n, { appendedAtMs: 0 }))
    await take(iterator, 1)
    const next = iterator.next()
    await clock.advance(1_000)
    expect(metrics.histograms.size).toBe(0)
    call.tell('caughtUp')
    call.send(event(2n, { appendedAtMs: clock.nowMs() - 250 }))
    await next
    void iterator.next()
    await clock.advance(1_000)
    expect(metrics.histograms.get('event_delay_seconds')).toEqual([0.25])
  })
})

describe('the state', () => {
  test('is what the server says', async () => {
    const { clock, call, iterator, monitor, metrics } = await monitored({}, 2n)
    expect(monitor.status().state).toBe('catching_up')
    void iterator.next()
    call.tell('caughtUp')
    await clock.settle()
    expect(monitor.status().state).toBe('live')
    expect(metrics.gauges()).toMatchObject({
      'projection_state{state="catching_up"}': 0,
      'projection_state{state="live"}': 1,
      'projection_state{state="dropped"}': 0,
      'projection_state{state="ended"}': 0,
    })
    call.tell('fellBehind')
    await clock.settle()
    expect(monitor.status().state).toBe('catching_up')
  })

  test('of a server that does not say so, it is told from the head', async () => {
    const { clock, source, call, iterator, monitor } = await monitored()
    source.head = 2n
    call.send(event(1n), event(2n))
    await take(iterator, 2)
    void iterator.next()
    await clock.advance(10_000)
    expect(monitor.status().state).toBe('live')
    source.head = 90n
    await clock.advance(10_000)
    expect(monitor.status().state).toBe('catching_up')
  })

  test('ended, when the consumer breaks or unsubscribes: not a drop', async () => {
    const broken = await monitored()
    broken.call.send(event(1n))
    for await (const _ of broken.wrapped) break
    const unsubscribed = await monitored()
    void unsubscribed.iterator.next()
    await unsubscribed.wrapped.unsubscribe()
    for (const { clock, monitor, metrics } of [broken, unsubscribed]) {
      await clock.settle()
      expect(monitor.status()).toMatchObject({ state: 'ended', dropReason: undefined })
      expect(metrics.counters.get('subscription_drops{reason="silent_end"}')).toBe(0)
      expect(metrics.gauges()).toMatchObject({ 'projection_state{state="ended"}': 1 })
    }
  })

  test('ended, when the consumer aborts by a signal: not a drop', async () => {
    const aborted = await monitored()
    const aborting = new AbortController()
    addAbortSignal(aborting.signal, aborted.wrapped).on('error', () => {})
    const listening = rig()
    const monitor = monitorSubscription(listening.options)
    const events = monitor.wrap(
      on(new EventEmitter(), 'event', { signal: aborting.signal }) as AsyncIterable<never>,
    )
    const waiting = take(events[Symbol.asyncIterator](), 1).catch(({ name }: Error) => name)
    aborting.abort()
    expect(await waiting).toBe('AbortError')
    await aborted.clock.settle()
    expect(aborted.monitor.status()).toMatchObject({ state: 'ended', dropReason: undefined })
    await vi.waitFor(() => expect(aborted.call.isOpen).toBe(false))
    expect(monitor.status()).toMatchObject({ state: 'ended', dropReason: undefined })
  })

  test.skipIf(Symbol.asyncDispose === undefined)(
    'ended, at the end of `await using`: not a drop',
    async () => {
      const { call, clock, monitor, wrapped, logger } = await monitored()
      const { [Symbol.asyncDispose]: dispose } = wrapped as unknown as AsyncDisposable
      await dispose.call(wrapped)
      await clock.settle()
      expect(monitor.status()).toMatchObject({ state: 'ended', dropReason: undefined })
      expect(logger.lines).toEqual([])
      await vi.waitFor(() => expect(call.isOpen).toBe(false))
    },
  )
})

describe('drops', () => {
  test('an error is a drop, with its stable reason, once', async () => {
    const { clock, call, iterator, monitor, metrics, logger } = await monitored()
    const failure = new Error('the consumer is too slow')
    const waiting = iterator.next()
    await clock.settle()
    call.fail(failure)
    await expect(waiting).rejects.toBe(failure)
    await clock.settle()
    expect(monitor.status()).toMatchObject({
      state: 'dropped',
      dropReason: 'consumer_too_slow',
      error: failure,
    })
    expect(metrics.counters.get('subscription_drops{reason="consumer_too_slow"}')).toBe(1)
    expect(logger.lines.filter((line) => line.startsWith('error'))).toHaveLength(1)
  })

  test('an error without a message is told by its kind, and by those of the errors in it', async () => {
    class StreamDeletedError extends Error {}
    const refused = new AggregateError([new Error('connect ECONNREFUSED ::1:2113'), new StreamDeletedError()])
    for (const [failure, told] of [
      [new StreamDeletedError(), /: StreamDeletedError$/],
      [refused, /: connect ECONNREFUSED ::1:2113, StreamDeletedError$/],
    ] as const) {
      const { clock, call, iterator, logger } = await monitored()
      const waiting = iterator.next()
      await clock.settle()
      call.fail(failure)
      await expect(waiting).rejects.toBe(failure)
      await clock.settle()
      expect(logger.lines.at(-1)).toMatch(told)
    }
  })

  test('a silent end is a drop with a reason of its own', async () => {
    const { clock, call, wrapped, monitor, metrics } = await monitored()
    call.send(event(1n))
    call.end()
    for await (const _ of wrapped);
    await clock.settle()
    expect(monitor.status()).toMatchObject({ state: 'dropped', dropReason: 'silent_end' })
    expect(metrics.counters.get('subscription_drops{reason="silent_end"}')).toBe(1)
  })

  test('so are the end and the error of any other iterable', async () => {
    const ended = rig()
    const monitor = monitorSubscription(ended.options)
    for await (const _ of monitor.wrap(
      (async function* () {
        yield event(1n)
      })(),
    ));
    expect(monitor.status()).toMatchObject({ state: 'dropped', dropReason: 'silent_end', processedEvents: 1 })

    const failed = rig()
    const other = monitorSubscription(failed.options)
    const loop = async () => {
      for await (const _ of other.wrap(
        (async function* () {
          yield event(1n)
          throw new Error('slow')
        })(),
      ));
    }
    await expect(loop()).rejects.toThrow('slow')
    expect(other.status()).toMatchObject({ state: 'dropped', dropReason: 'consumer_too_slow' })
  })

  test('is shown until another subscription of the projection takes over, and then no more', async () => {
    const { clock, call, wrapped, metrics, options } = await monitored()
    wrapped.on('error', () => {})
    await clock.settle()
    call.fail(new Error('gone'))
    await clock.advance(600_000)
    expect(metrics.gauges()).toMatchObject({ 'projection_state{state="dropped"}': 1 })
    expect(clock.sleeping, 'its timer has ended').toBe(0)
    const again = rig()
    const second = monitorSubscription({ ...options, clock: again.clock }).wrap(again.subscription())
    await vi.waitFor(() => expect(metrics.gauges()).toMatchObject({ 'projection_state{state="dropped"}': 0 }))
    expect(metrics.observers).toBe(1)
    second.destroy()
  })

  test('of two consumers in one process, the one that has ended does not hide the other', async () => {
    const { clock, wrapped, metrics, options } = await monitored()
    const other = rig()
    monitorSubscription({ ...options, clock: other.clock }).wrap(other.subscription())
    await isOpen(metrics, 2)
    wrapped.destroy()
    await clock.settle()
    expect(metrics.gauges()).toMatchObject({ 'projection_state{state="ended"}': 0 })
    expect(metrics.observers).toBe(1)
  })
})

describe('stalls', () => {
  test('nothing comes while the head is ahead, for longer than the threshold', async () => {
    const { clock, source, call, iterator, monitor, metrics, logger } = await monitored({
      stallAfterMs: 30_000,
    })
    source.head = 1n
    call.send(event(1n))
    await take(iterator, 1)
    const next = iterator.next()
    await clock.advance(60_000)
    expect(monitor.status().isStalled).toBe(false)
    source.head = 2n
    await clock.advance(29_000)
    expect(monitor.status().isStalled).toBe(false)
    await clock.advance(7_000)
    expect(monitor.status().isStalled).toBe(true)
    expect(metrics.gauges()).toMatchObject({ subscription_stalled: 1 })
    expect(logger.lines.join()).toContain(
      'has stalled: nothing has come from orders for 30 s; its head is 2, the last that came is 1',
    )
    call.send(event(2n))
    await next
    await clock.settle()
    expect(metrics.gauges()).toMatchObject({ subscription_stalled: 0 })
    await clock.advance(1_000)
    expect(logger.lines.at(-1)).toContain('delivers again')
  })

  test('a server that never answers at all is one', async () => {
    const { clock, source, iterator, monitor } = await monitored()
    source.head = 7n
    void iterator.next()
    await clock.advance(40_000)
    expect(monitor.status().isStalled).toBe(true)
  })

  test('a head that is always ahead is none, as long as something comes', async () => {
    const { clock, source, call, wrapped, monitor } = await monitored()
    void (async () => {
      for await (const _ of wrapped);
    })()
    for (let position = 1n; position < 40n; position++) {
      source.head = position + 10n
      call.send(event(position))
      await clock.advance(4_000)
      expect(monitor.status()).toMatchObject({ isStalled: false, position })
    }
  })

  test('a handler that hangs is none: that is lag', async () => {
    const { clock, source, call, iterator, monitor } = await monitored()
    source.head = 900n
    call.send(event(1n, { appendedAtMs: clock.nowMs() }), event(2n))
    await take(iterator, 1)
    await clock.advance(120_000)
    expect(monitor.status()).toMatchObject({ isStalled: false, lagMs: 120_000 })
  })

  test('a consumer that has paused, or is slow behind a pipe, is none either', async () => {
    const paused = listenedTo()
    paused.wrapped.on('data', () => paused.wrapped.pause())
    const piped = listenedTo()
    piped.wrapped.pipe(new Writable({ objectMode: true, highWaterMark: 1, write: () => {} }))
    for (const { call, clock, source, monitor, logger } of [paused, piped]) {
      source.head = 5n
      call.send(event(1n), event(2n), event(3n), event(4n), event(5n))
      await clock.advance(120_000)
      expect(monitor.status()).toMatchObject({ deliveredEvents: 1, isStalled: false })
      expect(logger.lines).toEqual([])
    }
    paused.wrapped.removeAllListeners('data').resume()
    await paused.clock.settle()
    paused.source.head = 6n
    await paused.clock.advance(40_000)
    expect(paused.monitor.status(), 'of what has not come it is').toMatchObject({ isStalled: true })
  })

  test('a subscription that nobody reads is one', async () => {
    const { call, clock, source, monitor } = listenedTo()
    source.head = 5n
    call.send(event(1n), event(2n), event(3n), event(4n), event(5n))
    await clock.advance(120_000)
    expect(monitor.status()).toMatchObject({ deliveredEvents: 0, isStalled: true })
  })

  test('neither an idle store, nor a filter that lets nothing through, nor a competing consumer is stalled', async () => {
    const idle = await monitored()
    void idle.iterator.next()
    const filtered = rig()
    filtered.source.isFiltered = true
    const group = rig()
    const monitors = [
      [idle, idle.monitor],
      [filtered, monitorSubscription(filtered.options)],
      [group, monitorSubscription(group.options)],
    ] as const
    void monitors[1][1].wrap(filtered.subscription())[Symbol.asyncIterator]().next()
    void monitors[2][1].wrap(group.persistent())[Symbol.asyncIterator]().next()
    filtered.source.head = 900n
    group.source.head = 900n
    for (const [{ clock }, monitor] of monitors) {
      await clock.advance(120_000)
      expect(monitor.status().isStalled ?? false).toBe(false)
    }
  })

  test('the head is read at most every headIntervalMs, never twice at once, and no more after the end', async () => {
    const { clock, source, wrapped } = await monitored({ headIntervalMs: 5_000 })
    await clock.advance(60_000)
    expect(source.headReads).toBe(13)
    source.headGate = new Promise(() => {})
    await clock.advance(60_000)
    expect(source.headReads).toBe(14)
    expect(source.mostReadsAtOnce).toBe(1)
    wrapped.destroy()
    await clock.advance(60_000)
    expect(source.headReads).toBe(14)
    expect(clock.sleeping).toBe(0)
  })
})

describe('skipped events', () => {
  test('a jump in a stream is truncated events: counter, span and warning', async () => {
    const { telemetry, reports } = recordedTelemetry()
    const { clock, call, iterator, monitor, metrics, logger } = await monitored({ from: 4n, telemetry }, 9n)
    call.send(event(5n), event(9n))
    await take(iterator, 2)
    await clock.settle()
    expect(metrics.counters.get('skipped_events{reason="truncated"}')).toBe(3)
    expect(monitor.status().skipped).toEqual({ truncated: 3n })
    expect(reports).toContainEqual([
      'skipped',
      {
        projection: 'mailer',
        crossed: [{ stored: '5', current: '9', count: 3n, reason: 'truncated' }],
        totals: { truncated: 3n },
      },
    ])
    expect(logger.lines.join()).toContain('missed 3 events between 5 and 9 of orders')
  })

  test('$all, filtered subscriptions and persistent ones have no jumps', async () => {
    const all = rig({ from: 4n })
    all.source.yieldsEveryPosition = false
    all.source.head = 90n
    const group = rig({ from: 4n })
    for (const [{ call, options }, subscription] of [
      [all, all.subscription()],
      [group, group.persistent()],
    ] as const) {
      const monitor = monitorSubscription(options)
      const iterator = monitor.wrap(subscription)[Symbol.asyncIterator]()
      call.send(event(50n), event(90n), event(60n))
      await take(iterator, 3)
      expect(monitor.status().skipped).toEqual({})
    }
  })

  test('a link whose target is gone is an unknown event', async () => {
    const { clock, call, iterator, monitor, metrics } = await monitored()
    call.send(event(1n), event(2n, { hasEvent: false }))
    await take(iterator, 2)
    await clock.settle()
    expect(monitor.status().skipped).toEqual({ unknown_event: 1n })
    await vi.waitFor(() => expect(metrics.counters.get('skipped_events{reason="unknown_event"}')).toBe(1))
  })

  test('a flood of them is told a few times, and counted each', async () => {
    const { clock, call, wrapped, monitor, metrics, logger } = await monitored()
    call.send(...Array.from({ length: 5_000 }, (_, i) => event(BigInt(i), { hasEvent: false })))
    call.end()
    for await (const _ of wrapped);
    await clock.settle()
    expect(monitor.status().skipped).toEqual({ unknown_event: 5_000n })
    expect(metrics.counters.get('skipped_events{reason="unknown_event"}')).toBe(5_000)
    expect(logger.lines.filter((line) => line.includes('without an event'))).toEqual([
      expect.stringContaining('was given 1 link without an event at 0 of orders'),
      expect.stringContaining('was given 4999 links without an event from 1 to 4999 of orders'),
    ])
  })
})

describe('nothing is left behind', () => {
  test.each(['destroy', 'unsubscribe', 'drop', 'silent end'] as const)(
    'after %s no timer sleeps, though it was never iterated',
    async (how) => {
      const { clock, call, subscription, options } = rig()
      const wrapped = monitorSubscription(options).wrap(subscription())
      await clock.advance(3_000)
      expect(clock.sleeping).toBe(1)
      wrapped.on('error', () => {})
      if (how === 'destroy') wrapped.destroy()
      else if (how === 'unsubscribe') await wrapped.unsubscribe()
      else if (how === 'drop') call.fail(new Error('gone'))
      else {
        call.end()
        wrapped.resume()
      }
      await clock.settle()
      expect(clock.sleeping).toBe(0)
    },
  )

  test('nor after a stream that was made of it has failed', async () => {
    const { clock, options } = rig()
    const monitor = monitorSubscription(options)
    const wrapped = monitor.wrap(
      (async function* () {
        yield event(1n)
      })(),
    )
    await wrapped.next()
    expect(clock.sleeping).toBe(1)
    // So `Readable.from(wrapped)`, destroyed with an error.
    await expect(wrapped.throw(new Error('enough'))).rejects.toThrow('enough')
    expect(monitor.status()).toMatchObject({ state: 'ended' })
    expect(clock.sleeping).toBe(0)
  })

  test('a generator that catches what is thrown into it goes on', async () => {
    const { clock, options } = rig()
    const monitor = monitorSubscription(options)
    const wrapped = monitor.wrap(
      (async function* () {
        try {
          yield event(1n)
        } catch {
          yield event(2n)
        }
      })(),
    )
    await wrapped.next()
    expect(await wrapped.throw(new Error('again'))).toMatchObject({ value: { position: 2n } })
    expect(clock.sleeping).toBe(1)
    monitor.stop()
  })

  test('events that have passed, of an iterable whose head cannot be read', async () => {
    const { options, source } = rig({ from: 0n })
    source.headFailure = new Error('access denied')
    const wrapped = monitorSubscription(options).wrap(
      (async function* () {
        for (let position = 1n; position < 100n; position++) yield event(position)
      })(),
    )
    const passed: WeakRef<object>[] = []
    for (let i = 0; i < 10; i++) for (const item of await take(wrapped, 1)) passed.push(new WeakRef(item))
    await new Promise((resolve) => setImmediate(resolve))
    setFlagsFromString('--expose-gc')
    runInNewContext('gc')()
    expect(passed.slice(0, 5).filter((item) => item.deref() !== undefined)).toEqual([])
    await wrapped.return()
  })

  test('stop ends the monitor and withdraws its gauges; the subscription goes on', async () => {
    const { clock, call, iterator, monitor, metrics } = await monitored()
    monitor.stop()
    monitor.stop()
    expect(metrics.observers).toBe(0)
    expect(clock.sleeping).toBe(0)
    call.send(event(1n), event(2n))
    expect(await take(iterator, 2)).toHaveLength(2)
  })

  test('await using stops the monitor at the end of its block, of a subscription or of a handler', async () => {
    for (const kind of ['subscription', 'handler']) {
      const { clock, subscription, options, metrics } = rig()
      const stream = subscription()
      {
        await using monitor = kind === 'handler' ? monitorHandler(options) : monitorSubscription(options)
        if ('filter' in monitor) monitor.wrap(stream)
        await isOpen(metrics)
      }
      expect(metrics.observers).toBe(0)
      expect(clock.sleeping).toBe(0)
      expect(stream.destroyed).toBe(false)
    }
  })
})

describe('telemetry never reaches the subscription', () => {
  test('whatever of it throws, every event arrives, and it is counted', async () => {
    const failing = (): never => {
      throw new Error('telemetry')
    }
    const broken = { info: failing, warn: failing, error: failing }
    const all = rig({
      from: 0n,
      logger: broken,
      telemetry: { skipped: failing, subscriptionProgressed: failing },
    })
    const { clock, source, call, subscription, options, telemetryErrors } = all
    source.head = 5n
    source.describe = failing
    source.dropReason = failing
    const wrapped = monitorSubscription(options).wrap(subscription())
    call.send(event(1n), event(5n, { hasEvent: false }))
    call.end()
    const seen: bigint[] = []
    for await (const { position } of wrapped) seen.push(position)
    expect(seen).toEqual([1n, 5n])
    await clock.settle()
    expect(telemetryErrors.length).toBeGreaterThan(0)
  })

  test('nor a handler, nor what a drop is about', async () => {
    const failing = (): never => {
      throw new Error('telemetry')
    }
    const { clock, source, call, subscription, options, telemetryErrors } = rig()
    source.describe = failing
    source.dropReason = failing
    const monitor = monitorSubscription(options)
    expect(monitor.handler(({ position }: { position: bigint }) => position)(event(3n))).toBe(3n)
    const waiting = monitor.wrap(subscription())[Symbol.asyncIterator]().next()
    await clock.settle()
    call.fail(new Error('slow'))
    await expect(waiting).rejects.toThrow('slow')
    expect(monitor.status()).toMatchObject({ state: 'dropped', dropReason: 'unknown' })
    expect(telemetryErrors.length).toBeGreaterThan(1)
  })

  test('metrics that cannot be opened are told, and the subscription goes on without them', async () => {
    const error = new Error('no registry')
    const all = rig({
      metrics: {
        open: () => {
          throw error
        },
      },
    })
    const { call, subscription, options, telemetryErrors } = all
    const wrapped = monitorSubscription(options).wrap(subscription())
    call.send(event(1n))
    expect(await take(wrapped[Symbol.asyncIterator](), 1)).toHaveLength(1)
    await vi.waitFor(() => expect(telemetryErrors).toEqual([error]))
  })
})

describe('options', () => {
  test.each([
    ['projection', { projection: ' ' }],
    ['source', { source: {} as never }],
    ['from', { from: 7 as never }],
    ['stallAfterMs', { stallAfterMs: 0 }],
    ['headIntervalMs', { headIntervalMs: Number.NaN }],
    ['traceContext', { traceContext: 'traceparent' as never }],
    ['metrics', { metrics: {} as never }],
    ['logger', { logger: {} as never }],
  ] as const)('%s is validated when it is wrapped', (option, by) => {
    const { subscription, options } = rig(by)
    const bare = subscription()
    expect(() => monitorSubscription(options).wrap(bare)).toThrow(new RegExp(`^${option}: expected`))
    expect(() => monitorSubscription(rig().options).wrap(bare), 'and nothing was changed').not.toThrow()
  })

  test('what cannot be iterated cannot be wrapped', () => {
    expect(() => monitorSubscription(rig().options).wrap({} as never)).toThrow(/^subscription: expected/)
  })
})
