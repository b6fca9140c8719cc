import { resumeSettled } from '../high-water/resume.ts'
import { type Settlement, settle, startSettlement } from '../high-water/settlement.ts'
import { EventMappingError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import type {
  EventSource,
  Gap,
  HighWaterReading,
  HighWaterRequest,
  LoadRequest,
  OpenedSource,
  OpenRequest,
  Page,
} from '../ports/event-source.ts'
import { denseOrder } from '../ports/position.ts'
import type { EventsTypedBy } from '../ports/typed-events.ts'

export interface InMemoryEvent<T> {
  readonly position: bigint
  readonly type: string
  readonly data: T
}

/** An event as a row of a table with the columns `position`, `type` and `data`: what `mapRow` of an adapter gets. */
export type InMemoryRow<T> = InMemoryEvent<T> & Readonly<Record<string, unknown>>

export interface InMemoryEventsOptions {
  /**
   * Names this store in checkpoints and metrics.
   * - Change it when: a test has two sources.
   * @default 'in-memory'
   */
  readonly name?: string
}

export interface MappedInMemoryEventsOptions<T, E, K extends PropertyKey = PropertyKey>
  extends InMemoryEventsOptions {
  /** Makes an event of a row, as `mapRow` of `postgresEvents` does: give both the same function. */
  readonly mapRow: (row: InMemoryRow<T>, position: bigint) => E
  /**
   * The field that has the type, of the events that `mapRow` makes, as of `postgresEvents`: with `eventTypes` a handler is
   * given these of their union alone. For the types of TypeScript; nothing is read from the field.
   * - Change it when: the events are a union, told apart by such a field.
   * @default none
   */
  readonly typeField?: K & keyof E
}

const IN_MEMORY_EVENTS_OPTIONS: Readonly<Record<keyof MappedInMemoryEventsOptions<unknown, unknown>, true>> =
  {
    name: true,
    mapRow: true,
    typeField: true,
  }

/**
 * An event store in memory that behaves as a Postgres table behind a sequence does, gaps included.
 *
 * @typeParam T - the data of an appended event
 * @typeParam E - what handlers get
 */
export interface InMemoryEvents<T, E = InMemoryEvent<T>> extends EventSource<bigint, E> {
  /** Takes a number and commits at once. */
  append(type: string, data: T): bigint
  /** Takes numbers that become visible at `commit()`, or never, after `rollback()`. */
  begin(): InMemoryTransaction<T>
}

export interface InMemoryTransaction<T> {
  append(type: string, data: T): bigint
  commit(): void
  rollback(): void
}

export function inMemoryEvents<T>(options?: InMemoryEventsOptions): InMemoryEvents<T>
export function inMemoryEvents<T, E, const K extends PropertyKey = PropertyKey>(
  options: MappedInMemoryEventsOptions<T, E, K>,
): InMemoryEvents<T, E> & EventsTypedBy<K>
export function inMemoryEvents<T, K extends PropertyKey>(
  options: Partial<MappedInMemoryEventsOptions<T, Record<K, unknown>, K>> = {},
): InMemoryEvents<T, unknown> & EventsTypedBy<K> {
  requireKnownOptions(options, IN_MEMORY_EVENTS_OPTIONS)
  const { name = 'in-memory', mapRow = (row) => row, typeField } = options
  return Object.assign(new InMemoryEventStore<T, unknown>(name, mapRow), { typeField })
}

class InMemoryEventStore<T, E> implements InMemoryEvents<T, E> {
  readonly name: string
  readonly #mapRow: (row: InMemoryRow<T>, position: bigint) => E
  readonly order: typeof denseOrder = denseOrder
  readonly filtersByType = true
  readonly #incarnation = `in-memory-${Math.random().toString(36).slice(2)}`
  #lastHandedOut = 0n
  #transactions = 0
  readonly #open = new Set<string>()
  readonly #visible: InMemoryRow<T>[] = []
  readonly #listeners = new Set<() => void>()

  constructor(name: string, mapRow: (row: InMemoryRow<T>, position: bigint) => E) {
    this.name = name
    this.#mapRow = mapRow
  }

  append(type: string, data: T): bigint {
    const transaction = this.begin()
    const position = transaction.append(type, data)
    transaction.commit()
    return position
  }

  begin(): InMemoryTransaction<T> {
    const id = `memory/${++this.#transactions}`
    const written: InMemoryRow<T>[] = []
    let ended = false
    const requireOpen = (): void => {
      if (ended) throw new Error('this transaction has already ended')
    }
    const end = (events: readonly InMemoryRow<T>[]): void => {
      requireOpen()
      ended = true
      this.#open.delete(id)
      this.#show(events)
      for (const listener of this.#listeners) listener()
    }
    return {
      append: (type, data) => {
        requireOpen()
        this.#open.add(id)
        const event = { position: ++this.#lastHandedOut, type, data }
        written.push(event)
        return event.position
      },
      commit: () => end(written),
      rollback: () => end([]),
    }
  }

  #show(events: readonly InMemoryRow<T>[]): void {
    const [first] = events
    const last = this.#visible.at(-1)
    this.#visible.push(...events)
    if (first && last && first.position < last.position) {
      this.#visible.sort((a, b) => denseOrder.compare(a.position, b.position))
    }
  }

  async open({ signal }: OpenRequest): Promise<OpenedSource> {
    signal.throwIfAborted()
    return { incarnation: this.#incarnation, memory: undefined }
  }

  async readHighWater({
    previous,
    stored,
    signal,
  }: HighWaterRequest<bigint>): Promise<HighWaterReading<bigint>> {
    signal.throwIfAborted()
    const before =
      (previous?.memory as Settlement | undefined) ??
      startSettlement(resumeSettled(this.order, stored ?? [], this.#incarnation))
    const { settlement, provenEmpty, gaps } = settle(before, {
      lastHandedOut: this.#lastHandedOut,
      holders: [...this.#open],
      visible: this.#visible.map((event) => event.position).filter((p) => p > (before.settled ?? -1n)),
      windowEnd: this.#lastHandedOut,
    })
    return {
      head: this.#lastHandedOut,
      settled: settlement.settled,
      mark:
        settlement.mark ??
        this.#visible.findLast((event) => event.position <= (settlement.settled ?? -1n))?.position,
      gaps,
      provenEmpty,
      holders: [...this.#open].map((transaction) => ({
        transaction,
        pid: undefined,
        applicationName: undefined,
        startedAt: undefined,
      })),
      skipped: [],
      incarnation: this.#incarnation,
      logPosition: undefined,
      memory: settlement,
    }
  }

  #mapped(row: InMemoryRow<T>): E {
    try {
      return this.#mapRow(row, row.position)
    } catch (error) {
      throw new EventMappingError(row.position.toString(), error, row.type)
    }
  }

  async load({
    after,
    from = (after ?? -1n) + 1n,
    upTo,
    limit,
    eventTypes,
    signal,
  }: LoadRequest<bigint>): Promise<Page<bigint, E>> {
    signal.throwIfAborted()
    const events = this.#visible
      .filter(
        ({ position, type }) => position >= from && position <= upTo && (eventTypes?.includes(type) ?? true),
      )
      .slice(0, limit)
    const last = events.at(-1)
    return {
      events: events.map((row) => this.#mapped(row)),
      positions: events.map((event) => event.position),
      types: events.map((event) => event.type),
      through: last && events.length === limit ? last.position : upTo,
    }
  }

  async eventsAt({ from, to }: Gap<bigint>, limit: number, signal: AbortSignal): Promise<readonly E[]> {
    signal.throwIfAborted()
    return this.#visible
      .filter(({ position }) => position >= from && position <= to)
      .slice(0, limit)
      .map((row) => this.#mapped(row))
  }

  async *wakeUps(signal: AbortSignal): AsyncGenerator<undefined> {
    while (!signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#listeners.delete(wake)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        this.#listeners.add(wake)
        signal.addEventListener('abort', wake)
      })
      if (!signal.aborted) yield
    }
  }

  isTransient(): boolean {
    return false
  }
}
