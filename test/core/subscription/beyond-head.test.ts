import { CheckpointBeyondHeadError, monitorHandler, monitorSubscription } from '@tidemark/core'
import { describe, expect, test, vi } from 'vitest'
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
  const monitor = monitorSubscription(options)
  const wrapped = monitor.wrap(subscription())
  const outcome = outcomeOf(take(wrapped[Symbol.asyncIterator](), 1))
  await clock.advance(6_000)
  const error = await outcome
  expect(error).toBeInstanceOf(CheckpointBeyondHeadError)
  expect(error).toMatchObject({ projection: 'mailer', from: '500', head: '120' })
  expect(String(error)).toMatch(
    /its checkpoint \(from\) is 500, but orders ends at 120.*right cluster.*backup/,
  )
  expect(monitor.status()).toMatchObject({ state: 'dropped', dropReason: 'checkpoint_beyond_head' })
  await vi.waitFor(() =>
    expect(metrics.counters.get('subscription_drops{reason="checkpoint_beyond_head"}')).toBe(1),
  )
  await vi.waitFor(() => expect(call.isOpen, 'its call is ended').toBe(false))
  expect(clock.sleeping).toBe(0)
})

test('what a generator still throws after it was ended ends nothing else', async () => {
  const { clock, source, options } = rig({ from: 500n })
  source.head = 120n
  const monitor = monitorSubscription(options)
  const iterator = monitor
    .wrap(
      (async function* () {
        yield event(501n)
        throw new Error('its connection is closed')
      })(),
    )
    [Symbol.asyncIterator]()
  await iterator.next()
  await clock.advance(6_000)
  expect(await outcomeOf(iterator.next())).toBeInstanceOf(CheckpointBeyondHeadError)
  await clock.settle()
})

test('an error listener gets it too, and an empty store is beyond no checkpoint', async () => {
  const { clock, subscription, options } = rig({ from: 0n })
  const heard = vi.fn()
  monitorSubscription(options).wrap(subscription()).on('error', heard)
  await clock.advance(6_000)
  expect(heard).toHaveBeenCalledOnce()
  expect(String(heard.mock.calls[0]?.[0])).toContain('its checkpoint (from) is 0, but orders is empty')
})

test('any other iterable ends with it as well, though it waits', async () => {
  const { clock, source, options } = rig({ from: 500n })
  source.head = 120n
  const silent = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) }
  const monitor = monitorSubscription(options)
  const outcome = outcomeOf(take(monitor.wrap(silent)[Symbol.asyncIterator](), 1))
  await clock.advance(6_000)
  expect(await outcome).toBeInstanceOf(CheckpointBeyondHeadError)
  expect(monitor.status()).toMatchObject({ state: 'dropped', dropReason: 'checkpoint_beyond_head' })
})

test('any other iterable ends with it also where its consumer is busy, or has had events', async () => {
  const { clock, source, options } = rig({ from: 500n })
  source.head = 120n
  let asked = 0
  const some = {
    [Symbol.asyncIterator]: () => ({ next: async () => ({ value: event(501n + BigInt(asked++)) }) }),
  }
  const iterator = monitorSubscription(options)
    .wrap(some as unknown as AsyncIterable<ReturnType<typeof event>>)
    [Symbol.asyncIterator]()
  await iterator.next()
  await clock.settle()
  expect(await outcomeOf(iterator.next())).toBeInstanceOf(CheckpointBeyondHeadError)
})

test('a handler alone has no subscription that could end: the log says it, once', async () => {
  const { clock, source, options, logger } = rig({ from: 500n })
  source.head = 120n
  monitorHandler(options).wrap(() => {})
  await clock.advance(60_000)
  expect(logger.lines).toEqual([
    expect.stringMatching(/^error .*"mailer": its checkpoint \(from\) is 500, but orders ends at 120/),
  ])
})

describe('a busy store that has grown past the checkpoint', () => {
  test('before a second reading is told of, with where it ended', async () => {
    const { clock, source, call, subscription, options } = rig({ from: 500n })
    const heads = [120n, 510n]
    source.readHead = async () => heads.shift() ?? 520n
    const monitor = monitorSubscription(options)
    const outcome = outcomeOf(take(monitor.wrap(subscription())[Symbol.asyncIterator](), 1))
    await clock.settle()
    call.send(event(501n))
    const error = await outcome
    expect(error).toMatchObject({ from: '500', head: '120' })
    expect(String(error)).toMatch(
      /orders ended at 120 when the subscription began, and has grown past it since/,
    )
  })

  test('is told of though events came before the first reading', async () => {
    const { clock, source, call, subscription, options } = rig({ from: 500n })
    let answer = () => {}
    source.headGate = new Promise((resolve) => {
      answer = resolve
    })
    source.head = 120n
    const iterator = monitorSubscription(options).wrap(subscription())[Symbol.asyncIterator]()
    call.send(event(501n), event(502n))
    await take(iterator, 2)
    answer()
    await clock.settle()
    expect(await outcomeOf(iterator.next())).toBeInstanceOf(CheckpointBeyondHeadError)
  })

  test('is told of where an event at or below the checkpoint comes, whatever the head is by then', async () => {
    const { clock, source, call, subscription, options } = rig({ from: 500n })
    let answer = () => {}
    source.headGate = new Promise((resolve) => {
      answer = resolve
    })
    source.head = 900n
    const iterator = monitorSubscription(options).wrap(subscription())[Symbol.asyncIterator]()
    call.send(event(500n))
    await take(iterator, 1)
    answer()
    await clock.settle()
    const error = await outcomeOf(iterator.next())
    expect(error).toMatchObject({ code: 'TIDEMARK_CHECKPOINT_BEYOND_HEAD', head: '500' })
    expect(String(error)).toMatch(/an event at 500 of orders has come/)
  })

  test('is looked at again soon while its leader cannot be asked', async () => {
    const { clock, source, subscription, options, logger } = rig({ from: 500n, headIntervalMs: 60_000 })
    source.headFailure = new Error('an election')
    const monitor = monitorSubscription(options)
    const outcome = outcomeOf(take(monitor.wrap(subscription())[Symbol.asyncIterator](), 1))
    await clock.advance(2_500)
    source.headFailure = undefined
    source.head = 120n
    await clock.advance(1_000)
    expect(await outcome).toBeInstanceOf(CheckpointBeyondHeadError)
    expect(logger.lines.filter((line) => line.includes('from the leader'))).toHaveLength(1)
  })
})

