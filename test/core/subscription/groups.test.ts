import { monitorSubscription } from '@tidemark/core'
import type { ConsumerGroup } from '@tidemark/core/adapter'
import { expect, test, vi } from 'vitest'
import { event } from './client-subscription.ts'
import { rig, sparseOrder, take } from './rig.ts'

// What it shows, it shows once telemetry is open.
const isOpen = (metrics: { readonly observers: number }) =>
  vi.waitFor(() => expect(metrics.observers).toBe(1))

const GROUP: ConsumerGroup<bigint> = {
  isLive: true,
  checkpoint: 5n,
  lastKnown: 9n,
  parked: 2n,
  outstanding: 4,
  consumers: [
    { name: 'here', inFlight: 1, isOwn: true },
    { name: 'here, once more', inFlight: 2, isOwn: true },
    { name: 'elsewhere', inFlight: 1, isOwn: false },
  ],
}

test('a persistent subscription stands where its group does, and shows what the server says of it', async () => {
  const { clock, source, persistent, options, metrics } = rig()
  const readGroup = vi.fn(async () => GROUP)
  const monitor = monitorSubscription({ ...options, source: Object.assign(source, { readGroup }) })
  monitor.wrap(persistent())
  await isOpen(metrics)
  await clock.advance(1_000)
  expect(monitor.status()).toMatchObject({ position: 5n, lagPositions: 4n, group: GROUP })
  expect(metrics.gauges()).toMatchObject({
    projection_position: 5,
    projection_lag_positions: 4,
    parked_messages: 2,
    outstanding_messages: 4,
    group_consumers: 3,
    consumer_messages_in_hand: 3,
  })
})

test('a group whose checkpoint stands above the last event that its server knows is not behind', async () => {
  const { clock, source, persistent, options, metrics } = rig()
  const readGroup = async () => ({ ...GROUP, checkpoint: 12n })
  const monitor = monitorSubscription({ ...options, source: Object.assign(source, { readGroup }) })
  monitor.wrap(persistent())
  await isOpen(metrics)
  await clock.advance(1_000)
  expect(monitor.status()).toMatchObject({ position: 12n, lagPositions: 0n })
  expect(metrics.gauges()).toMatchObject({ projection_position: 12, projection_lag_positions: 0 })
})

test('is live while its group is, and tells how long its events took', async () => {
  const { clock, source, persistent, call, options, metrics } = rig()
  let isLive = false
  const readGroup = async () => ({ ...GROUP, isLive })
  const monitor = monitorSubscription({ ...options, source: Object.assign(source, { readGroup }) })
  const wrapped = monitor.wrap(persistent())
  await isOpen(metrics)
  await clock.advance(1_000)
  expect(monitor.status().state).toBe('catching_up')
  isLive = true
  await clock.advance(6_000)
  expect(monitor.status().state).toBe('live')
  const iterator = wrapped[Symbol.asyncIterator]()
  call.send(event(6n, { appendedAtMs: clock.nowMs() - 250 }), event(7n))
  await take(iterator, 2)
  await clock.advance(1_000)
  expect(metrics.histograms.get('event_delay_seconds')).toEqual([0.25])
  isLive = false
  await clock.advance(6_000)
  expect(monitor.status().state).toBe('catching_up')
})

test.each(['park', 'retry'] as const)(
  'an event that a handler failed at is the group\'s again, with nack("%s")',
  async (action) => {
    const { clock, source, persistent, call, options, metrics } = rig()
    const readGroup = async () => GROUP
    const monitor = monitorSubscription({ ...options, source: Object.assign(source, { readGroup }) })
    const wrapped = monitor.wrap(persistent())
    await isOpen(metrics)
    await clock.advance(1_000)
    const handle = monitor.handler(async (_, outcome: 'done' | 'failed') => {
      if (outcome === 'failed') throw new Error('smtp')
    })
    const poison = event(6n, { appendedAtMs: clock.nowMs() })
    call.send(poison, event(7n, { appendedAtMs: clock.nowMs() }))
    const iterator = wrapped[Symbol.asyncIterator]()
    const [first] = await take(iterator, 1)
    for (let attempt = 1; attempt <= 2; attempt++) await handle(first ?? poison, 'failed').catch(() => {})
    await wrapped.nack(action, 'smtp', poison)
    const [second] = await take(iterator, 1)
    await handle(second ?? poison, 'done')
    await clock.advance(60_000)
    expect(monitor.status()).toMatchObject({ deliveredEvents: 2, processedEvents: 1, lagMs: undefined })
  },
)

test('of sparse positions there is no lag in positions', async () => {
  const { clock, source, persistent, options, metrics } = rig()
  source.order = sparseOrder
  const monitor = monitorSubscription({
    ...options,
    source: Object.assign(source, { readGroup: async () => GROUP }),
  })
  monitor.wrap(persistent())
  await isOpen(metrics)
  await clock.advance(1_000)
  expect(monitor.status()).toMatchObject({ position: 5n, lagPositions: undefined })
})

test('a group that cannot be read is said once, and nothing is made up', async () => {
  const { clock, source, persistent, options, metrics, logger } = rig()
  const readGroup = async (): Promise<ConsumerGroup<bigint>> => {
    throw new Error('access denied')
  }
  const monitor = monitorSubscription({ ...options, source: Object.assign(source, { readGroup }) })
  monitor.wrap(persistent())
  await isOpen(metrics)
  await clock.advance(60_000)
  expect(monitor.status()).toMatchObject({ position: undefined, group: undefined })
  expect(metrics.gauges()).not.toHaveProperty('parked_messages')
  expect(
    logger.lines.filter((line) => line.includes('consumer group of orders cannot be read')),
  ).toHaveLength(1)
})

test('what was known of the group is withdrawn when the subscription has ended', async () => {
  const { clock, source, persistent, call, options, metrics } = rig()
  const monitor = monitorSubscription({
    ...options,
    source: Object.assign(source, { readGroup: async () => GROUP }),
  })
  const wrapped = monitor.wrap(persistent())
  wrapped.on('error', () => {})
  await isOpen(metrics)
  await clock.advance(1_000)
  call.fail(new Error('dropped'))
  await clock.settle()
  expect(monitor.status().group).toBeUndefined()
  expect(metrics.gauges()).not.toHaveProperty('parked_messages')
})

test('a catch-up subscription has no group to read', async () => {
  const { clock, source, subscription, options, metrics } = rig()
  const readGroup = vi.fn(async () => GROUP)
  const monitor = monitorSubscription({ ...options, source: Object.assign(source, { readGroup }) })
  monitor.wrap(subscription())
  await isOpen(metrics)
  await clock.advance(60_000)
  expect(readGroup).not.toHaveBeenCalled()
})
