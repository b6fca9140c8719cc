import { CheckpointBeyondHeadError, monitorSubscription, watchSubscription } from '@tidemark/core'
import { expect, test, vi } from 'vitest'
import { event } from './client-subscription.ts'
import { rig, take } from './rig.ts'

const outcomeOf = (loop: Promise<unknown>) =>
  loop.then(
    () => undefined,
    (error: unknown) => error,
  )

test('a checkpoint beyond the head ends the subscription with an error that says so', async () => {
  const { clock, source, call, subscription, options, metrics } = rig({ from: 500n })
  source.head = 120n
  const watch = watchSubscription(options)
  const wrapped = watch.wrap(subscription())
  const outcome = outcomeOf(take(wrapped[Symbol.asyncIterator](), 1))
  await clock.advance(6_000)
  const error = await outcome
  expect(error).toBeInstanceOf(CheckpointBeyondHeadError)
  expect(error).toMatchObject({ projection: 'mailer', from: '500', head: '120' })
  expect(String(error)).toMatch(
    /its checkpoint \(from\) is 500, but orders ends at 120.*right cluster.*backup/,
  )
  expect(watch.status()).toMatchObject({ state: 'dropped', dropReason: 'checkpoint_beyond_head' })
  await vi.waitFor(() =>
    expect(metrics.counters.get('subscription_drops{reason="checkpoint_beyond_head"}')).toBe(1),
  )
  await vi.waitFor(() => expect(call.isOpen, 'its call is ended').toBe(false))
  expect(clock.sleeping).toBe(0)
})

test('an error listener gets it too, and an empty store is beyond no checkpoint', async () => {
  const { clock, subscription, options } = rig({ from: 0n })
  const heard = vi.fn()
  monitorSubscription(subscription(), options).on('error', heard)
  await clock.advance(6_000)
  expect(heard).toHaveBeenCalledOnce()
  expect(String(heard.mock.calls[0]?.[0])).toContain('its checkpoint (from) is 0, but orders is empty')
})

test('any other iterable ends with it as well, though it waits', async () => {
  const { clock, source, options } = rig({ from: 500n })
  source.head = 120n
  const silent = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) }
  const watch = watchSubscription(options)
  const outcome = outcomeOf(take(watch.wrap(silent)[Symbol.asyncIterator](), 1))
  await clock.advance(6_000)
  expect(await outcome).toBeInstanceOf(CheckpointBeyondHeadError)
  expect(watch.status()).toMatchObject({ state: 'dropped', dropReason: 'checkpoint_beyond_head' })
})

test('a node that is a moment behind ends nothing', async () => {
  const { clock, source, call, subscription, options } = rig({ from: 500n })
  source.head = 499n
  const watch = watchSubscription(options)
  const iterator = watch.wrap(subscription())[Symbol.asyncIterator]()
  await clock.advance(1_000)
  source.head = 501n
  await clock.advance(60_000)
  call.send(event(501n))
  expect(await take(iterator, 1)).toHaveLength(1)
  source.head = 400n
  await clock.advance(60_000)
  expect(watch.status().state, 'a store that rewinds later is told by the server').toBe('live')
})

test('a head that cannot be read ends nothing, and is logged once', async () => {
  const { clock, source, subscription, options, logger } = rig({ from: 500n })
  source.headFailure = new Error('no connection')
  const watch = watchSubscription(options)
  void watch.wrap(subscription())[Symbol.asyncIterator]().next()
  await clock.advance(60_000)
  expect(watch.status().state).toBe('catching_up')
  expect(logger.lines).toEqual([
    'warn tidemark: the head of orders cannot be read, so lag and stalls are not known: no connection',
  ])
})

test('a filtered subscription is checked too: its checkpoint may stand above what its filter lets through', async () => {
  const { clock, source, subscription, options } = rig({ from: 500n })
  source.isFiltered = true
  source.head = 520n
  const watch = watchSubscription(options)
  void watch.wrap(subscription())[Symbol.asyncIterator]().next()
  await clock.advance(60_000)
  expect(watch.status()).toMatchObject({ state: 'catching_up', lagMs: undefined, isStalled: undefined })
  expect(source.headReads, 'what it is not needed for is not asked').toBe(1)
})

test('a filtered one is beyond the head only when something was appended below it: a log may end unseen', async () => {
  const { clock, source, subscription, options } = rig({ from: 500n })
  source.isFiltered = true
  source.head = 498n
  const watch = watchSubscription(options)
  const outcome = outcomeOf(take(watch.wrap(subscription())[Symbol.asyncIterator](), 1))
  await clock.advance(60_000)
  expect(watch.status().state).toBe('catching_up')
  source.head = 499n
  await clock.advance(6_000)
  expect(await outcome).toBeInstanceOf(CheckpointBeyondHeadError)
})

test('a filtered one of a log that is empty is beyond it', async () => {
  const { clock, source, subscription, options } = rig({ from: 500n })
  source.isFiltered = true
  const outcome = outcomeOf(take(monitorSubscription(subscription(), options)[Symbol.asyncIterator](), 1))
  await clock.advance(6_000)
  expect(await outcome).toBeInstanceOf(CheckpointBeyondHeadError)
})