test('a node that is behind its leader ends nothing', async () => {
  const { clock, source, call, subscription, options } = rig({ from: 500n })
  source.head = 499n
  source.leaderHead = 500n
  const monitor = monitorSubscription(options)
  const iterator = monitor.wrap(subscription())[Symbol.asyncIterator]()
  await clock.advance(1_000)
  source.head = 501n
  await clock.advance(60_000)
  call.send(event(501n))
  expect(await take(iterator, 1)).toHaveLength(1)
  source.head = 400n
  source.leaderHead = undefined
  await clock.advance(60_000)
  expect(monitor.status().state, 'a store that rewinds later is told by the server').toBe('live')
})

test('a read that was cut short, which looks like an empty store, ends nothing', async () => {
  const { clock, source, subscription, options } = rig({ from: 500n })
  const heads = [undefined, 510n]
  source.readHead = async () => heads.shift() ?? 510n
  const monitor = monitorSubscription(options)
  void monitor.wrap(subscription())[Symbol.asyncIterator]().next()
  await clock.advance(60_000)
  expect(monitor.status().state).toBe('catching_up')
})

test('a head that cannot be read ends nothing, and is logged once', async () => {
  const { clock, source, subscription, options, logger } = rig({ from: 500n })
  source.headFailure = new Error('no connection')
  const monitor = monitorSubscription(options)
  void monitor.wrap(subscription())[Symbol.asyncIterator]().next()
  await clock.advance(60_000)
  expect(monitor.status().state).toBe('catching_up')
  expect(logger.lines.sort()).toEqual([
    'warn tidemark: the head of orders cannot be read from the leader, so a checkpoint beyond it is not noticed yet: no connection',
    'warn tidemark: the head of orders cannot be read, so lag and stalls are not known: no connection',
  ])
})

test('a filtered subscription is checked too: its checkpoint may stand above what its filter lets through', async () => {
  const { clock, source, subscription, options } = rig({ from: 500n })
  source.isFiltered = true
  source.head = 520n
  const monitor = monitorSubscription(options)
  void monitor.wrap(subscription())[Symbol.asyncIterator]().next()
  await clock.advance(60_000)
  expect(monitor.status()).toMatchObject({ state: 'catching_up', lagMs: undefined, isStalled: undefined })
  expect(source.headReads, 'what it is not needed for is not asked').toBe(1)
})

describe('a filtered one is beyond the head only when something was appended below it: a log may end unseen', () => {
  async function filtered({ canReadNext }: { readonly canReadNext: boolean }) {
    const parts = rig({ from: 500n })
    const { clock, source, subscription, options } = parts
    source.isFiltered = true
    if (!canReadNext) Object.assign(source, { readNext: undefined })
    source.head = 498n
    const monitor = monitorSubscription(options)
    const outcome = outcomeOf(take(monitor.wrap(subscription())[Symbol.asyncIterator](), 1))
    await clock.advance(60_000)
    expect(monitor.status().state).toBe('catching_up')
    return { ...parts, monitor, outcome }
  }

  test.each([
    ['the next event', true],
    ['the head', false],
  ])('which %s says', async (_, canReadNext) => {
    const { clock, source, outcome } = await filtered({ canReadNext })
    source.log = [498n, 499n]
    source.head = 499n
    await clock.advance(6_000)
    expect(await outcome).toBeInstanceOf(CheckpointBeyondHeadError)
  })

  test('also where the head has passed it since', async () => {
    const { clock, source, outcome } = await filtered({ canReadNext: true })
    source.log = [498n, 499n, 500n, 501n]
    source.head = 501n
    await clock.advance(6_000)
    const error = await outcome
    expect(error).toMatchObject({ from: '500', head: '499' })
    expect(String(error)).toMatch(/an event was appended at 499 since/)
  })

  test.each([
    ['the next event', true],
    ['the head', false],
  ])('and is not where %s stands above', async (_, canReadNext) => {
    const { clock, source, monitor } = await filtered({ canReadNext })
    source.log = [498n, 501n]
    source.head = 501n
    await clock.advance(60_000)
    expect(monitor.status().state).toBe('catching_up')
  })
})

test('a filtered one of a log that is empty is beyond it', async () => {
  const { clock, source, subscription, options } = rig({ from: 500n })
  source.isFiltered = true
  const outcome = outcomeOf(
    take(monitorSubscription(options).wrap(subscription())[Symbol.asyncIterator](), 1),
  )
  await clock.advance(6_000)
  expect(await outcome).toBeInstanceOf(CheckpointBeyondHeadError)
})
