import type {
  AllStreamSubscription as DbClientAll,
  AllStreamResolvedEvent as DbClientAllEvent,
  ResolvedEvent as DbClientEvent,
  PersistentSubscriptionToStream as DbClientGroup,
  StreamSubscription as DbClientStream,
  EventStoreDBClient,
} from '@eventstore/db-client'
import type {
  AllStreamSubscription as KurrentAll,
  AllStreamResolvedEvent as KurrentAllEvent,
  KurrentDBClient,
  ResolvedEvent as KurrentEvent,
  Filter as KurrentFilter,
  PersistentSubscriptionToStream as KurrentGroup,
  StreamSubscription as KurrentStream,
} from '@kurrent/kurrentdb-client'
import { monitorHandler, monitorSubscription, resubscribing } from '@tidemark/core'
import { esdbEvents } from '@tidemark/esdb-adapter'
import { expectTypeOf, test } from 'vitest'

// Never called: what they return is all that is looked at.
const projection = 'mailer'

function ofDbClient(client: EventStoreDBClient) {
  const all = esdbEvents({ client })
  const stream = esdbEvents({ client, stream: 'orders' })
  return {
    all: monitorSubscription({ projection, source: all }).wrap(client.subscribeToAll()),
    stream: monitorSubscription({
      projection,
      source: stream,
      from: 4n,
    }).wrap(client.subscribeToStream('orders', { fromRevision: 4n })),
    resubscribingAll: resubscribing((fromPosition) => client.subscribeToAll({ fromPosition }), {
      projection,
      source: all,
    }),
    resubscribing: resubscribing((fromRevision) => client.subscribeToStream('orders', { fromRevision }), {
      projection,
      source: stream,
      from: 4n,
    }),
    group: monitorSubscription({
      projection,
      source: stream,
    }).wrap(client.subscribeToPersistentSubscriptionToStream('orders', 'mailers')),
  }
}

function ofKurrent(client: KurrentDBClient) {
  const all = esdbEvents({ client })
  const stream = esdbEvents({ client, stream: 'orders' })
  const from = { commit: 7n, prepare: 7n }
  const monitor = monitorSubscription({ projection, source: all, from })
  const filter: KurrentFilter = { filterOn: 'streamName', prefixes: ['order-'], checkpointInterval: 1 }
  return {
    all: monitor.wrap(client.subscribeToAll({ fromPosition: from, filter: monitor.filter(filter) })),
    stream: monitorSubscription({
      projection,
      source: stream,
      from: 'start',
    }).wrap(client.subscribeToStream('orders', { fromRevision: 'start' })),
    resubscribingAll: resubscribing(
      (fromPosition, each) => client.subscribeToAll({ fromPosition, filter: each.filter(filter) }),
      { projection, source: all, from },
    ),
    resubscribing: resubscribing((fromRevision) => client.subscribeToStream('orders', { fromRevision }), {
      projection,
      source: stream,
      traceContext: ({ event }) => ({ traceparent: event?.id ?? '' }),
    }),
    group: monitorSubscription({
      projection,
      source: stream,
    }).wrap(client.subscribeToPersistentSubscriptionToStream('orders', 'mailers')),
    handler: monitorHandler({ projection, source: stream }).wrap(async (_: KurrentEvent) => 1),
  }
}

type Yielded<S> = S extends AsyncIterable<infer E> ? E : never

test("a wrapped subscription has its client's own type, and yields its own events", () => {
  type OfDbClient = ReturnType<typeof ofDbClient>
  expectTypeOf<OfDbClient['all']>().toEqualTypeOf<DbClientAll>()
  expectTypeOf<Yielded<OfDbClient['all']>>().toEqualTypeOf<DbClientAllEvent>()
  expectTypeOf<OfDbClient['stream']>().toEqualTypeOf<DbClientStream>()
  expectTypeOf<Yielded<OfDbClient['stream']>>().toEqualTypeOf<DbClientEvent>()
  expectTypeOf<OfDbClient['group']>().toEqualTypeOf<DbClientGroup>()
  expectTypeOf<Yielded<OfDbClient['resubscribingAll']>>().toEqualTypeOf<DbClientAllEvent>()
  expectTypeOf<Yielded<OfDbClient['resubscribing']>>().toEqualTypeOf<DbClientEvent>()

  type OfKurrent = ReturnType<typeof ofKurrent>
  expectTypeOf<OfKurrent['all']>().toEqualTypeOf<KurrentAll>()
  expectTypeOf<Yielded<OfKurrent['all']>>().toEqualTypeOf<KurrentAllEvent>()
  expectTypeOf<OfKurrent['stream']>().toEqualTypeOf<KurrentStream>()
  expectTypeOf<Yielded<OfKurrent['stream']>>().toEqualTypeOf<KurrentEvent>()
  expectTypeOf<OfKurrent['group']>().toEqualTypeOf<KurrentGroup>()
  expectTypeOf<Yielded<OfKurrent['resubscribingAll']>>().toEqualTypeOf<KurrentAllEvent>()
  expectTypeOf<Yielded<OfKurrent['resubscribing']>>().toEqualTypeOf<KurrentEvent>()
  expectTypeOf<OfKurrent['handler']>().toEqualTypeOf<(item: KurrentEvent) => Promise<number>>()
})
