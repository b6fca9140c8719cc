import type { EventSource, HighWaterReading, HighWaterRequest, LoadRequest, Page } from '../event-source.ts'
import { resumeSettled } from '../high-water/resume.ts'
import { type Settlement, settle, startSettlement } from '../high-water/settlement.ts'
import { denseOrder } from '../position.ts'

export interface InMemoryEvent<T> {
  readonly position: bigint
  readonly type: string
  readonly data: T
}

/** An event store in memory that behaves as a Postgres table behind a sequence does, gaps included. */
export interface InMemoryEvents<T> extends EventSource<bigint, InMemoryEvent<T>> {
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

export function inMemoryEvents<T>(options: { readonly name?: string } = {}): InMemoryEvents<T> {
  return new InMemoryEventStore(options.name ?? 'in-memory')
}

class InMemoryEventStore<T> implements InMemoryEvents<T> {
  readonly name: string
  readonly order: typeof denseOrder = denseOrder
  readonly filtersByType = true
  readonly #incarnation = `in-memory-${Math.random().toString(36).slice(2)}`
  #lastHandedOut = 0n
  #transactions = 0
  readonly #open = new Set<string>()
  readonly #visible: InMemoryEvent<T>[] = []
  readonly #listeners = new Set<() => void>()

  constructor(name: string) {
    this.name = name
  }

  append(type: string, data: T): bigint {
    const transaction = this.begin()
    const position = transaction.append(type, data)
    transaction.commit()
    return position
  }

  begin(): InMemoryTransaction<T> {
    const id = `memory/${++this.#transactions}`
    const written: InMemoryEvent<T>[] = []
    let ended = false
    const requireOpen = (): void => {
      if (ended) throw new Error('this transaction has already ended')
    }
    const end = (events: readonly InMemoryEvent<T>[]): void => {
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

  #show(events: readonly InMemoryEvent<T>[]): void {
    const [first] = events
    const last = this.#visible.at(-1)
    this.#visible.push(...events)
    if (first && last && first.position < last.position) {
      this.#visible.sort((a, b) => denseOrder.compare(a.position, b.position))
    }
  }

  async readHighWater({
    previous,
    stored,
    signal,
  }: HighWaterRequest<bigint>): Promise<HighWaterReading<bigint>> {
    signal.throwIfAborted()
    const before =
      (previous?.memory as Settlement | undefined) ??
      startSettlement(resumeSettled(this.order, await stored(), this.#incarnation))
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

  async load({
    after,
    upTo,
    limit,
    eventTypes,
    signal,
  }: LoadRequest<bigint>): Promise<Page<bigint, InMemoryEvent<T>>> {
    signal.throwIfAborted()
    const events = this.#visible
      .filter(
        ({ position, type }) =>
          position > (after ?? -1n) && position <= upTo && (eventTypes?.includes(type) ?? true),
      )
      .slice(0, limit)
    const last = events.at(-1)
    return {
      events,
      positions: events.map((event) => event.position),
      through: last && events.length === limit ? last.position : upTo,
    }
  }

  async *wakeUps(signal: AbortSignal): AsyncGenerator<void> {
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
