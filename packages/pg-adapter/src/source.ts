import {
  denseOrder,
  type EventSource,
  type EventsTypedBy,
  type FoundEvent,
  type Gap,
  type HighWaterReading,
  type HighWaterRequest,
  type Holder,
  type LoadRequest,
  type Look,
  type LookRequest,
  type OldestAbove,
  type OldestRequest,
  type OpenedSource,
  type OpenRequest,
  type Page,
  type WakeUp,
  type WatchSource,
} from '@tidemark/core/adapter'
import { toldPool } from './client.ts'
import { findIn } from './find-in.ts'
import { HandedOut } from './handed-out.ts'
import { openHighWater, readHighWater, sequenceIn } from './high-water.ts'
import { loadPage } from './load.ts'
import { lookAt } from './look.ts'
import { oldestAbove } from './oldest-above.ts'
import {
  POSTGRES_EVENTS_DEFAULTS,
  type PostgresEventsOptions,
  type PostgresRow,
  type ResolvedPostgresEventsOptions,
} from './options.ts'
import { loadWithin } from './page-bytes.ts'
import { PageColumns } from './page-columns.ts'
import { PageRanges } from './page-range.ts'
import { FormerSequences } from './proof/former-sequences.ts'
import { requireKeyColumns } from './proof/key-slots.ts'
import { withTableSchema } from './proof/table-schema.ts'
import { resolvePostgresEventsOptions } from './resolve-options.ts'
import { KnownBackends } from './server/backends.ts'
import { Tails } from './tail.ts'
import { isTransientPostgresError } from './transience.ts'
import { wakeUps } from './wake-ups/wake-ups.ts'
import { resolveWatchedOptions, type WatchedPostgresEventsOptions } from './watched-options.ts'

/**
 * The events of a table that is filled from a sequence. Creates nothing, writes nothing, and needs no right but SELECT
 * on the table and its sequence. Every condition of the proof is checked when it starts (`PostgresConditionError`).
 */
export function postgresEvents<E = PostgresRow, const K extends PropertyKey = PropertyKey>(
  options: PostgresEventsOptions<E, K>,
): EventSource<bigint, E> & EventsTypedBy<K> {
  const source = new PostgresEventSource(resolvePostgresEventsOptions(options))
  const { typeField, wakeUps: how } = options
  return Object.assign(source, {
    typeField,
    ...(how === 'none' ? {} : { wakeUps: (signal: AbortSignal) => source.hints(signal) }),
  })
}

/**
 * The events of a table for `createWatch`. It asks less of a table than `postgresEvents`, since nobody reads pages of it: the
 * position may be NULL, and no index has to be led by it. Creates nothing, writes nothing, and needs no right but SELECT on the
 * named columns and the sequence. Every other condition of the proof is checked (`PostgresConditionError`). Where numbers are taken
 * ahead, what is missing is looked for until its number has been out for 10 minutes.
 */
export function watchedPostgresEvents(options: WatchedPostgresEventsOptions): WatchSource {
  const resolved = resolveWatchedOptions(options)
  const source = new PostgresEventSource<never>(resolved)
  const handedOut = new HandedOut(POSTGRES_EVENTS_DEFAULTS.lateEventWindowMs)
  const { name, order, filtersByType, placeholderTypes, passesUnproven } = source
  return {
    name,
    order,
    filtersByType,
    placeholderTypes,
    passesUnproven,
    open: (request) => source.open(request),
    readHighWater: async (request) => {
      const reading = await source.readHighWater(request)
      if (!resolved.isTakenAhead) return reading
      // Who holds the sequence says nothing of numbers that are taken ahead: nobody can be named, and nothing is proven empty.
      const settled = handedOut.longAgo(reading, performance.now())
      return { ...reading, settled, provenEmpty: [], holders: [] }
    },
    look: (request) => source.look(request),
    ...(source.knowsAppendTimes ? { oldestAbove: (request) => source.oldestAbove(request) } : {}),
    lookCloser: (holders) => source.lookCloser(holders),
    isTransient: (error) => source.isTransient(error),
  }
}

class PostgresEventSource<E> implements EventSource<bigint, E> {
  readonly name: string
  readonly order: typeof denseOrder = denseOrder
  readonly filtersByType: boolean
  readonly filtersBySlot = true
  readonly placeholderTypes: readonly string[]
  readonly passesUnproven: boolean
  readonly lateEventWindowMs: number | undefined
  #options: ResolvedPostgresEventsOptions<E>
  #sequence: string | undefined
  readonly #memory = { backends: new KnownBackends(), former: new FormerSequences() }
  readonly #columns = new PageColumns()
  readonly #pages = { ranges: new PageRanges(), columns: this.#columns, tails: new Tails(this.#columns) }

