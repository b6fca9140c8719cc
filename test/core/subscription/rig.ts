import type {
  Labels,
  Metrics,
  MonitorOptions,
  PositionOrder,
  SubscriptionSource,
  Telemetry,
} from '@tidemark/core'
import { denseOrder } from '@tidemark/core/adapter'
import { FakeClock } from '../../support/fake-clock.ts'
import {
  Call,
  ClientSubscription,
  PersistentClientSubscription,
  type TestEvent,
} from './client-subscription.ts'

/** Only ordered, as the offsets of `$all` are. */
export const sparseOrder: PositionOrder<bigint> = {
  compare: denseOrder.compare,
  format: denseOrder.format,
  parse: denseOrder.parse,
  approximate: Number,
}

/** What passes by itself. */
export class Unavailable extends Error {}

/** A store that says what the test tells it to. */
class TestSource implements SubscriptionSource<bigint, TestEvent> {
  readonly name = 'orders'
  order: PositionOrder<bigint> = denseOrder
  yieldsEveryPosition = true
  isFiltered = false
  head: bigint | undefined
  /** What the leader says, where that differs. */
  leaderHead: bigint | undefined
  headFailure: Error | undefined
  /** What stands in the log, for `readNext`. */
  log: bigint[] = []
  headReads = 0
  /** How many reads of the head were on their way at once. */
  mostReadsAtOnce = 0
  /** Holds reads back. */
  headGate: Promise<void> | undefined
  #readsAtOnce = 0

  describe({ position, appendedAtMs, hasEvent }: TestEvent) {
    return { position, appendedAtMs, hasEvent }
  }

  async readHead(_: AbortSignal, how?: { readonly requiresLeader: boolean }): Promise<bigint | undefined> {
    this.headReads++
    this.mostReadsAtOnce = Math.max(this.mostReadsAtOnce, ++this.#readsAtOnce)
    try {
      await this.headGate
      if (this.headFailure) throw this.headFailure
      return how?.requiresLeader ? (this.leaderHead ?? this.head) : this.head
    } finally {
      this.#readsAtOnce--
    }
  }

  async readNext(after: bigint): Promise<bigint | undefined> {
    return this.log.find((position) => position > after)
  }

  dropReason(error: unknown): string {
    return error instanceof Error && error.message.includes('slow') ? 'consumer_too_slow' : 'unavailable'
  }

  isTransient(error: unknown): boolean {
    return error instanceof Unavailable
  }
}

/** Everything that metrics were told, and what its gauges show. */
export class RecordedMetrics implements Metrics {
  readonly counters = new Map<string, number>()
  readonly histograms = new Map<string, number[]>()
  /** Calls, of all counters and histograms. */
  calls = 0
  readonly #observers = new Set<() => Iterable<{ gauge: string; value: number; labels: Labels }>>()

  open() {
    return this
  }

  add(counter: string, value: number, labels: Labels): void {
    this.calls++
    const series = seriesOf(counter, labels)
    this.counters.set(series, (this.counters.get(series) ?? 0) + value)
  }

  record(histogram: string, value: number, labels: Labels): void {
    this.calls++
    const series = seriesOf(histogram, labels)
    this.histograms.set(series, [...(this.histograms.get(series) ?? []), value])
  }

  observe(collect: () => Iterable<{ gauge: string; value: number; labels: Labels }>): () => void {
    this.#observers.add(collect)
    return () => void this.#observers.delete(collect)
  }

  get observers(): number {
    return this.#observers.size
  }

  /** By series, of those of `projection`. */
  gauges(): Record<string, number> {
    const readings = [...this.#observers].flatMap((collect) => [...collect()])
    return Object.fromEntries(readings.map(({ gauge, value, labels }) => [seriesOf(gauge, labels), value]))
  }
}

/** `skipped_events{reason="truncated"}`: the projection is the same throughout. */
function seriesOf(name: string, labels: Labels): string {
  const own = Object.entries(labels).flatMap(([label, value]) =>
    label === 'projection_name' ? [] : [`${label}="${value}"`],
  )
  return own.length === 0 ? name : `${name}{${own}}`
}

class RecordedLogger {
  readonly lines: string[] = []
  info(message: string): void {
    this.lines.push(`info ${message}`)
  }
  warn(message: string): void {
    this.lines.push(`warn ${message}`)
  }
  error(message: string): void {
    this.lines.push(`error ${message}`)
  }
}

/** A subscription as its client makes it, the server's end of it, and all that its monitor may use. */
export function rig(by: Partial<MonitorOptions<bigint, TestEvent>> = {}) {
  const clock = new FakeClock()
  const source = new TestSource()
  const metrics = new RecordedMetrics()
  const logger = new RecordedLogger()
  const telemetryErrors: unknown[] = []
  const options: MonitorOptions<bigint, TestEvent> = {
    projection: 'mailer',
    source,
    clock,
    metrics,
    logger,
    onTelemetryError: (error) => telemetryErrors.push(error),
    ...by,
  }
  const call = new Call()
  return { clock, source, metrics, logger, telemetryErrors, options, call, ...subscriptionsOf(call) }
}

function subscriptionsOf(call: Call) {
  return {
    subscription: () => new ClientSubscription(call),
    persistent: () => new PersistentClientSubscription(call),
  }
}

/** Takes `count` events, and stands at the last of them, which it has not come back from. */
export async function take<T>(iterator: AsyncIterator<T>, count: number): Promise<T[]> {
  const taken: T[] = []
  for (let i = 0; i < count; i++) {
    const { value, done } = await iterator.next()
    if (done) break
    taken.push(value)
  }
  return taken
}

export function recordedTelemetry(): {
  readonly telemetry: Telemetry
  readonly reports: [string, unknown][]
} {
  const reports: [string, unknown][] = []
  const record =
    (name: string) =>
    (report: unknown): void =>
      void reports.push([name, report])
  return {
    reports,
    telemetry: {
      skipped: record('skipped'),
      subscriptionProgressed: record('progressed'),
      subscriptionDropped: record('dropped'),
      eventsAcknowledged: record('acknowledged'),
      projectionStateChanged: record('state'),
    },
  }
}
