import { MARK_SKIP_REASONS, SKIP_REASONS } from '../ports/checkpoint-store.ts'
import { PROJECTION_STATES } from '../projection/status.ts'
import { ACKNOWLEDGE_ACTIONS, SUBSCRIPTION_STATES } from '../subscription/status.ts'

/**
 * Every metric of Tidemark: the one list that both backends, the documentation, the dashboard and their tests are made
 * from or checked against. Names are those of a Prometheus scrape without the prefix.
 */
export interface Instrument {
  readonly kind: 'counter' | 'gauge' | 'histogram'
  /** UCUM. In braces what is counted; never `1`, which collectors turn into a suffix `_ratio`. */
  readonly unit: string
  /**
   * Who exports it: `store`, each process that polls (dashboards take `max`, never a sum over replicas); `projection`,
   * the process that owns it; `process`, each process on its own.
   */
  readonly scope: 'store' | 'projection' | 'process'
  /**
   * How the values that several processes export of one series become one: by prom-client's `AggregatorRegistry` under
   * `node:cluster`, and on the dashboard. `max` and `min` where each process shows the same thing, `sum` where each shows
   * a part of its own.
   */
  readonly aggregator: Aggregator
  /**
   * Of a gauge, which of two values is shown where two daemons of one process have the same name: the worse one, so that no
   * tenant's fault hides behind another that is well. `state`: the worst state of all.
   */
  readonly worse?: 'greater' | 'less' | 'state'
  /** The labels, each with its allowed values where they are fixed. */
  readonly labels: Readonly<Record<string, readonly string[] | 'named by the user' | 'named by the source'>>
  readonly help: string
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[]
  /**
   * What OpenTelemetry shows of a gauge's series that has ended: its SDK cannot withdraw one. 0 where that says "nothing",
   * -1 ("unknown") where 0 would be a value. Without it the last value stays: of positions and stored totals.
   */
  readonly whenEnded?: 0 | -1
  /** Where a person meets it: on the dashboard, in an alert, or for exploration only. */
  readonly usedBy: readonly ('dashboard' | 'alert' | 'exploration')[]
}

export type Aggregator = 'sum' | 'max' | 'min'

const SOURCE = { source: 'named by the user' } as const
const PROJECTION = { projection_name: 'named by the user' } as const
const OUTCOMES = ['filled', 'proven_empty', 'skipped'] as const

/** A poll takes about 1 ms; behind DDL it waits for its lock timeout. */
const POLL_BUCKETS = [
  0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1, 2, 4, 10, 25, 60,
] as const
/** From a commit in the wrong order to a transaction forgotten over lunch. */
const GAP_BUCKETS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300, 600, 1500, 3600,
] as const
const BATCH_BUCKETS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300,
] as const
const BATCH_SIZE_BUCKETS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000] as const
const DELAY_BUCKETS = [
  0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 90, 120, 180, 300, 600, 1500, 3600,
] as const

export type CounterName =
  | 'skipped_events'
  | 'processed_events'
  | 'proven_empty_positions'
  | 'gaps_closed'
  | 'handler_errors'
  | 'checkpoint_conflicts'
  | 'polls'
  | 'telemetry_errors'
  | 'delivered_events'
  | 'acknowledged_events'
  | 'subscription_drops'

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
  | 'subscription_stalled'
  | 'parked_messages'
  | 'outstanding_messages'
  | 'group_consumers'
  | 'consumer_messages_in_hand'

export type HistogramName =
  | 'poll_duration_seconds'
  | 'gap_duration_seconds'
  | 'batch_duration_seconds'
  | 'batch_size_events'
  | 'event_delay_seconds'

export type InstrumentName = CounterName | GaugeName | HistogramName

