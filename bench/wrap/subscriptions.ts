import { Readable } from 'node:stream'
import type { SubscriptionSource } from '@tidemark/core'
import { denseOrder } from '@tidemark/core/adapter'
import { esdbEvents } from '@tidemark/esdb-adapter'

/** Something to subscribe to: with a client, or without any. */
export interface Subscribable<Item> {
  readonly source: SubscriptionSource<bigint, Item>
  subscribe(): AsyncIterable<Item> & { unsubscribe?(): Promise<void> }
  dispose(): Promise<void>
}

export const SUBSCRIBED = ['@eventstore/db-client', '@kurrent/kurrentdb-client', 'a Readable'] as const
export type Subscribed = (typeof SUBSCRIBED)[number]
export const STREAM = 'orders'

/** One client a process: the two clash on a global. */
export async function subscribable(
  name: Subscribed,
  port: number,
  events: number,
): Promise<Subscribable<unknown>> {
  if (name === 'a Readable') return inProcess(events)
  const address = `127.0.0.1:${port}?tls=false&defaultDeadline=60000`
  if (name === '@eventstore/db-client') {
    const { EventStoreDBClient } = await import(name)
    const client = EventStoreDBClient.connectionString(`esdb://${address}`)
    return {
      source: esdbEvents({ client, stream: STREAM }) as SubscriptionSource<bigint, unknown>,
      subscribe: () => client.subscribeToStream(STREAM),
      dispose: () => client.dispose(),
    }
  }
  const { KurrentDBClient } = await import(name)
  const client = KurrentDBClient.connectionString(`kurrentdb://${address}`)
  return {
    source: esdbEvents({ client, stream: STREAM }) as SubscriptionSource<bigint, unknown>,
    subscribe: () => client.subscribeToStream(STREAM),
    dispose: () => client.dispose(),
  }
}

/** Objects that are there already, as the clients make them: what is left is the stream itself. */
function inProcess(events: number): Subscribable<unknown> {
  const created = new Date()
  const items = Array.from({ length: events }, (_, n) => ({ event: { revision: BigInt(n), created } }))
  const source: SubscriptionSource<bigint, (typeof items)[number]> = {
    name: STREAM,
    order: denseOrder,
    yieldsEveryPosition: true,
    describe: ({ event }) => ({
      position: event.revision,
      appendedAtMs: event.created.getTime(),
      hasEvent: true,
    }),
    readHead: async () => BigInt(events - 1),
    dropReason: () => 'unknown',
  }
  const subscribe = (): Readable => {
    let next = 0
    return new Readable({
      objectMode: true,
      read() {
        while (next < items.length && this.push(items[next++]));
      },
    })
  }
  return { source: source as SubscriptionSource<bigint, unknown>, subscribe, dispose: async () => {} }
}
