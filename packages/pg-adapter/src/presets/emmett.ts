import { requireKnownOptions } from '@tidemark/core/adapter'
import { PRESET_OPTIONS, type Preset, type PresetOptions, tableIn } from './preset.ts'

/**
 * The tables of Emmett (`@event-driven-io/emmett-postgresql` 0.42 and 0.43). Its consumers read the default partition alone, and
 * so does this. 0.42 keeps a position, 0.43 a pair of transaction and position; a row may change from the one to the other. A
 * consumer is shown with its partition and version: `emt_processors.orders:emt:default:1`.
 *
 * Emmett lets the position be NULL, and most of its versions make no index on it. So `postgresEvents` refuses its table at first,
 * and prints the statements that mend it.
 *
 * Throws `InvalidOptionError`.
 */
export function emmett(options: PresetOptions = {}): Preset {
  requireKnownOptions(options, PRESET_OPTIONS)
  const { schema } = options
  return {
    events: {
      table: tableIn(schema, 'emt_messages'),
      position: 'global_position',
      eventType: 'message_type',
      placeholderTypes: [],
      appendedAt: 'created',
      transaction: 'transaction_id',
      where: { partition: 'emt:default' },
    },
    consumers: {
      table: tableIn(schema, 'emt_processors'),
      consumer: ['processor_id', 'partition', 'version'],
      checkpoint: 'last_processed_checkpoint',
      run: 'processor_instance_id',
    },
  }
}
