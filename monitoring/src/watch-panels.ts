import type { CheckpointPlace } from '@tidemark/core/adapter'
import type { Row } from './panel.ts'
import { across, counted, gauge } from './panel-queries.ts'

const NONE = 'No consumer is watched'
const NONE_OF_ESDB = 'No consumer is watched in EventStoreDB or KurrentDB'
const legend = '{{consumer}}'

/** Worse is higher. */
const PLACE_TEXTS: Readonly<Record<number, string>> = {
  0: 'in its log',
  1: 'off its log',
  2: 'beyond its log',
}
const isAt = (place: CheckpointPlace): string =>
  gauge('consumer_checkpoint_outside_log', [`place="${place}"`])
const place = `max by (consumer) (${isAt('off_log')} or ${isAt('beyond_log')} * 2)`

/** Of `createWatch`. The row is closed until somebody opens it. */
export const OF_WATCHED_CONSUMERS: Row = {
  title: 'Do consumers that Tidemark does not run lose events?',
  isCollapsed: true,
  panels: [
    {
      title: 'Lost by watched consumers in this time range',
      whenEmpty: NONE,
      description:
        'Events that became visible after the consumer had passed them: a lower bound. "passed": nobody has said whether it handles their types. Anything above 0: open the runbook, consumer loses events.',
      width: 16,
      view: { kind: 'number', unit: 'short', bad: 1 },
      queries: [
        {
          expr: counted('increase', 'consumer_lost_events', 'consumer, verdict', [], '$__range'),
          legend: `${legend} {{verdict}}`,
        },
      ],
    },
    {
      title: 'Lost by watched consumers in all',
      whenEmpty: 'No consumer is watched with a ledger',
      description: 'What is in the ledger of the watch (tidemark.lost_events): it survives restarts.',
      width: 8,
      view: { kind: 'number', unit: 'short', bad: 1 },
      queries: [
        {
          expr: across('consumer_lost_events_recorded', 'consumer, verdict'),
          legend: `${legend} {{verdict}}`,
        },
      ],
    },
    {
      title: 'Exposed positions',
      whenEmpty: NONE,
      description:
        'Positions that a consumer has passed and at which an event may still become visible. A few that come and go are rolled back numbers as a rule. Absent where the checkpoint is a pair of transaction and position.',
      width: 12,
      view: { kind: 'graph', unit: 'short' },
      queries: [{ expr: across('consumer_exposed_positions', 'consumer'), legend }],
    },
    {
      title: 'Lag of watched consumers',
      whenEmpty: NONE,
      description:
        'Positions between the checkpoint and the mark. A consumer that passes over events without storing that shows a large one, and is not behind.',
      width: 12,
      view: { kind: 'graph', unit: 'short' },
      queries: [{ expr: across('consumer_lag_positions', 'consumer'), legend }],
    },
    {
      title: 'Lag of watched consumers in seconds',
      whenEmpty: 'No consumer is watched whose lag in seconds is known',
      description:
        'The age of the oldest settled event that waits for the consumer. Needs appendedAt, an index led by the position, and the types that the consumer handles (eventTypes).',
      width: 12,
      view: { kind: 'graph', unit: 's' },
      queries: [{ expr: across('consumer_lag_seconds', 'consumer'), legend }],
    },
    {
      title: 'Checkpoints of watched consumers stand still',
      whenEmpty: NONE,
      description:
        'For how long each checkpoint has not moved. It grows too where there is nothing to read: look at the lag beside it.',
      width: 12,
      view: { kind: 'graph', unit: 's' },
      queries: [{ expr: across('consumer_checkpoint_age_seconds', 'consumer'), legend }],
    },
    {
      title: 'Parked events of watched consumers',
      whenEmpty: NONE_OF_ESDB,
      description:
        'Events that the server has set aside for a group: given up, until someone replays or removes them. Anything above 0: open the runbook, consumer has parked events.',
      width: 12,
      view: { kind: 'number', unit: 'short', bad: 1 },
      queries: [{ expr: across('consumer_parked_events', 'consumer'), legend }],
    },
    {
      title: 'Where checkpoints of watched consumers stand',
      whenEmpty: NONE_OF_ESDB,
      description:
        'Beyond its log: the store was restored or is another one; open the runbook, consumer beyond its log. Off its log: no event stands there, which is as it should be behind a stream that is truncated on purpose.',
      width: 12,
      view: { kind: 'number', unit: 'short', bad: 2, texts: PLACE_TEXTS },
      queries: [{ expr: place, legend }],
    },
  ],
}
