import { requireKnownOptions } from '@tidemark/core/adapter'
import { PRESET_OPTIONS, type Preset, type PresetOptions, tableIn } from './preset.ts'

/**
 * Tables whose consumers keep a pair of transaction and position, and read in the order of these pairs behind `xmin`, named as
 * `eugene-khyst/postgresql-event-sourcing` does: `es_event` with `transaction_id` and `id`. Many outboxes are built so. For other
 * names, say what differs: `{ ...transactionPairs().events, table: 'outbox' }`. Such consumers lose nothing to visibility.
 *
 * Throws `InvalidOptionError`.
 */
export function transactionPairs(options: PresetOptions = {}): Preset {
  requireKnownOptions(options, PRESET_OPTIONS)
  const { schema } = options
  return {
    events: {
      table: tableIn(schema, 'es_event'),
      position: 'id',
      eventType: 'event_type',
      placeholderTypes: [],
      transaction: 'transaction_id',
    },
    consumers: {
      table: tableIn(schema, 'es_event_subscription'),
      consumer: 'subscription_name',
      checkpoint: ['last_transaction_id', 'last_event_id'],
    },
  }
}
