import {
  denseOrder,
  type HighWaterReading,
  type HighWaterRequest,
  type Look,
  type LookRequest,
  type OpenedSource,
  type OpenRequest,
  type PositionOrder,
  type WatchSource,
} from '@tidemark/core/adapter'
import type { EsdbClient } from '../client.ts'
import type { EsdbAllEventsOptions, EsdbStreamEventsOptions } from '../options.ts'
import { type EsdbEventSource, esdbEvents } from '../source.ts'

/**
 * One stream, or `$all`, of EventStoreDB or KurrentDB, for `createWatch` beside `esdbConsumers(...)`. Takes the options of
 * `esdbEvents`, writes nothing. A log of one writer has no gaps, so no event is ever lost to visibility here, and
 * `watch.lost()` stays empty. Throws `InvalidOptionError`.
 */
export function watchedEsdbEvents(
  options: EsdbStreamEventsOptions<EsdbClient> | EsdbAllEventsOptions<EsdbClient>,
): WatchSource {
  if (options?.stream === undefined) {
    return new WatchedLog(esdbEvents(options), ({ commit }) => commit)
  }
  return new WatchedLog(esdbEvents(options), (revision) => revision)
}

class WatchedLog<P> implements WatchSource {
  readonly name: string
  readonly order: PositionOrder<bigint> = denseOrder
  readonly filtersByType = true
  readonly #events: EsdbEventSource<P, unknown>
  readonly #numberOf: (position: P) => bigint

  constructor(events: EsdbEventSource<P, unknown>, numberOf: (position: P) => bigint) {
    this.name = events.name
    this.#events = events
    this.#numberOf = numberOf
  }

  open(request: OpenRequest): Promise<OpenedSource> {
    return this.#events.open(request)
  }

  async readHighWater({ previous, opened, sharesLog, signal }: HighWaterRequest<bigint>) {
    const polled = await this.#events.readHighWater({
      previous: previous?.memory as HighWaterReading<P> | undefined,
      opened,
      stored: [],
      sharesLog,
      signal,
    })
    const mark = polled.mark === undefined ? undefined : this.#numberOf(polled.mark)
    const { incarnation, logPosition } = polled
    return {
      head: mark,
      settled: mark,
      mark,
      gaps: [],
      holders: [],
      provenEmpty: [],
      skipped: [],
      incarnation,
      logPosition,
      memory: polled,
    }
  }

  /** Nothing is ever missing: an event is visible together with every one before it. */
  async look({ reading, above }: LookRequest): Promise<Look> {
    const { head = above } = reading
    return { appeared: [], unseen: [], visible: [], through: head > above ? head : above }
  }

  isTransient(error: unknown): boolean {
    return this.#events.isTransient(error)
  }
}
