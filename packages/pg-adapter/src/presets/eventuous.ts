import { InvalidOptionError, requireKnownOptions } from '@tidemark/core/adapter'
import { requireText } from '../pool-options.ts'
import { PRESET_OPTIONS, type Preset, type PresetOptions, tableIn } from './preset.ts'

export interface EventuousOptions extends PresetOptions {
  /**
   * The ids of the subscriptions to the `$all` stream of this database, as the table `checkpoints` has them. That table also holds
   * positions within one stream, and positions of other stores, and nothing in it tells them apart.
   * - Change it when: `consumers` is used; it is needed for that. An id that is no subscription to `$all` here would be accused
   * of losses that there were not.
   * @default not known
   */
  readonly allStream?: readonly string[]
}

/**
 * The tables of Eventuous (0.15 and later, `Eventuous.Postgresql`). Rows of type `$tombstone` fill gaps on purpose, and are no
 * events. The time of an event comes from its writer's clock.
 *
 * Throws `InvalidOptionError`, also where `consumers` is read and `allStream` was not given.
 */
export function eventuous(options: EventuousOptions = {}): Preset {
  requireKnownOptions(options, { ...PRESET_OPTIONS, allStream: true })
  const { schema = 'eventuous', allStream } = options
  const events = {
    table: tableIn(schema, 'messages'),
    position: 'global_position',
    eventType: 'message_type',
    placeholderTypes: ['$tombstone'],
    appendedAt: { column: 'created', timeZone: 'UTC' },
  } as const
  const ids = allStream && new Set(requireIds(allStream))
  return {
    events,
    get consumers() {
      if (ids === undefined) throw new InvalidOptionError('allStream', ALL_STREAM, ids)
      return {
        table: tableIn(schema, 'checkpoints'),
        consumer: 'id',
        checkpoint: 'position',
        isConsumer: (id: string) => ids.has(id),
      }
    },
  }
}

const ALL_STREAM =
  'the ids of subscriptions to the $all stream of this database: the table of checkpoints also holds positions of single ' +
  'streams and of other stores, and nothing in it tells them apart'

function requireIds(allStream: readonly string[]): readonly string[] {
  if (!Array.isArray(allStream)) throw new InvalidOptionError('allStream', ALL_STREAM, allStream)
  return allStream.map((id) => requireText('allStream', id))
}
