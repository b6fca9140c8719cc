import { monitorSubscription } from '@tidemark/core'
import { promClientMetrics } from '@tidemark/core/prom-client'
import {
  type EsdbEvent,
  type EsdbGroupClient,
  type EsdbPosition,
  esdbConsumerGroup,
  esdbEvents,
  monitorPersistentSubscription,
} from '@tidemark/esdb-adapter'
import { Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import { type Client, client as clientModule } from '../client.ts'
import { endOfAll } from '../own-names.ts'
import { never, numbered, useServer } from '../rig.ts'

const esdb = useServer()
const own = esdb.own
const POLLING = { timeout: 40_000, interval: 50 } as const

describe('the group of a persistent subscription to a stream', () => {
  test('says how far it has come, what is parked, and who has what', async () => {
    await group()
    await esdb.server.write(own('orders'), numbered(0, 9))
    const mine = await consume(esdb.client, async (event, subscription) => {
      const n = numberOf(event)
      if (n === 3) await subscription.nack('park', 'no address', event as never)
      else if (n < 6) await subscription.ack(event as never)
    })
    const source = esdbConsumerGroup({ client: groupClient(), stream: own('orders'), group: own('mailer') })
    await expect
      .poll(() => source.readGroup?.(never()), POLLING)
      .toMatchObject({
        isLive: true,
        checkpoint: 5n,
        lastKnown: 9n,
        parked: 1n,
        outstanding: 4,
        consumers: [{ inFlight: 4, isOwn: true }],
      })
    await mine.unsubscribe()
  })

  test('tells the consumers of this process from those of others', async () => {
    await group()
    const another = esdb.connect()
    const theirs = await consume(another, async () => {})
    const mine = await consume(esdb.client, async () => {})
    await esdb.server.write(own('orders'), numbered(0, 3))
    const source = esdbConsumerGroup({ client: groupClient(), stream: own('orders'), group: own('mailer') })
    await expect
      .poll(async () => {
        const consumers = (await source.readGroup?.(never()))?.consumers ?? []
        return consumers
          .map(({ isOwn, inFlight }) => ({ isOwn, has: inFlight > 0 }))
          .sort((a, b) => +a.isOwn - +b.isOwn)
      }, POLLING)
      .toEqual([
        { isOwn: false, has: true },
        { isOwn: true, has: true },
      ])
    await theirs.unsubscribe()
    await mine.unsubscribe()
  })

  test('that there is none of is an error', async () => {
    const source = esdbConsumerGroup({ client: groupClient(), stream: own('orders'), group: own('nobody') })
    await expect(source.readGroup?.(never())).rejects.toMatchObject({
      type: 'persistent-subscription-does-not-exist',
    })
  })
})

test('the group of a persistent subscription to $all has positions of $all', async () => {
  const startFrom = await endOfAll(esdb.client)
  const filter = clientModule.streamNameFilter({ prefixes: [own('orders')] })
  await esdb.client.createPersistentSubscriptionToAll(own('mailer'), { ...settings(), startFrom }, { filter })
  await esdb.server.write(own('orders'), numbered(0, 4))
  const subscription = esdb.client.subscribeToPersistentSubscriptionToAll(own('mailer'))
  subscription.on('error', () => {})
  const positions: (EsdbPosition | undefined)[] = []
  subscription.on('data', (event) => {
    positions.push(event.event?.position)
    void subscription.ack(event)
  })
  await expect.poll(() => positions.length, POLLING).toBe(5)
  const source = esdbConsumerGroup({ client: groupClient(), group: own('mailer') })
  const all = esdbEvents({ client: esdb.client })
  let last: EsdbPosition | undefined
  await expect
    .poll(async () => {
      const { checkpoint } = (await source.readGroup?.(never())) ?? {}
      last = checkpoint
      return checkpoint && all.order.compare(checkpoint, positions.at(-1) as EsdbPosition)
    }, POLLING)
    .toBeGreaterThanOrEqual(0)
  expect(all.order.format(last as EsdbPosition)).toMatch(/^[0-9]+\/[0-9]+$/)
  await subscription.unsubscribe()
})

test('a group of $all whose checkpoint stands above the last event that it knows has no lag below zero', async () => {
  const startFrom = await endOfAll(esdb.client)
  const filter = clientModule.streamNameFilter({ prefixes: [own('orders')] })
  await esdb.client.createPersistentSubscriptionToAll(own('mailer'), { ...settings(), startFrom }, { filter })
  const source = esdbConsumerGroup({ client: groupClient(), group: own('mailer') })
  const monitor = monitorSubscription({ projection: 'mailer', source, headIntervalMs: 50 })
  const subscription = monitor.wrap(esdb.client.subscribeToPersistentSubscriptionToAll(own('mailer')))
  await esdb.server.write(own('orders'), numbered(0, 0))
  for await (const event of subscription) {
    await subscription.ack(event as never)
    await esdb.server.write(own('other'), numbered(1, 5))
    await expect
      .poll(() => {
        const { checkpoint, lastKnown } = monitor.status().group ?? {}
        return checkpoint && lastKnown && checkpoint.commit > lastKnown.commit
      }, POLLING)
      .toBe(true)
    break
  }
  expect(monitor.status()).toMatchObject({ lagPositions: undefined, skipped: {} })
})

test('monitorPersistentSubscription shows the group in metrics, and gives back the same subscription', async () => {
  await group()
  await esdb.server.write(own('orders'), numbered(0, 9))
  const registry = new Registry()
  const plain = esdb.client.subscribeToPersistentSubscriptionToStream(own('orders'), own('mailer'))
  const subscription = monitorPersistentSubscription({
    client: groupClient(),
    stream: own('orders'),
    group: own('mailer'),
    metrics: promClientMetrics({ registry }),
    headIntervalMs: 100,
  }).wrap(plain)
  expect(subscription).toBe(plain)
  subscription.on('data', (event: EsdbEvent) => {
    const n = numberOf(event)
    if (n === 3) void subscription.nack('park', 'no address', event as never)
    else if (n < 6) void subscription.ack(event as never)
  })
  await expect
    .poll(() => shown(registry), POLLING)
    .toMatchObject({
      projection_position: 5,
      projection_lag_positions: 4,
      parked_messages: 1,
      outstanding_messages: 4,
      group_consumers: 1,
      consumer_messages_in_hand: 4,
      'acknowledged_events{action="ack"}': 5,
      'acknowledged_events{action="park"}': 1,
    })
  await subscription.unsubscribe()
  subscription.destroy()
  await expect.poll(() => shown(registry), POLLING).not.toHaveProperty('parked_messages')
})

test('a link whose event is gone is one skipped event, however often it is retried before it is parked', async () => {
  await esdb.server.writeLink(own('orders'), own('deleted'), 0n)
  await group({ resolveLinkTos: true })
  const monitor = monitorSubscription({
    projection: 'mailer',
    source: esdbConsumerGroup({ client: groupClient(), stream: own('orders'), group: own('mailer') }),
  })
  const subscription = monitor.wrap(
    esdb.client.subscribeToPersistentSubscriptionToStream(own('orders'), own('mailer')),
  )
  for await (const delivery of subscription) {
    const { retryCount } = delivery
    await subscription.nack(retryCount < 3 ? 'retry' : 'park', 'no event', delivery)
    if (retryCount === 3) break
  }
  expect(monitor.status().deliveredEvents).toBe(4)
  expect(monitor.status().skipped).toEqual({ unknown_event: 1n })
})

test.each([
  ['an event', false],
  ['a link to one', true],
])(
  'a parked message that is replayed stands where %s stood before, not where it was parked',
  async (_, isLink) => {
    if (isLink) {
      await esdb.server.write(own('targets'), numbered(0, 9))
      for (let n = 0n; n < 5n; n++) await esdb.server.writeLink(own('orders'), own('targets'), n + 5n)
    } else await esdb.server.write(own('orders'), numbered(0, 4))
    await group({ resolveLinkTos: isLink })
    const lines: string[] = []
    const log = (line: string): void => void lines.push(line)
    const monitor = monitorSubscription({
      projection: 'mailer',
      source: esdbConsumerGroup({ client: groupClient(), stream: own('orders'), group: own('mailer') }),
      logger: { info: log, warn: log, error: log },
    })
    const subscription = monitor.wrap(
      esdb.client.subscribeToPersistentSubscriptionToStream(own('orders'), own('mailer')),
    )
    let parked = 0
    for await (const delivery of subscription) {
      const isFourth = numberOf(delivery) === (isLink ? 8 : 3)
      if (!isFourth) await subscription.ack(delivery)
      else if (parked++ === 0) {
        await subscription.nack('park', 'no address', delivery)
        await expect
          .poll(async () => {
            const [info] = await esdb.client.listPersistentSubscriptionsToStream(own('orders'))
            return Number(info?.stats.parkedMessageCount)
          }, POLLING)
          .toBe(1)
        await esdb.client.replayParkedMessagesToStream(own('orders'), own('mailer'))
      } else {
        await subscription.nack('skip', 'no address', delivery)
        break
      }
    }
    await expect.poll(() => lines.length, POLLING).toBe(2)
    for (const line of lines)
      expect(line).toContain(`gave up 1 event at 3 of ${own('orders')}::${own('mailer')}`)
  },
)

/** Writes its checkpoint with every event. */
function settings() {
  return clientModule.persistentSubscriptionToAllSettingsFromDefaults({
    startFrom: 'start',
    checkPointLowerBound: 1,
    checkPointUpperBound: 1,
    checkPointAfter: 50,
    readBatchSize: 20,
    historyBufferSize: 40,
  })
}

async function group({ resolveLinkTos = false } = {}): Promise<void> {
  await esdb.client.createPersistentSubscriptionToStream(own('orders'), own('mailer'), {
    ...settings(),
    resolveLinkTos,
    startFrom: 'start',
  } as never)
}

async function consume(
  client: Client,
  handle: (
    event: EsdbEvent,
    subscription: ReturnType<typeof client.subscribeToPersistentSubscriptionToStream>,
  ) => Promise<void>,
) {
  const subscription = client.subscribeToPersistentSubscriptionToStream(own('orders'), own('mailer'))
  subscription.on('error', () => {})
  const confirmed = new Promise<void>((resolve) => subscription.on('confirmation', resolve))
  subscription.on('data', (event: EsdbEvent) => void handle(event, subscription))
  await confirmed
  return subscription
}

function groupClient(): EsdbGroupClient {
  return esdb.client as EsdbGroupClient
}

function numberOf({ event }: EsdbEvent): number {
  return Number((event?.data as { n?: number } | undefined)?.n)
}

async function shown(registry: Registry): Promise<Record<string, number>> {
  const values: Record<string, number> = {}
  for (const line of (await registry.metrics()).split('\n')) {
    const [, name, action, value] =
      /^martend_async_daemon_(\w+)\{projection_name="orders-[^:]+::mailer-[^"]+"(?:,action="(\w+)")?\} (\S+)$/.exec(
        line,
      ) ?? []
    if (name) values[action ? `${name}{action="${action}"}` : name] = Number(value)
  }
  return values
}