export const INSTRUMENTS: Readonly<Record<InstrumentName, Instrument>> = {
  skipped_events: {
    kind: 'counter',
    unit: '{event}',
    scope: 'projection',
    aggregator: 'sum',
    labels: { ...PROJECTION, reason: SKIP_REASONS },
    help: 'Positions that a projection passed without proof, or events that it passed without handling them. Data may be lost.',
    usedBy: ['dashboard', 'alert'],
  },
  processed_events: {
    kind: 'counter',
    unit: '{event}',
    scope: 'projection',
    aggregator: 'sum',
    labels: PROJECTION,
    help: 'Events handled and checkpointed; of a wrapped subscription, events whose consumer came back for the next, or whose handler resolved.',
    usedBy: ['dashboard', 'alert'],
  },
  proven_empty_positions: {
    kind: 'counter',
    unit: '{position}',
    scope: 'store',
    aggregator: 'max',
    labels: SOURCE,
    help: 'Positions proven never to hold an event: rolled back, or lost in a crash. Not a loss.',
    usedBy: ['dashboard'],
  },
  gaps_closed: {
    kind: 'counter',
    unit: '{gap}',
    scope: 'store',
    aggregator: 'max',
    labels: { ...SOURCE, outcome: OUTCOMES },
    help: 'Gaps that the mark has passed, by how.',
    usedBy: ['dashboard'],
  },
  handler_errors: {
    kind: 'counter',
    unit: '{error}',
    scope: 'projection',
    aggregator: 'sum',
    labels: { ...PROJECTION, action: ['retry', 'pause'] },
    help: 'Failures of handlers and mappings, by what followed.',
    usedBy: ['dashboard'],
  },
  checkpoint_conflicts: {
    kind: 'counter',
    unit: '{conflict}',
    scope: 'process',
    aggregator: 'sum',
    labels: PROJECTION,
    help: 'Times that another owner held or had moved the checkpoint. A few at a deploy are normal.',
    usedBy: ['dashboard', 'alert'],
  },
  polls: {
    kind: 'counter',
    unit: '{poll}',
    scope: 'store',
    aggregator: 'max',
    labels: { ...SOURCE, outcome: ['moved', 'unchanged', 'failed'] },
    help: 'Polls of the store.',
    usedBy: ['dashboard', 'alert'],
  },
  telemetry_errors: {
    kind: 'counter',
    unit: '{error}',
    scope: 'process',
    aggregator: 'sum',
    labels: {},
    help: 'Errors thrown by telemetry itself; the work went on.',
    usedBy: ['dashboard'],
  },
  delivered_events: {
    kind: 'counter',
    unit: '{event}',
    scope: 'projection',
    aggregator: 'sum',
    labels: PROJECTION,
    help: 'Events that a wrapped subscription handed over, processed or not.',
    usedBy: ['dashboard'],
  },
  acknowledged_events: {
    kind: 'counter',
    unit: '{event}',
    scope: 'projection',
    aggregator: 'sum',
    labels: { ...PROJECTION, action: ACKNOWLEDGE_ACTIONS },
    help: 'Events of a wrapped persistent subscription, by what its consumer said of them: ack, or the action of the nack.',
    usedBy: ['dashboard'],
  },
  subscription_drops: {
    kind: 'counter',
    unit: '{drop}',
    scope: 'projection',
    aggregator: 'sum',
    labels: { ...PROJECTION, reason: 'named by the source' },
    help: 'Wrapped subscriptions that ended though nobody unsubscribed, by the type of the error; `silent_end` is one that came without an error.',
    usedBy: ['dashboard', 'alert'],
  },
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
  poll_duration_seconds: {
    kind: 'histogram',
    unit: 's',
    scope: 'store',
    aggregator: 'sum',
    labels: SOURCE,
    help: 'How long a poll took.',
    buckets: POLL_BUCKETS,
    usedBy: ['dashboard'],
  },
  gap_duration_seconds: {
    kind: 'histogram',
    unit: 's',
    scope: 'store',
    aggregator: 'sum',
    labels: { ...SOURCE, outcome: OUTCOMES },
    help: 'How long a gap was open.',
    buckets: GAP_BUCKETS,
    usedBy: ['dashboard'],
  },
  batch_duration_seconds: {
    kind: 'histogram',
    unit: 's',
    scope: 'projection',
    aggregator: 'sum',
    labels: PROJECTION,
    help: 'How long a batch took, its transaction included.',
    buckets: BATCH_BUCKETS,
    usedBy: ['dashboard'],
  },
  batch_size_events: {
    kind: 'histogram',
    unit: '{event}',
    scope: 'projection',
    aggregator: 'sum',
    labels: PROJECTION,
    help: 'How many events a batch had.',
    buckets: BATCH_SIZE_BUCKETS,
    usedBy: ['dashboard'],
  },
  event_delay_seconds: {
    kind: 'histogram',
    unit: 's',
    scope: 'projection',
    aggregator: 'sum',
    labels: PROJECTION,
    help: 'From append to handled, of the oldest event of a batch, while the projection is live; of a wrapped subscription, of about one event a second.',
    buckets: DELAY_BUCKETS,
    usedBy: ['dashboard'],
  },
}
