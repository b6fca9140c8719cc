import { PassThrough } from 'node:stream'
import { type Clock, type Metrics, monitorSubscription } from '@tidemark/core'
import { type ConsumerGroup, denseOrder, type SubscriptionSource } from '@tidemark/core/adapter'

interface JournalEvent {
  readonly revision: bigint
  readonly appendedAtMs: number
  readonly isGone?: boolean
}

class JournalSubscription extends PassThrough {
  constructor() {
    super({ objectMode: true })
  }
  async unsubscribe(): Promise<void> {}
}

class JournalGroup extends JournalSubscription {
  async ack(..._events: readonly JournalEvent[]): Promise<void> {}
  async nack(_action: string, _reason: string, ..._events: readonly JournalEvent[]): Promise<void> {}
}

const journal = (head: () => bigint): SubscriptionSource<bigint, JournalEvent> => ({
  name: 'journal',
  order: denseOrder,
  yieldsEveryPosition: true,
  describe: ({ revision, appendedAtMs, isGone }) => ({
    position: revision,
    appendedAtMs,
    hasEvent: isGone !== true,
  }),
  readHead: async () => head(),
  dropReason: () => 'consumer_too_slow',
})

const group: ConsumerGroup<bigint> = {
  isLive: true,
  checkpoint: 3n,
  lastKnown: 9n,
  parked: 2n,
  outstanding: 3,
  consumers: [
    { name: 'this process', inFlight: 1, isOwn: true },
    { name: 'another one', inFlight: 2, isOwn: false },
  ],
}

/**
 * Makes everything happen that an instrument of wrapped subscriptions tells of: `feed` has missed truncated events and
 * stalls, `importer` was dropped, `archive` was left, `invoices` is persistent. `wait` lets time pass on `clock`.
 */
export async function subscriptionScenario(
  metrics: Metrics,
  clock: Clock,
  wait: (ms: number) => Promise<void>,
): Promise<{ stop(): Promise<void> }> {
  const feed = new JournalSubscription()
  const importer = new JournalSubscription()
  const archive = new JournalSubscription()
  const invoices = new JournalGroup()
  const subscriptions = [feed, importer, archive, invoices]
  let head = 9n
  const source = journal(() => head)
  const opened: Promise<void>[] = []
  const options = (projection: string) => {
    let isOpen = (): void => {}
    opened.push(new Promise((resolve) => (isOpen = resolve)))
    // States are told once telemetry is open.
    return { projection, source, metrics, clock, telemetry: { projectionStateChanged: () => isOpen() } }
  }
  const monitor = monitorSubscription({ ...options('feed'), from: 3n })
  const consumed = consume(monitor.wrap(feed))
  importer.on('error', () => {})
  importer.on('data', () => {})
  monitorSubscription(options('importer')).wrap(importer)
  monitorSubscription(options('archive')).wrap(archive)
  monitorSubscription({
    ...options('invoices'),
    source: { ...source, readGroup: async () => group },
  }).wrap(invoices)
  for (const subscription of subscriptions) subscription.emit('caughtUp')
  await Promise.all(opened)

  const event = (revision: bigint): JournalEvent => ({ revision, appendedAtMs: clock.nowMs() - 20 })
  feed.write(event(4n))
  feed.write({ ...event(8n), isGone: true })
  feed.write(event(9n))
  importer.write(event(4n))
  archive.write(event(4n))
  await wait(2_000)
  for await (const _ of archive) break
  importer.emit('error', new Error('the consumer is too slow'))
  const parked = event(5n)
  await invoices.ack(event(4n))
  for (const action of ['park', 'retry', 'skip', 'stop']) await invoices.nack(action, 'no address', parked)
  head = 12n
  await wait(60_000)

  return {
    stop: async () => {
      feed.end()
      await consumed
      for (const subscription of subscriptions) subscription.destroy()
    },
  }
}

async function consume(subscription: AsyncIterable<JournalEvent>): Promise<void> {
  for await (const _ of subscription);
}
