import type { PostgresConsumersOptions } from '../consumers-options.ts'
import type { WatchedPostgresEventsOptions } from '../watched-options.ts'

/** Names of a project's own tables, for the sources of a watch. */
export interface WatchPreset {
  readonly events: Omit<WatchedPostgresEventsOptions, 'pool'>
  readonly consumers: Omit<PostgresConsumersOptions, 'pool'>
}

/**
 * The tables of Emmett (`@event-driven-io/emmett-postgresql` 0.42 and 0.43) for `createWatch`. Its consumers read the default
 * partition alone. 0.42 keeps a position, 0.43 a pair of transaction and position; a row may change from the one to the other.
 * A consumer is shown with its partition and version: `emt_processors.orders:emt:default:1`.
 */
export function emmett(): WatchPreset {
  return {
    events: {
      table: 'emt_messages',
      position: 'global_position',
      eventType: 'message_type',
      transaction: 'transaction_id',
      where: { partition: 'emt:default' },
    },
    consumers: {
      table: 'emt_processors',
      consumer: ['processor_id', 'partition', 'version'],
      checkpoint: 'last_processed_checkpoint',
      run: 'processor_instance_id',
    },
  }
}
