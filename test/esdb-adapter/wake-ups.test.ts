import { esdbEvents } from '@tidemark/esdb-adapter'
import { describe, expect, test } from 'vitest'
import { numbered, useServer } from './rig.ts'
import { isSimulated, restarting, steered } from './server-in-use.ts'

const esdb = useServer()

const own = esdb.own

const DROPS: readonly (readonly [string, () => Promise<unknown>])[] = [
  ['an end without an error', () => esdb.server.endCalls({ kind: 'subscription' })],
  ['a server that is busy', () => esdb.server.failCalls({ kind: 'subscription' }, 'server-busy')],
  ['a cut', () => esdb.server.cutConnections({ kind: 'subscription' })],
]
const RESTART = ['a restart', () => esdb.server.restart({ keepLog: true })] as const

describe.each([
  ['a stream', () => esdbEvents({ client: esdb.client, stream: own('orders') })],
  ['$all', () => esdbEvents({ client: esdb.client })],
  [
    'a filter',
    () => esdbEvents({ client: esdb.client, filter: { filterOn: 'streamName', prefixes: [own('orders')] } }),
  ],
])('wake-ups of %s', (_, open) => {
  test('come when they begin, and with an event', async () => {
    const { hint, stop } = listen(open())
    await hint()
    await untilOpen(1)
    const next = hint()
    let isHinted = false
    next.then(
      () => {
        isHinted = true
      },
      () => {},
    )
    await esdb.server.write(own('orders'), numbered(0, 0))
    // Where nobody says when the call is open, the first event may have come before it.
    while (!isSimulated && !isHinted) await esdb.server.write(own('orders'), numbered(0, 0))
    await next
    await stop()
  })

  const SUBSCRIBE_AGAIN = 'subscribe again after %s, and hint at what may have been missed'
  steered.each(DROPS)(SUBSCRIBE_AGAIN, (_drop, drop) => subscribeAgainAfter(drop))
  restarting.each([RESTART])(SUBSCRIBE_AGAIN, (_drop, restart) => subscribeAgainAfter(restart))

  async function subscribeAgainAfter(drop: () => Promise<unknown>): Promise<void> {
    const { hint, stop } = listen(open())
    await hint()
    for (let round = 0; round < 2; round++) {
      await untilOpen(1)
      await drop()
      await hint()
      if (isSimulated) expect((await esdb.server.counters()).open.subscription).toBeLessThanOrEqual(1)
    }
    await stop()
  }

  test('end with their signal, and leave no call open', async () => {
    const { hint, stop } = listen(open())
    await hint()
    await stop()
    await untilOpen(0)
  })
})

steered('while events come now and then, one subscription stays', async () => {
  const { hint, stop } = listen(esdbEvents({ client: esdb.client }))
  await hint()
  await untilOpen(1)
  const { received } = await esdb.server.counters()
  for (let n = 0; n < 20; n++) {
    await esdb.server.write(own('orders'), numbered(n, n))
    await hint()
  }
  expect((await esdb.server.counters()).received.subscription).toBe(received.subscription)
  await stop()
})

steered(
  'while many events come, a call is ended, and the next one begins a second later at the earliest',
  async () => {
    const listening = new AbortController()
    const heard = hear(esdbEvents({ client: esdb.client }), listening.signal)
    await untilOpen(1)
    const received = async () => (await esdb.server.counters()).received.subscription
    const before = await received()
    const begunMs = performance.now()
    for (let call = 1; call <= 3; call++) {
      await expect
        .poll(
          async () => {
            await esdb.server.write(own('orders'), numbered(0, 99))
            return await received()
          },
          { timeout: 40_000, interval: 10 },
        )
        .toBeGreaterThanOrEqual(before + call)
    }
    expect((await received()) - before).toBeLessThanOrEqual(1 + (performance.now() - begunMs) / 1_000)
    listening.abort()
    await heard
  },
)

steered('wake-ups reject with what no retry mends', async () => {
  await esdb.server.refuseCalls({ kind: 'subscription' }, 'access-denied', 1)
  const { hint } = listen(esdbEvents({ client: esdb.client }))
  await expect(hint()).rejects.toMatchObject({ type: 'access-denied' })
})

function listen(source: { wakeUps?(signal: AbortSignal): AsyncIterable<unknown> }) {
  const listening = new AbortController()
  const hints = source.wakeUps?.(listening.signal)[Symbol.asyncIterator]()
  if (hints === undefined) throw new Error('expected wake-ups')
  return {
    hint: async (): Promise<void> => {
      expect(await hints.next()).toMatchObject({ done: false })
    },
    stop: async (): Promise<void> => {
      const rest = hints.next()
      listening.abort()
      while (!(await rest).done && !(await hints.next()).done);
    },
  }
}

async function hear(
  source: { wakeUps?(signal: AbortSignal): AsyncIterable<unknown> },
  signal: AbortSignal,
): Promise<void> {
  for await (const _ of source.wakeUps?.(signal) ?? []);
}

/** Only the simulated server says how many calls it has. */
async function untilOpen(calls: number): Promise<void> {
  if (!isSimulated) return
  await expect
    .poll(async () => (await esdb.server.counters()).open.subscription, { timeout: 40_000, interval: 10 })
    .toBe(calls)
}
