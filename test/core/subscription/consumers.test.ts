import { monitorHandler, monitorSubscription } from '@tidemark/core'
import { describe, expect, test, vi } from 'vitest'
import { gate } from '../rig.ts'
import { ClientSubscription, event, type TestEvent } from './client-subscription.ts'
import { recordedTelemetry, rig, sparseOrder, take } from './rig.ts'

vi.setConfig({ testTimeout: 60_000 })

const isOpen = (metrics: { readonly observers: number }) =>
  vi.waitFor(() => expect(metrics.observers).toBe(1))

describe('a handler', () => {
  test('has processed an event when its promise resolves, and gets the very arguments', async () => {
    const { clock, options, metrics, source } = rig()
    source.head = 2n
    const first = gate()
    const seen: unknown[] = []
    const handle = monitorHandler(options).wrap(async (each: TestEvent, context: string) => {
      seen.push(each, context)
      if (each.position === 1n) await first.promise
      return each.position
    })
    await isOpen(metrics)
    const events = [event(1n, { appendedAtMs: clock.nowMs() }), event(2n)] as const
    const running = [handle(events[0], 'a'), handle(events[1], 'b')]
    await running[1]
    await clock.advance(3_000)
    expect(seen).toEqual([events[0], 'a', events[1], 'b'])
    expect(metrics.counters.get('delivered_events')).toBe(2)
    expect(metrics.counters.get('processed_events')).toBe(1)
    expect(metrics.gauges()).toMatchObject({ projection_lag_seconds: 3 })
    expect(metrics.gauges()).not.toHaveProperty('projection_position')
    first.open()
    expect(await Promise.all(running)).toEqual([1n, 2n])
    await clock.advance(5_000)
    expect(metrics.counters.get('processed_events')).toBe(2)
    expect(metrics.gauges()).toMatchObject({ projection_position: 2, projection_lag_seconds: 0 })
  })

  test('that is monitored alone is asked where it stands, and goes on when its monitor is stopped', async () => {
    const { clock, options, metrics } = rig()
    const monitor = monitorHandler(options)
    const handle = monitor.wrap(async ({ position }: TestEvent) => position)
    await isOpen(metrics)
    await handle(event(7n))
    expect(monitor.status()).toMatchObject({ processedEvents: 1, position: 7n })
    monitor.stop()
    monitor.stop()
    expect(metrics.observers).toBe(0)
    expect(clock.sleeping).toBe(0)
    expect(await handle(event(8n))).toBe(8n)
  })

  test('that rejects or throws does so as before, and its event is not processed', async () => {
    const { options } = rig()
    const monitor = monitorSubscription(options)
    const rejecting = monitor.handler(async (_: TestEvent) => Promise.reject(new Error('no mail')))
    const throwing = monitor.handler((_: TestEvent): void => {
      throw new Error('no mail either')
    })
    await expect(rejecting(event(1n))).rejects.toThrow('no mail')
    expect(() => throwing(event(2n))).toThrow('no mail either')
    expect(monitor.status()).toMatchObject({ deliveredEvents: 2, processedEvents: 0, position: undefined })
  })

  test('that is not async has processed it when it returns, and sees its this', () => {
    const { options } = rig()
    const monitor = monitorSubscription(options)
    const consumer = {
      seen: 0n,
      eachMessage: monitor.handler(function (this: unknown, { position }: TestEvent) {
        ;(this as { seen: bigint }).seen = position
        return position
      }),
    }
    expect(consumer.eachMessage(event(4n))).toBe(4n)
    expect(consumer.seen).toBe(4n)
    expect(monitor.status()).toMatchObject({ processedEvents: 1, position: 4n })
  })

  test('that returns a query, which runs when it is asked, has processed the event when that resolves', async () => {
    const { options } = rig()
    const monitor = monitorSubscription(options)
    const running = gate()
    let asked = 0
    // So the queries of Prisma, Drizzle and Knex.
    const query: PromiseLike<string> = {
      // biome-ignore lint/suspicious/noThenProperty: it is what is tested
      then: (...outcome) => {
        asked++
        return running.promise.then(() => 'saved').then(...outcome)
      },
    }
    const result = monitor.handler((_: TestEvent) => query)(event(1n))
    expect(monitor.status()).toMatchObject({ processedEvents: 0, position: undefined })
    running.open()
    expect(await result).toBe('saved')
    expect(asked).toBe(1)
    expect(monitor.status()).toMatchObject({ processedEvents: 1, position: 1n })
  })

  test('called again with what it has failed at, holds the position until it has succeeded', async () => {
    const { call, clock, subscription, options, source } = rig()
    source.head = 9n
    const monitor = monitorSubscription(options)
    const filter = monitor.filter({ checkpointReached: (_: object, __: bigint) => {} })
    const wrapped = monitor.wrap(subscription())
    const slow = gate()
    let attempts = 0
    const handle = monitor.handler(async ({ position }: TestEvent) => {
      if (position === 2n) await slow.promise
      else if (++attempts < 4) throw new Error('not yet')
    })
    const retrying = async (each: TestEvent): Promise<void> => handle(each).catch(() => retrying(each))
    wrapped.on('data', (each: TestEvent) => void retrying(each))
    call.send(event(1n), event(2n))
    await clock.settle()
    filter.checkpointReached(wrapped, 50n)
    expect(monitor.status()).toMatchObject({ deliveredEvents: 2, processedEvents: 1, position: 1n })
    slow.open()
    await clock.settle()
    expect(monitor.status()).toMatchObject({ processedEvents: 2, position: 50n })
  })

  test('called again with what it was given up at after a time limit, counts once, by its last call', async () => {
    const { call, clock, subscription, options, source } = rig()
    source.head = 9n
    const monitor = monitorSubscription(options)
    const filter = monitor.filter({ checkpointReached: (_: object, __: bigint) => {} })
    const wrapped = monitor.wrap(subscription())
    const [givenUp, slow] = [gate(), gate()]
    const handle = monitor.handler(async ({ position }: TestEvent, attempt: number) => {
      if (position === 2n) await slow.promise
      else if (attempt === 1) await givenUp.promise
    })
    wrapped.on('data', (each: TestEvent) => {
      void handle(each, 1)
      if (each.position === 1n) void handle(each, 2)
    })
    call.send(event(1n), event(2n))
    await clock.settle()
    givenUp.open()
    await clock.settle()
    filter.checkpointReached(wrapped, 50n)
    expect(monitor.status()).toMatchObject({ deliveredEvents: 2, processedEvents: 1, position: 1n })
    slow.open()
    await clock.settle()
    expect(monitor.status()).toMatchObject({ processedEvents: 2, position: 50n })
  })

  test('that is slow is no stall, also after another was tried again', async () => {
    const { call, clock, subscription, options, source } = rig()
    source.head = 9n
    const monitor = monitorSubscription(options)
    const wrapped = monitor.wrap(subscription())
    let attempts = 0
    const handle = monitor.handler(async ({ position }: TestEvent) => {
      if (position === 2n) await new Promise(() => {})
      if (++attempts < 4) throw new Error('not yet')
    })
    const retrying = async (each: TestEvent): Promise<void> => handle(each).catch(() => retrying(each))
    wrapped.on('data', (each: TestEvent) => void retrying(each))
    call.send(event(1n), event(2n))
    await clock.advance(120_000)
    expect(monitor.status()).toMatchObject({ isStalled: false, position: 1n })
  })

  test("on('data') of a wrapped subscription counts each event once", async () => {
    const { call, subscription, options, clock } = rig()
    const monitor = monitorSubscription(options)
    const wrapped = monitor.wrap(subscription())
    const handle = monitor.handler(async (_: TestEvent) => {})
    wrapped.on('data', (each: TestEvent) => void handle(each))
    call.send(event(1n), event(2n), event(3n))
    await clock.settle()
    expect(monitor.status()).toMatchObject({ deliveredEvents: 3, processedEvents: 3, position: 3n })
  })

  test('called from a for await processes when it resolves, not when the loop comes back', async () => {
    const { call, subscription, options } = rig()
    const monitor = monitorSubscription(options)
    const wrapped = monitor.wrap(subscription())
    const handle = monitor.handler(async ({ position }: TestEvent) => {
      if (position === 2n) throw new Error('poison')
    })
    call.send(event(1n), event(2n), event(3n))
    call.end()
    for await (const each of wrapped) await handle(each).catch(() => {})
    expect(monitor.status()).toMatchObject({ deliveredEvents: 3, processedEvents: 2, position: 1n })
  })
})

