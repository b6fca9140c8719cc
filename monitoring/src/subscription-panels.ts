import type { Row } from './panel.ts'
import { across, counted, perProjection } from './panel-queries.ts'

const NO_GROUP = 'No persistent subscription is wrapped'

/** Most applications have either daemons or wrapped subscriptions. The row is closed until somebody opens it. */
export const OF_SUBSCRIPTIONS: Row = {
  title: 'Do wrapped subscriptions deliver, and consumer groups keep up?',
  isCollapsed: true,
  panels: [
    {
      title: 'Stalled subscriptions',
      whenEmpty: 'No wrapped subscription to watch: there is none, or it has a filter, or it is persistent',
      description:
        'Nothing has come from a wrapped subscription for longer than its threshold, while its head stands above.',
      width: 8,
      view: { kind: 'number', unit: 'short', bad: 1, texts: { 0: 'delivering', 1: 'stalled' } },
      queries: [perProjection(across('subscription_stalled', 'projection_name'))],
    },
    {
      title: 'Subscription drops',
      whenEmpty: 'No wrapped subscription was dropped',
      description:
        'Wrapped subscriptions that ended though nobody unsubscribed, by the type of the error. Only `resubscribing` makes another one.',
      width: 16,
      view: { kind: 'graph', unit: 'short', style: 'bars' },
      queries: [
        perProjection(
          counted('increase', 'subscription_drops', 'projection_name, reason'),
          '{{projection_name}} {{reason}}',
        ),
      ],
    },
    {
      title: 'Parked messages',
      whenEmpty: NO_GROUP,
      description:
        'Given up by the consumers of a persistent subscription, until someone replays or removes them.',
      width: 8,
      view: { kind: 'graph', unit: 'short' },
      queries: [perProjection(across('parked_messages', 'projection_name'))],
    },
    {
      title: 'Outstanding messages',
      whenEmpty: NO_GROUP,
      description:
        'What the consumers of a persistent subscription have received and not yet acknowledged: of the group, and of each process.',
      width: 8,
      view: { kind: 'graph', unit: 'short' },
      queries: [
        perProjection(across('outstanding_messages', 'projection_name')),
        perProjection(
          across('consumer_messages_in_hand', 'projection_name, instance'),
          '{{projection_name}} {{instance}}',
        ),
      ],
    },
    {
      title: 'Consumers',
      whenEmpty: NO_GROUP,
      description: 'Connected to the group of a persistent subscription.',
      width: 8,
      view: { kind: 'graph', unit: 'short' },
      queries: [perProjection(across('group_consumers', 'projection_name'))],
    },
    {
      title: 'Events acknowledged',
      whenEmpty: NO_GROUP,
      description:
        'Per second, of wrapped persistent subscriptions: ack, or the action of the nack. Skip and park count as skipped events too.',
      width: 24,
      view: { kind: 'graph', unit: 'cps' },
      queries: [
        perProjection(
          counted('rate', 'acknowledged_events', 'projection_name, action'),
          '{{projection_name}} {{action}}',
        ),
      ],
    },
  ],
}
