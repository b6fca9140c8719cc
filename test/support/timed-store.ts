import type { Clock, EventSource, Holder } from '@tidemark/core'
import { type InMemoryEvent, type InMemoryTransaction, inMemoryEvents } from '@tidemark/core/testing'

/** An event that carries what its writer knew: what was appended with it is its metadata. */
export type TimedEvent = InMemoryEvent<unknown> & { readonly metadata: unknown }

/**
 * Events in memory that know when they were appended, behind transactions that have a process id and a name, in a store
 * that can be cut off.
 */
export class TimedStore {
  /** While it is set, every poll fails with it. */
  failure: Error | undefined
  /** While it is set, every poll waits for it. */
  hang: Promise<void> | undefined
  readonly source: EventSource<bigint, TimedEvent>
  readonly #clock: Clock
  readonly #events
  readonly #appendedAtMs = new Map<bigint, number>()
  readonly #holders = new Map<string, Holder>()

  constructor(clock: Clock, name = 'orders') {
    const events = inMemoryEvents<unknown>({ name })
    this.#clock = clock
    this.#events = events
    this.source = {
      name,
      order: events.order,
      filtersByType: true,
      isTransient: (error) => error === this.failure,
      lookCloser: (holders) =>
        `select * from pg_stat_activity where pid in (${holders.map(({ pid }) => pid)})`,
      open: (request) => events.open(request),
      readHighWater: async (request) => {
        await clock.sleep(1, request.signal)
        await this.hang
        if (this.failure) throw this.failure
        const reading = await events.readHighWater(request)
        return { ...reading, holders: reading.holders.map((holder) => this.#named(holder)) }
      },
      load: async (request) => {
        const page = await events.load(request)
        return {
          ...page,
          events: page.events.map((event) => ({ ...event, metadata: event.data })),
          appendTimesMs: page.positions.map((position) => this.#appendedAtMs.get(position)),
        }
      },
    }
  }

  append(type = 'a', metadata: unknown = {}): bigint {
    const transaction = this.begin()
    const position = transaction.append(type, metadata)
    transaction.commit()
    return position
  }

  begin(): InMemoryTransaction<unknown> {
    const transaction = this.#events.begin()
    return {
      ...transaction,
      append: (type, metadata) => {
        const position = transaction.append(type, metadata)
        this.#appendedAtMs.set(position, this.#clock.nowMs())
        return position
      },
    }
  }

  #named(holder: Holder): Holder {
    const known = this.#holders.get(holder.transaction)
    if (known) return known
    const named = {
      ...holder,
      pid: 4_711 + this.#holders.size,
      applicationName: 'importer',
      startedAt: new Date(this.#clock.nowMs()),
    }
    this.#holders.set(holder.transaction, named)
    return named
  }
}
