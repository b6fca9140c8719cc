import {
  type Delivery,
  type EventSource,
  type Gap,
  HeadUnknownError,
  type HighWaterReading,
  type HighWaterRequest,
  isReached,
  type LoadRequest,
  type OpenedSource,
  type OpenRequest,
  type Page,
  type PositionOrder,
  type SubscriptionSource,
} from '@tidemark/core/adapter'
import { allLog } from './all-log.ts'
import {
  appendedAtMs,
  type EsdbClient,
  type EsdbEvent,
  type EsdbPosition,
  type EsdbRecord,
  isTombstone,
  originalRecord,
} from './client.ts'
import { dropReason } from './client-errors.ts'
import type { EventLog } from './event-log.ts'
import { allFilter } from './filter.ts'
import { INCARNATION, readHighWater, readNewest } from './high-water.ts'
import { loadPage } from './load.ts'
import {
  type EsdbAllEventsOptions,
  type EsdbStreamEventsOptions,
  type ResolvedEsdbEventsOptions,
  resolveEsdbEventsOptions,
} from './options.ts'
import { isReplayedParked } from './parked.ts'
import { readEach } from './read.ts'
import { streamLog } from './stream-log.ts'
import { isTransientEsdbError } from './transience.ts'
import { wakeUps } from './wake-ups.ts'

/** What `esdbEvents` returns: for `createDaemon` as well as for `monitorSubscription` and `resubscribing`. */
export interface EsdbEventSource<P, E> extends EventSource<P, E>, SubscriptionSource<P, E> {
  /** Whether a later try may succeed with nothing changed by anyone. */
  isTransient(error: unknown): boolean
}

/** What a client hands out for a stream, and for `$all`: its own `ResolvedEvent` and `AllStreamResolvedEvent`. */
export type StreamEvent<C extends EsdbClient> = EventOf<ReturnType<C['readStream']>>
export type AllEvent<C extends EsdbClient> = EventOf<ReturnType<C['readAll']>>
type EventOf<Read> = Read extends AsyncIterable<infer E> ? E : never

/**
 * The events of one stream, or of `$all`, of EventStoreDB or KurrentDB. Writes nothing.
 *
 * Positions of a stream are its revisions, dense; those of `$all` are commit and prepare offsets, of which only the order
 * means something. Handlers get the client's own events. Revisions that a stream has lost to `$maxCount`, `$maxAge`, `$tb`
 * or a scavenge before a projection came to them are passed without a word: they can never come back. Throws
 * `InvalidOptionError`.
 */
export function esdbEvents<C extends EsdbClient>(
  options: EsdbStreamEventsOptions<C>,
): EsdbEventSource<bigint, StreamEvent<C>>
export function esdbEvents<C extends EsdbClient>(
  options: EsdbAllEventsOptions<C>,
): EsdbEventSource<EsdbPosition, AllEvent<C>>
export function esdbEvents<C extends EsdbClient>(
  options: EsdbStreamEventsOptions<C> | EsdbAllEventsOptions<C>,
): EsdbEventSource<bigint, StreamEvent<C>> | EsdbEventSource<EsdbPosition, AllEvent<C>> {
  const resolved = resolveEsdbEventsOptions(options)
  const { client, stream, filter, resolveLinkTos } = resolved
  return stream === undefined
    ? new LogSource<EsdbPosition, AllEvent<C>>(allLog(client, allFilter(filter), resolveLinkTos), resolved)
    : new LogSource<bigint, StreamEvent<C>>(streamLog(client, stream, resolveLinkTos), resolved)
}

class LogSource<P, E extends EsdbEvent> implements EsdbEventSource<P, E> {
  readonly name: string
  readonly order: PositionOrder<P>
  readonly filtersByType = true
  readonly yieldsEveryPosition: boolean
  readonly isFiltered: boolean
  readonly #log: EventLog<P>
  readonly #timeoutMs: number

  constructor(log: EventLog<P>, { name, stream, filter, timeoutMs }: ResolvedEsdbEventsOptions<EsdbClient>) {
    this.name = name
    this.order = log.order
    this.yieldsEveryPosition = stream !== undefined
    this.isFiltered = filter !== undefined
    this.#log = log
    this.#timeoutMs = timeoutMs
  }

  /** Nothing is asked of the server: whatever node answers, its log is one and the same. */
  async open({ signal }: OpenRequest): Promise<OpenedSource> {
    signal.throwIfAborted()
    return { incarnation: INCARNATION, memory: undefined }
  }

  readHighWater(request: HighWaterRequest<P>): Promise<HighWaterReading<P>> {
    return readHighWater(this.#log, this.#timeoutMs, request)
  }

  /** The events are what the client gave: its own type. */
  load(request: LoadRequest<P>): Promise<Page<P, E>> {
    return loadPage(this.#log, this.#timeoutMs, request) as Promise<Page<P, E>>
  }

  async eventsAt({ from, to }: Gap<P>, limit: number, signal: AbortSignal): Promise<readonly E[]> {
    const asked = { after: undefined, from, upTo: to, limit, eventTypes: undefined, signal }
    return (await loadPage(this.#log, this.#timeoutMs, asked)).events as readonly E[]
  }

  wakeUps(signal: AbortSignal): AsyncIterable<undefined> {
    return wakeUps(this.#log, signal)
  }

  describe(event: E): Delivery<P> {
    const record = originalRecord(event)
    const isReplayed = isReplayedParked(event)
    return {
      position: isReplayed ? this.#log.positionBeforeParked(event) : this.#positionOf(record),
      appendedAtMs: appendedAtMs(isReplayed ? { event: event.event ?? record } : event),
      hasEvent: event.event !== undefined,
      isRetry: isReplayed || (event.retryCount ?? 0) > 0,
    }
  }

  #positionOf(record: EsdbRecord): P | undefined {
    return this.yieldsEveryPosition && isTombstone(record) ? undefined : this.#log.positionOf(record)
  }

  async readHead(signal: AbortSignal, how?: { readonly requiresLeader: boolean }): Promise<P | undefined> {
    const log = this.#log
    const limits = { timeoutMs: this.#timeoutMs, signal }
    const newest = await readNewest(log, limits, how)
    if (newest !== undefined) return log.positionOf(newest)
    if (await log.isTruncated(undefined, limits)) {
      throw new HeadUnknownError(
        `${log.title}: all of its events are truncated ($maxAge or $tb); where it ends is known again with its next event`,
      )
    }
    return undefined
  }

  async readNext(after: P, signal: AbortSignal): Promise<P | undefined> {
    const { title, positionOf, readNext } = this.#log
    let next: P | undefined
    await readEach(
      `the event after ${this.order.format(after)} of ${title}`,
      () => readNext(after),
      { timeoutMs: this.#timeoutMs, signal },
      (event) => {
        const position = positionOf(originalRecord(event))
        if (!isReached(this.order, position, after)) next ??= position
        return true
      },
    )
    return next
  }

  isTransient(error: unknown): boolean {
    return isTransientEsdbError(error)
  }

  dropReason(error: unknown): string {
    return dropReason(error)
  }
}