  constructor(options: ResolvedPostgresEventsOptions<E>) {
    this.#options = options
    this.name = options.name
    this.filtersByType = options.eventType !== undefined
    this.placeholderTypes = options.placeholderTypes
    this.passesUnproven = options.staleThreshold !== undefined
    this.lateEventWindowMs = options.staleThreshold?.lateEventWindowMs
  }

  async open(request: OpenRequest): Promise<OpenedSource> {
    const { keyColumns = [], signal } = request
    const options = await this.#told(request)
    const opened = await openHighWater(options, this.#memory, signal)
    await requireKeyColumns(options, keyColumns, signal)
    this.#sequence = sequenceIn(opened.memory)
    return opened
  }

  async readHighWater(request: HighWaterRequest<bigint>): Promise<HighWaterReading<bigint>> {
    const reading = await readHighWater(await this.#told(request), this.#memory, this.#pages.tails, request)
    this.#sequence = sequenceIn(reading.memory) ?? this.#sequence
    return reading
  }

  async load(request: LoadRequest<bigint>): Promise<Page<bigint, E>> {
    const options = await this.#located(request.signal)
    const backends = options.staleThreshold === undefined ? this.#memory.backends : undefined
    return await loadWithin(options.pool, request, (pool, limit) =>
      loadPage({ ...options, pool }, { ...this.#pages, backends }, { ...request, limit }),
    )
  }

  async eventsAt({ from, to }: Gap<bigint>, limit: number, signal: AbortSignal): Promise<readonly E[]> {
    const options = await this.#located(signal)
    const asked = { after: undefined, from, upTo: to, limit, eventTypes: undefined, signal }
    return (await loadPage(options, { ...this.#pages, backends: undefined }, asked)).events
  }

  async findIn(
    runs: readonly Gap<bigint>[],
    limit: number,
    signal: AbortSignal,
  ): Promise<readonly FoundEvent<bigint>[]> {
    return await findIn(
      (await this.#located(signal)) as ResolvedPostgresEventsOptions<unknown>,
      runs,
      limit,
      signal,
    )
  }

  async look(request: LookRequest): Promise<Look> {
    return await lookAt(
      (await this.#located(request.signal)) as ResolvedPostgresEventsOptions<unknown>,
      this.#memory.backends,
      request,
    )
  }

  get knowsAppendTimes(): boolean {
    return this.#options.appendedAt !== undefined
  }

  async oldestAbove(request: OldestRequest): Promise<readonly (OldestAbove | undefined)[]> {
    const options = (await this.#located(request.signal)) as ResolvedPostgresEventsOptions<unknown>
    return await oldestAbove(options, this.#memory.backends, request)
  }

  /** `EventSource.wakeUps`, where the options want them. */
  async *hints(signal: AbortSignal): AsyncGenerator<WakeUp<bigint> | undefined> {
    if (this.#sequence === undefined) await this.open({ signal })
    yield* wakeUps(this.#options as ResolvedPostgresEventsOptions<unknown>, () => this.#sequence, signal)
  }

  lookCloser(holders: readonly Holder[]): string {
    const pids = holders.flatMap(({ pid }) => pid ?? [])
    const sessions = `select pid, state, xact_start, left(query, 200) from pg_stat_activity where pid in (${pids.join(', ')})`
    const prepared = 'select gid, prepared, owner from pg_prepared_xacts'
    return pids.length === holders.length
      ? sessions
      : pids.length === 0
        ? prepared
        : `${sessions}; ${prepared}`
  }

  isTransient(error: unknown): boolean {
    return isTransientPostgresError(error)
  }

  /** With a pool that says what is waited for. */
  async #told({ signal, waiting }: OpenRequest): Promise<ResolvedPostgresEventsOptions<unknown>> {
    const located = (await this.#located(signal)) as ResolvedPostgresEventsOptions<unknown>
    return { ...located, pool: toldPool(located.pool, waiting) }
  }

  /** The table is found once, for as long as this source lives. */
  async #located(signal: AbortSignal): Promise<ResolvedPostgresEventsOptions<E>> {
    this.#options = await withTableSchema(this.#options, signal)
    return this.#options
  }
}
