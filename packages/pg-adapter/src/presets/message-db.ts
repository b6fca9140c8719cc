import { requireKnownOptions } from '@tidemark/core/adapter'
import { PRESET_OPTIONS, type Preset, type PresetOptions, tableIn } from './preset.ts'

/**
 * The table of message-db (1.3). Its consumers (Eventide's) keep their checkpoints in the same table: messages of type `Recorded` in
 * the stream `<category>:position`, or one for each member of a group. Each reads one category, so an event of another category
 * is no loss of it. A consumer is shown by the stream of its positions: `message_db.account:position`.
 *
 * Throws `InvalidOptionError`.
 */
export function messageDb(options: PresetOptions = {}): Preset {
  requireKnownOptions(options, PRESET_OPTIONS)
  const { schema = 'message_store' } = options
  return {
    events: {
      table: tableIn(schema, 'messages'),
      position: 'global_position',
      eventType: 'type',
      placeholderTypes: [],
      appendedAt: { column: 'time', timeZone: 'UTC' },
      stream: 'stream_name',
    },
    consumers: {
      query: positionsSql(tableIn(schema, 'messages'), tableIn(schema, 'category')),
      consumer: 'stream_name',
      checkpoint: 'position',
      category: 'category',
      name: 'message_db',
    },
  }
}

/** Of each category of positions. Members of a group record about as often as each other. More would make looks slow. */
const NEWEST = 100

/**
 * The newest position of each consumer, by the index `messages_category`: one step of it for each category that there is, and the
 * newest messages of each category that ends in the type `position`.
 */
function positionsSql(messages: string, categoryOf: string): string {
  return `with recursive known (category) as (
      (select ${categoryOf}(stream_name) from ${messages} order by ${categoryOf}(stream_name) limit 1)
      union all
      select (
        select ${categoryOf}(m.stream_name) from ${messages} m
        where ${categoryOf}(m.stream_name) > k.category order by ${categoryOf}(m.stream_name) limit 1
      )
      from known k where k.category is not null
    )
    select distinct on (r.stream_name) r.stream_name, r.data ->> 'position' as position,
      regexp_replace(k.category, '[:+]position$', '') as category
    from known k
    cross join lateral (
      select m.stream_name, m.position, m.type, m.data from ${messages} m
      where ${categoryOf}(m.stream_name) = k.category order by m.global_position desc limit ${NEWEST}
    ) r
    where k.category ~ '[:+]position$' and r.type = 'Recorded'
    order by r.stream_name, r.position desc`
}
