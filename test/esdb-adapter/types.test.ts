import type {
  AllStreamResolvedEvent as DbClientAllEvent,
  ResolvedEvent as DbClientEvent,
  EventStoreDBClient,
  PersistentSubscriptionToStream,
} from '@eventstore/db-client'
import type {
  AllStreamResolvedEvent as KurrentAllEvent,
  KurrentDBClient,
  ResolvedEvent as KurrentEvent,
  PersistentSubscriptionToAll as KurrentPersistentSubscriptionToAll,
} from '@kurrent/kurrentdb-client'
import type { SubscriptionSource } from '@tidemark/core'
import {
  type EsdbEventSource,
  type EsdbPosition,
  type esdbCheckpoints,
  esdbConsumerGroup,
  esdbEvents,
  monitorPersistentSubscription,
} from '@tidemark/esdb-adapter'
import { expectTypeOf, test } from 'vitest'

test('both clients fit, and handlers get the events that they hand out', () => {
  expectTypeOf(ofDbClient).returns.toEqualTypeOf<EsdbEventSource<bigint, DbClientEvent>>()
  expectTypeOf(ofKurrent).returns.toEqualTypeOf<EsdbEventSource<bigint, KurrentEvent>>()
  expectTypeOf(ofAllDbClient).returns.toEqualTypeOf<EsdbEventSource<EsdbPosition, DbClientAllEvent>>()
  expectTypeOf(ofAllKurrent).returns.toEqualTypeOf<EsdbEventSource<EsdbPosition, KurrentAllEvent>>()
})

test('a function that makes either client fits too', () => {
  expectTypeOf(ofMadeDbClient).returns.toEqualTypeOf<EsdbEventSource<bigint, DbClientEvent>>()
  expectTypeOf(ofMadeKurrent).returns.toEqualTypeOf<EsdbEventSource<EsdbPosition, KurrentAllEvent>>()
  expectTypeOf<() => EventStoreDBClient>().toExtend<Parameters<typeof esdbCheckpoints>[0]['client']>()
  expectTypeOf<() => KurrentDBClient>().toExtend<Parameters<typeof esdbCheckpoints>[0]['client']>()
})

test('a wrapped persistent subscription has the type of the client', () => {
  expectTypeOf(mailsOfDbClient).returns.toEqualTypeOf<PersistentSubscriptionToStream>()
  expectTypeOf(mailsOfKurrent).returns.toEqualTypeOf<KurrentPersistentSubscriptionToAll>()
  expectTypeOf(groupOfDbClient).returns.toEqualTypeOf<SubscriptionSource<bigint, DbClientEvent>>()
})

test('both clients can keep checkpoints', () => {
  expectTypeOf<EventStoreDBClient>().toExtend<Parameters<typeof esdbCheckpoints>[0]['client']>()
  expectTypeOf<KurrentDBClient>().toExtend<Parameters<typeof esdbCheckpoints>[0]['client']>()
})

const mailsOfDbClient = (client: EventStoreDBClient) =>
  monitorPersistentSubscription({
    client,
    stream: 'orders',
    group: 'mailer',
  }).wrap(client.subscribeToPersistentSubscriptionToStream('orders', 'mailer'))
const mailsOfKurrent = (client: KurrentDBClient) =>
  monitorPersistentSubscription({
    client,
    group: 'mailer',
  }).wrap(client.subscribeToPersistentSubscriptionToAll('mailer'))
const groupOfDbClient = (client: EventStoreDBClient) =>
  esdbConsumerGroup({ client, stream: 'orders', group: 'mailer' })
const ofDbClient = (client: EventStoreDBClient) => esdbEvents({ client, stream: 'orders' })
const ofKurrent = (client: KurrentDBClient) => esdbEvents({ client, stream: 'orders' })
const ofMadeDbClient = (client: () => EventStoreDBClient) => esdbEvents({ client, stream: 'orders' })
const ofMadeKurrent = (client: () => KurrentDBClient) => esdbEvents({ client })
const ofAllDbClient = (client: EventStoreDBClient) => esdbEvents({ client })
const ofAllKurrent = (client: KurrentDBClient) => esdbEvents({ client })
