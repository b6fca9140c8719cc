import { requireKnownOptions } from '@tidemark/core/adapter'
import { PRESET_OPTIONS, type Preset, type PresetOptions, tableIn } from './preset.ts'

/**
 * The subscriptions of EventStore for Elixir, on which Commanded is built, beside `commandedEvents`. Only those of the stream `$all`
 * are consumers here: the others keep a version of their own stream. One is shown as `subscriptions.$all:orders`. Throws
 * `InvalidOptionError`.
 */
export function commanded(options: PresetOptions = {}): Pick<Preset, 'consumers'> {
  requireKnownOptions(options, PRESET_OPTIONS)
  return {
    consumers: {
      table: tableIn(options.schema ?? 'public', 'subscriptions'),
      name: 'subscriptions',
      consumer: ['stream_uuid', 'subscription_name'],
      checkpoint: 'last_seen',
      isConsumer: (name) => name.startsWith('$all:'),
    },
  }
}