describe('a handler whose subscription is made again', () => {
  test('counts nothing as skipped where the old and the new one overlap', async () => {
    const { options } = rig()
    const monitor = monitorSubscription(options)
    const handle = monitor.handler(async (_: TestEvent) => {})
    for (const position of [1n, 2n, 3n, 1n, 4n, 2n, 3n, 4n, 5n]) await handle(event(position))
    expect(monitor.status().skipped).toEqual({})
    expect(monitor.status().position).toBe(5n)
  })
})

describe("a filter's checkpoints", () => {
  const filtered = () => {
    const all = rig()
    all.source.order = sparseOrder
    all.source.yieldsEveryPosition = false
    return all
  }

  test('move the position past what the filter leaves out, once what came before is processed', async () => {
    const { call, clock, options } = filtered()
    const monitor = monitorSubscription(options)
    const { checkpointReached } = monitor.filter({ checkpointReached: async () => {} })
    const wrapped = monitor.wrap(new ClientSubscription(call, checkpointReached))
    const iterator = wrapped[Symbol.asyncIterator]()
    call.send(event(100n), event(200n))
    call.checkpoint(900n)
    await clock.settle()
    await take(iterator, 2)
    expect(monitor.status().position).toBe(100n)
    void iterator.next()
    expect(monitor.status().position).toBe(900n)
    call.checkpoint(1_800n)
    await clock.settle()
    expect(monitor.status().position).toBe(1_800n)
  })

  test("are the user's too: called with the same, on the same, and waited for", async () => {
    const { call, clock, options } = filtered()
    const monitor = monitorSubscription(options)
    const stored = gate()
    const calls: unknown[] = []
    const filter = {
      filterOn: 'streamName',
      prefixes: ['order-'],
      async checkpointReached(subscription: unknown, position: bigint) {
        calls.push([this === filter, subscription, position])
        await stored.promise
      },
    }
    const wrapped = monitor.wrap(new ClientSubscription(call, monitor.filter(filter).checkpointReached))
    expect(monitor.filter(filter)).toMatchObject({ filterOn: 'streamName', prefixes: ['order-'] })
    call.checkpoint(900n)
    call.send(event(901n))
    const next = wrapped[Symbol.asyncIterator]().next()
    await clock.settle()
    expect(calls).toEqual([[true, wrapped, 900n]])
    expect(monitor.status().deliveredEvents, 'the client waits for the user').toBe(0)
    stored.open()
    expect(await next).toMatchObject({ value: { position: 901n } })
  })

  test('of a filter without a callback, and a monitor that fails, hold nothing up', async () => {
    const { call, options, source } = filtered()
    const monitor = monitorSubscription(options)
    source.order = {
      ...sparseOrder,
      compare: () => {
        throw new Error('broken')
      },
    }
    const filter = monitor.filter<{ checkpointReached?: (s: ClientSubscription, p: bigint) => void }>({})
    const wrapped = monitor.wrap(new ClientSubscription(call, filter.checkpointReached))
    call.checkpoint(900n)
    call.send(event(901n))
    expect(await take(wrapped[Symbol.asyncIterator](), 1)).toHaveLength(1)
  })
})

