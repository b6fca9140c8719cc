import {
  denseOrder,
  type EventSource,
  type HighWaterReading,
  type HighWaterRequest,
  type LoadRequest,
  type Look,
  type LookRequest,
  type OpenedSource,
  type OpenRequest,
  type Page,
  type WatchSource,
} from '@tidemark/core/adapter'
import { toldPool } from '../client.ts'
import { KnownBackends } from '../server/backends.ts'
import { isTransientPostgresError } from '../transience.ts'
import { openCommanded, readCommanded } from './high-water.ts'
import { type CommandedEvent, loadCommanded } from './load.ts'
import {
  type CommandedEventsOptions,
  type ResolvedCommandedEventsOptions,
  resolveCommandedEventsOptions,
} from './options.ts'

/**
 * The stream `$all` of EventStore for Elixir, on which Commanded is built: for projections, and for `createWatch`. Its numbers are
 * taken under a lock on one row, so events commit in their order: what is visible is settled, and no gap has to be waited for.
 * That holds while EventStore alone appends: nothing can check it. Creates nothing, writes nothing, and needs no right but
 * SELECT on `streams`, `stream_events` and `events`. Throws `InvalidOptionError`.
 */
export function commandedEvents(
  options: CommandedEventsOptions,
): EventSource<bigint, CommandedEvent> & WatchSource {
  return new CommandedEventSource(resolveCommandedEventsOptions(options))
}

class CommandedEventSource implements EventSource<bigint, CommandedEvent>, WatchSource {
  readonly name: string
  readonly order: typeof denseOrder = denseOrder
  readonly filtersByType = true
  readonly #options: ResolvedCommandedEventsOptions
  readonly #backends = new KnownBackends()

  constructor(options: ResolvedCommandedEventsOptions) {
    this.#options = options
    this.name = options.name
  }

  open(request: OpenRequest): Promise<OpenedSource> {
    return openCommanded(this.#told(request), request.signal)
  }

  readHighWater(request: HighWaterRequest<bigint>): Promise<HighWaterReading<bigint>> {
    return readCommanded(this.#told(request), this.#backends, request)
  }

  load(request: LoadRequest<bigint>): Promise<Page<bigint, CommandedEvent>> {
    return loadCommanded(this.#options, this.#backends, request)
  }

  /** Nothing is ever missing: a version is visible together with every event up to it. */
  async look({ reading, above }: LookRequest): Promise<Look> {
    const { head = above } = reading
    return { appeared: [], unseen: [], visible: [], through: head > above ? head : above }
  }

  isTransient(error: unknown): boolean {
    return isTransientPostgresError(error)
  }

  /** With a pool that says what is waited for. */
  #told({ waiting }: OpenRequest): ResolvedCommandedEventsOptions {
    return { ...this.#options, pool: toldPool(this.#options.pool, waiting) }
  }
}
