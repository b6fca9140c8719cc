import type { EventSource } from '../../../ports/event-source.ts'
import type { Closable, Rule } from '../suite.ts'

/** What a store can do beyond the port's base, and the fixture can make it do. */
export type EventSourceCapability =
  /** Every integer is handed out: the order has `distance`. */
  | 'dense_positions'
  /** `filtersByType`. */
  | 'type_filter'
  /** Pages have `appendTimesMs`. */
  | 'append_times'
  /** `wakeUps`. */
  | 'wake_ups'
  /** A position can be taken by a transaction that is still open: `begin`. */
  | 'open_transactions'
  /** Events can go away: `deleteOldest`. */
  | 'deletes'
  /** The store can be made not to answer: `stall`. */
  | 'stalls'
  /** The store can become another one under a running process (crash, failover), and the source notices. */
  | 'incarnations'
  /** The store can go back (a backup restored), and the source notices: `rewind`. */
  | 'rewinds'

/** An event as the suite thinks of it. Ids are unique within a store. */
export interface ConformanceEvent {
  readonly id: string
  readonly type: string
}

/**
 * One fresh, empty store, and what the suite does to it.
 *
 * @typeParam P - position
 * @typeParam E - event, as the source's handlers get it
 */
export interface EventSourceFixture<P, E> extends Closable {
  /** The source under test; each call as another process over the same store has it. */
  readonly open: () => EventSource<P, E>
  /**
   * Positions that the order must cope with, ascending, at least three: the least, the greatest, and large neighbours.
   * They need not be in the store; nothing will be appended at or above the last one.
   */
  readonly samplePositions: readonly P[]
  /** Appends events in this order. When it resolves they are committed, for every reader. May be called concurrently. */
  readonly append: (events: readonly ConformanceEvent[]) => Promise<void>
  /** The id that an event was appended with. */
  readonly idOf: (event: E) => string
  /** For `open_transactions`. */
  readonly begin?: () => Promise<ConformanceTransaction>
  /** For `deletes`: removes the `count` oldest events, as archiving does. */
  readonly deleteOldest?: (count: number) => Promise<void>
  /** For `stalls`: from now on the store answers nothing, until the returned function is called. */
  readonly stall?: () => Promise<() => Promise<void>>
  /** For `rewinds`: the store is as it was before its newest event, whose position will be handed out again. */
  readonly rewind?: () => Promise<void>
}

/** A transaction of the store under test that is still open. */
export interface ConformanceTransaction {
  /** Takes the next position; the event is visible once `commit()` has resolved. */
  append(event: ConformanceEvent): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
}

export interface EventSourceRule
  extends Omit<Rule<EventSourceFixture<unknown, unknown>, EventSourceCapability>, 'check'> {
  check<P, E>(store: EventSourceFixture<P, E>, capabilities: readonly EventSourceCapability[]): Promise<void>
}

/** `count` events with ids of their own, of one type. */
export function newEvents(prefix: string, count: number, type = 'Happened'): ConformanceEvent[] {
  return Array.from({ length: count }, (_, index) => ({ id: `${prefix}${index + 1}`, type }))
}

export function idsOf(events: readonly ConformanceEvent[]): string[] {
  return events.map(({ id }) => id)
}
