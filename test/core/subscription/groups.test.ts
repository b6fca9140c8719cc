import { type ConsumerGroup, watchSubscription } from '@tidemark/core'
import { expect, test, vi } from 'vitest'
import { rig, sparseOrder } from './rig.ts'

// What it shows, it shows once telemetry is open.
const isOpen = (metrics: { readonly observers: number }) =>
  vi.waitFor(() => expect(metrics.observers).toBe(1))

const GROUP: ConsumerGroup<bigint> = {
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
  const watch = watchSubscription({ ...options, source: Object.assign(source, { readGroup }) })
  watch.wrap(persistent())
  await isOpen(metrics)
  await clock.advance(1_000)
  expect(watch.status()).toMatchObject({ position: 5n, lagPositions: 4n, group: GROUP })
  expect(metrics.gauges()).toMatchObject({
    projection_position: 5,
    projection_lag_positions: 4,
    parked_messages: 2,
    outstanding_messages: 4,
    group_consumers: 3,
    consumer_messages_in_hand: 3,
  })
})

test('of sparse positions there is no lag in positions', async () => {
  const { clock, source, persistent, options, metrics } = rig()
  source.order = sparseOrder
  const watch = watchSubscription({
    ...options,
    source: Object.assign(source, { readGroup: async () => GROUP }),
  })
  watch.wrap(persistent())
  await isOpen(metrics)
  await clock.advance(1_000)
  expect(watch.status()).toMatchObject({ position: 5n, lagPositions: undefined })
})

test('a group that cannot be read is said once, and nothing is made up', async () => {
  const { clock, source, persistent, options, metrics, logger } = rig()
  const readGroup = async (): Promise<ConsumerGroup<bigint>> => {
    throw new Error('access denied')
  }
  const watch = watchSubscription({ ...options, source: Object.assign(source, { readGroup }) })
  watch.wrap(persistent())
  await isOpen(metrics)
  await clock.advance(60_000)
  expect(watch.status()).toMatchObject({ position: undefined, group: undefined })
  expect(metrics.gauges()).not.toHaveProperty('parked_messages')
  expect(
    logger.lines.filter((line) => line.includes('consumer group of orders cannot be read')),
  ).toHaveLength(1)
})

test('what was known of the group is withdrawn when the subscription has ended', async () => {
  const { clock, source, persistent, call, options, metrics } = rig()
  const watch = watchSubscription({
    ...options,
    source: Object.assign(source, { readGroup: async () => GROUP }),
  })
  const wrapped = watch.wrap(persistent())
  wrapped.on('error', () => {})
  await isOpen(metrics)
  await clock.advance(1_000)
  call.fail(new Error('dropped'))
  await clock.settle()
  expect(watch.status().group).toBeUndefined()
  expect(metrics.gauges()).not.toHaveProperty('parked_messages')
})

test('a catch-up subscription has no group to read', async () => {
  const { clock, source, subscription, options, metrics } = rig()
  const readGroup = vi.fn(async () => GROUP)
  const watch = watchSubscription({ ...options, source: Object.assign(source, { readGroup }) })
  watch.wrap(subscription())
  await isOpen(metrics)
  await clock.advance(60_000)
  expect(readGroup).not.toHaveBeenCalled()
})
