import type { PostgresRow } from '@tidemark/pg-adapter'

/** What the relay needs of a row of `events`. */
export interface RelayedEvent {
  readonly position: bigint
  /** Given to the event by whoever appended it. After a failover a position may come again; this never does. */
  readonly id: string
  /** Events of one key stay in order: an order's, an account's. */
  readonly key: string
  readonly type: string
  readonly data: unknown
}

export function toEvent(row: PostgresRow): RelayedEvent {
  const { position, id, key, type, data } = row as unknown as RelayedEvent
  return { position: BigInt(position), id, key, type, data }
}