describe('a persistent subscription', () => {
  test('ack, nack and park are counted by action, when they came through', async () => {
    const { clock, call, persistent, options, metrics } = rig()
    const { telemetry, reports } = recordedTelemetry()
    const monitor = monitorSubscription({ ...options, telemetry })
    const wrapped = monitor.wrap(persistent())
    await isOpen(metrics)
    call.send(event(1n), event(2n), event(3n), event(4n), event(5n))
    const taken = await take(wrapped[Symbol.asyncIterator](), 5)
    const [a, b, c, d, e] = taken as [TestEvent, TestEvent, TestEvent, TestEvent, TestEvent]
    await wrapped.ack(a, b)
    await wrapped.nack('retry', 'later', c)
    await wrapped.nack('park', 'cannot be mailed', d)
    await wrapped.nack('skip', 'nonsense', e)
    wrapped.failure = new Error('the call is closed')
    await expect(wrapped.ack(a)).rejects.toThrow('the call is closed')
    await clock.advance(1_000)
    expect(wrapped.acknowledged).toEqual([
      'ack 1,2',
      'retry (later) 3',
      'park (cannot be mailed) 4',
      'skip (nonsense) 5',
    ])
    const counted = (action: string) => metrics.counters.get(`acknowledged_events{action="${action}"}`)
    expect(['ack', 'retry', 'park', 'skip', 'stop'].map(counted)).toEqual([2, 1, 1, 1, 0])
    expect(metrics.counters.get('skipped_events{reason="apply_error"}')).toBe(2)
    expect(monitor.status().skipped).toEqual({ apply_error: 2n })
    expect(reports.filter(([name]) => name === 'skipped')).toMatchObject([
      ['skipped', { crossed: [{ stored: '4', current: '4', count: 1n, reason: 'apply_error' }] }],
      ['skipped', { crossed: [{ stored: '5', current: '5', count: 1n, reason: 'apply_error' }] }],
    ])
  })

  test("tells no position and no distance of its own: they are the group's", async () => {
    const { clock, source, call, persistent, options, metrics } = rig({ from: 3n })
    source.head = 90n
    const monitor = monitorSubscription(options)
    const iterator = monitor.wrap(persistent())[Symbol.asyncIterator]()
    await isOpen(metrics)
    call.send(event(7n, { appendedAtMs: clock.nowMs() }), event(5n))
    await take(iterator, 2)
    await clock.advance(60_000)
    expect(monitor.status()).toMatchObject({
      position: undefined,
      lagPositions: undefined,
      processedEvents: 1,
    })
    expect(source.headReads).toBe(0)
  })

  test('what is in hand has a lag', async () => {
    const { clock, call, persistent, options } = rig()
    const monitor = monitorSubscription(options)
    call.send(event(7n, { appendedAtMs: clock.nowMs() }))
    await take(monitor.wrap(persistent())[Symbol.asyncIterator](), 1)
    await clock.advance(4_000)
    expect(monitor.status().lagMs).toBe(4_000)
  })
})
