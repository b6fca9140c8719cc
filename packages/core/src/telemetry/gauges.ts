import { MARK_SKIP_REASONS } from '../ports/stored-unit.ts'
import { PROJECTION_STATES } from '../projection/status.ts'
import { SUBSCRIPTION_STATES } from '../subscription/status.ts'
import { type Instrument, PROJECTION, SOURCE } from './instrument.ts'

export type GaugeName =
  | 'high_water_mark'
  | 'settled_position'
  | 'store_head'
  | 'high_water_mark_stale'
  | 'open_gaps'
  | 'oldest_gap_age_seconds'
  | 'gap_holders'
  | 'last_successful_poll_timestamp_seconds'
  | 'projection_position'
  | 'projection_lag_positions'
  | 'projection_lag_seconds'
  | 'projection_state'
  | 'skipped_events_recorded'
  | 'dead_letters_open'
  | 'oldest_dead_letter_age_seconds'
  | 'subscription_stalled'
  | 'parked_messages'
  | 'outstanding_messages'
  | 'group_consumers'
  | 'consumer_messages_in_hand'

export const GAUGES: Readonly<Record<GaugeName, Instrument>> = {
  high_water_mark: {
    kind: 'gauge',
    unit: '{position}',
    scope: 'store',
    aggregator: 'max',
    worse: 'less',
    labels: SOURCE,
    help: 'The last visible event that projections may read.',
    usedBy: ['dashboard'],
  },
  settled_position: {
    kind: 'gauge',
    unit: '{position}',
    scope: 'store',
    aggregator: 'max',
    worse: 'less',
    labels: SOURCE,
    help: 'Up to here every position is visible or proven empty.',
    usedBy: ['dashboard'],
  },
  store_head: {
    kind: 'gauge',
    unit: '{position}',
    scope: 'store',
    aggregator: 'max',
    worse: 'greater',
    labels: SOURCE,
    help: 'The newest position that the store has handed out.',
    usedBy: ['dashboard'],
  },
  high_water_mark_stale: {
    kind: 'gauge',
    unit: '{boolean}',
    scope: 'store',
    aggregator: 'max',
    worse: 'greater',
    labels: SOURCE,
    help: '1 when settled has stood below the head, or no poll has succeeded, for longer than the threshold.',
    whenEnded: 0,
    usedBy: ['dashboard', 'alert'],
  },
  open_gaps: {
    kind: 'gauge',
    unit: '{gap}',
    scope: 'store',
    aggregator: 'max',
    worse: 'greater',
    labels: SOURCE,
    help: 'Runs of positions that may still be filled.',
    whenEnded: 0,
    usedBy: ['dashboard'],
  },
  oldest_gap_age_seconds: {
    kind: 'gauge',
    unit: 's',
    scope: 'store',
    aggregator: 'max',
    worse: 'greater',
    labels: SOURCE,
    help: 'How long the oldest open gap has been seen; 0 while there is none.',
    whenEnded: 0,
    usedBy: ['dashboard'],
  },
  gap_holders: {
    kind: 'gauge',
    unit: '{transaction}',
    scope: 'store',
    aggregator: 'max',
    worse: 'greater',
    labels: SOURCE,
    help: 'Transactions that may still fill a gap.',
    whenEnded: 0,
    usedBy: ['dashboard'],
  },
  last_successful_poll_timestamp_seconds: {
    kind: 'gauge',
    unit: 's',
    scope: 'store',
    aggregator: 'min',
    worse: 'less',
    labels: SOURCE,
    help: 'Unix time of the last poll that succeeded.',
    whenEnded: -1,
    usedBy: ['dashboard', 'alert'],
  },
  projection_position: {
    kind: 'gauge',
    unit: '{position}',
    scope: 'projection',
    aggregator: 'max',
    worse: 'less',
    labels: PROJECTION,
    help: "The projection's checkpoint; of a wrapped subscription, how far all is processed; of a persistent one, the checkpoint of its group, which the server writes now and then.",
    usedBy: ['dashboard', 'alert'],
  },
  projection_lag_positions: {
    kind: 'gauge',
    unit: '{position}',
    scope: 'projection',
    aggregator: 'min',
    worse: 'greater',
    labels: PROJECTION,
    help: '(head - settled) + (mark - checkpoint), of a wrapped subscription head - position: positions, not events. Absent where positions are sparse.',
    whenEnded: -1,
    usedBy: ['dashboard'],
  },
  projection_lag_seconds: {
    kind: 'gauge',
    unit: 's',
    scope: 'projection',
    aggregator: 'min',
    worse: 'greater',
    labels: PROJECTION,
    help: "Now minus the append time of the projection's oldest unprocessed event; 0 when there is none, absent when unknown.",
    whenEnded: -1,
    usedBy: ['dashboard', 'alert'],
  },
  projection_state: {
    kind: 'gauge',
    unit: '{boolean}',
    scope: 'projection',
    aggregator: 'max',
    worse: 'state',
    labels: { ...PROJECTION, state: [...new Set([...PROJECTION_STATES, ...SUBSCRIPTION_STATES])] },
    help: '1 for the state that the projection is in, 0 for the others.',
    whenEnded: 0,
    usedBy: ['dashboard', 'alert'],
  },
  skipped_events_recorded: {
    kind: 'gauge',
    unit: '{event}',
    scope: 'projection',
    aggregator: 'max',
    worse: 'greater',
    labels: { ...PROJECTION, reason: MARK_SKIP_REASONS },
    help: 'The total of skipped positions stored with the checkpoint: survives restarts.',
    usedBy: ['dashboard', 'alert'],
  },
  dead_letters_open: {
    kind: 'gauge',
    unit: '{letter}',
    scope: 'projection',
    aggregator: 'max',
    worse: 'greater',
    labels: PROJECTION,
    help: 'Dead letters of a projection that are open: events that its onFailure gave up. Read from the checkpoint store when a scrape asks, and shown at the next.',
    whenEnded: 0,
    usedBy: ['dashboard', 'alert'],
  },
  oldest_dead_letter_age_seconds: {
    kind: 'gauge',
    unit: 's',
    scope: 'projection',
    aggregator: 'max',
    worse: 'greater',
    labels: PROJECTION,
    help: 'How long the oldest open dead letter of a projection has been open; 0 where there is none.',
    whenEnded: 0,
    usedBy: ['dashboard'],
  },
  subscription_stalled: {
    kind: 'gauge',
    unit: '{boolean}',
    scope: 'projection',
    aggregator: 'max',
    worse: 'greater',
    labels: PROJECTION,
    help: '1 when nothing has come from a wrapped subscription for longer than the threshold while the head stands above. Absent where the head does not tell: filtered and persistent subscriptions.',
    whenEnded: 0,
    usedBy: ['dashboard', 'alert'],
  },
  parked_messages: {
    kind: 'gauge',
    unit: '{message}',
    scope: 'projection',
    aggregator: 'max',
    worse: 'greater',
    labels: PROJECTION,
    help: 'Messages of a persistent subscription that were parked: given up, until someone replays or removes them.',
    whenEnded: 0,
    usedBy: ['dashboard'],
  },
  outstanding_messages: {
    kind: 'gauge',
    unit: '{message}',
    scope: 'projection',
    aggregator: 'max',
    worse: 'greater',
    labels: PROJECTION,
    help: 'Messages of a persistent subscription that its consumers have received and not yet acknowledged.',
    whenEnded: 0,
    usedBy: ['dashboard'],
  },
  group_consumers: {
    kind: 'gauge',
    unit: '{consumer}',
    scope: 'projection',
    aggregator: 'max',
    worse: 'less',
    labels: PROJECTION,
    help: 'Consumers connected to the group of a persistent subscription.',
    whenEnded: 0,
    usedBy: ['dashboard'],
  },
  consumer_messages_in_hand: {
    kind: 'gauge',
    unit: '{message}',
    scope: 'process',
    aggregator: 'sum',
    worse: 'greater',
    labels: PROJECTION,
    help: 'Of the outstanding messages, those that the consumers of this process have.',
    whenEnded: 0,
    usedBy: ['dashboard'],
  },
}
