import { InvalidOptionError, requireKnownOptions } from '@tidemark/core/adapter'
import { requireText } from '../pool-options.ts'
import { PRESET_OPTIONS, type Preset, type PresetOptions, tableIn } from './preset.ts'

export interface MartenOptions extends PresetOptions {
  /**
   * How Marten appends to these tables.
   * - `'rich'`: in mode Rich, if only sometimes, or you do not know. Numbers are taken on another connection, ahead of the
   * transaction, so nothing can be proven: the source has `numbers: 'taken-ahead'`.
   * - `'quick'`: in mode Quick or QuickWithServerTimestamps (the default since 9.0) always. This is what the proof needs.
   * - Change it when: you have looked at every store that writes these tables: none is in mode Rich, and no bulk import keeps the
   * numbers of its source. **Otherwise events are passed, and not all of them are noticed.**
   * @default 'rich'
   */
  readonly append?: 'rich' | 'quick'
  /**
   * The tenant whose events these are, where the events are partitioned by tenant (`UseTenantPartitionedEvents`): its id, and the
   * suffix of its partition. Each tenant has a sequence of its own there, so that its partition is a source of its own.
   * - Change it when: they are. The whole table is refused then.
   * @default the events are not partitioned by tenant
   */
  readonly tenant?: { readonly id: string; readonly suffix: string }
}

/**
 * The tables of Marten (8 and 9). Events of type `tombstone` fill the numbers of failed appends, and are no events. Archived events are
 * handed over too. The column `timestamp` is no base for lag: Marten may write it off by the server's offset from UTC. A
 * consumer is shown by the name of its shard: `mt_event_progression.Orders:All`. Bookkeeping of Marten's is left out.
 *
 * Throws `InvalidOptionError`.
 */
export function marten(options: MartenOptions = {}): Preset {
  requireKnownOptions(options, { ...PRESET_OPTIONS, append: true, tenant: true })
  const { schema, append = 'rich', tenant } = options
  if (append !== 'rich' && append !== 'quick') {
    throw new InvalidOptionError('append', `'rich' or 'quick'`, append)
  }
  if (tenant !== undefined) {
    requireKnownOptions(tenant, { id: true, suffix: true }, 'tenant')
    requireText('tenant.id', tenant.id)
    requireText('tenant.suffix', tenant.suffix)
  }
  const suffix = tenant === undefined ? '' : `_${tenant.suffix}`
  return {
    events: {
      table: tableIn(schema, `mt_events${suffix}`),
      position: 'seq_id',
      sequence: tableIn(schema, `mt_events_sequence${suffix}`),
      eventType: 'type',
      placeholderTypes: ['tombstone'],
      numbers: append === 'rich' ? 'taken-ahead' : 'in-transaction',
    },
    consumers: {
      table: tableIn(schema, 'mt_event_progression'),
      consumer: 'name',
      checkpoint: 'last_seq_id',
      isConsumer: (name: string) =>
        !BOOKKEEPING.test(name) && (tenant === undefined || name.endsWith(`:${tenant.id}`)),
    },
  }
}

/** Rows beside the checkpoints, with a tenant or without. */
const BOOKKEEPING = /^HighWater(Mark|StuckGap|AllocationFence)(:|$)/
