import type { ProjectionState, SubscriptionState } from '@tidemark/core'
import { NOT_HISTORICAL, NOT_RECORDED } from './names.ts'
import type { Row } from './panel.ts'
import {
  across,
  average,
  counted,
  gauge,
  ofWorstShard,
  perProjection,
  perSource,
  quantile,
  quantiles,
  recordedSkips,
  skippedWithin,
} from './panel-queries.ts'
import { OF_SUBSCRIPTIONS } from './subscription-panels.ts'
import { OF_WATCHED_CONSUMERS } from './watch-panels.ts'

/** Of several processes the one that does most for a projection counts. */
const MOST_ALIVE_FIRST: readonly (ProjectionState | SubscriptionState)[] = [
  'live',
  'catching_up',
  'replaying',
  'retrying',
  'paused',
  'dropped',
  'standby',
  'ended',
  'stopped',
]
const stateNumber = (state: ProjectionState | SubscriptionState): number =>
  MOST_ALIVE_FIRST.length - MOST_ALIVE_FIRST.indexOf(state)
const STATE_TEXTS: Readonly<Record<number, string>> = Object.fromEntries(
  MOST_ALIVE_FIRST.map((state) => [stateNumber(state), state]),
)
/** A state that a sum over processes shows as more than 1 is still one. */
const stateOfShards = `max by (projection_name, shard) (${MOST_ALIVE_FIRST.map(
  (state) => `clamp_max(${gauge('projection_state', [`state="${state}"`])} >= 1, 1) * ${stateNumber(state)}`,
).join(' or ')})`
/** Of several shards that of the least alive. */
const projectionState = `min by (projection_name) (${stateOfShards})`

const whoHoldsIt = (
  toRunbook: (section: string) => string,
): string => `The daemon's log names the holder when the mark goes stale. In Postgres:

\`\`\`sql
select l.pid, l.virtualtransaction, a.application_name, a.client_addr, a.state,
       now() - a.xact_start as open_for, left(a.query, 100) as last_query
from pg_locks l left join pg_stat_activity a using (pid)
where l.locktype = 'relation' and l.granted and l.mode = 'RowExclusiveLock'
  and l.database = (select oid from pg_database where datname = current_database())
  and l.relation = pg_get_serial_sequence('events', 'position')::regclass;
\`\`\`

A row without a pid is a prepared transaction: \`select * from pg_prepared_xacts\`.
What to do: ${toRunbook('Mark stale')}.`

const NOTHING_RUNS = 'No daemon and no wrapped subscription is scraped'
const NO_GAPS = 'Only daemons look for gaps'
const NO_LEASES = 'Only of daemons with leases (the option nodes)'

/** What the dashboard shows, top to bottom; dashboard.ts makes Grafana's JSON of it. */
export const ROWS: readonly Row[] = [
  {
    title: 'Is anything being lost?',
    panels: [
      {
        title: 'Skipped in this time range',
        whenEmpty: NOTHING_RUNS,
        description:
          "From the totals stored with the checkpoints, so restarts hide nothing; of wrapped subscriptions, from the processes' counters. Anything above 0: open the runbook, events skipped.",
        width: 8,
        view: { kind: 'number', unit: 'short', bad: 1 },
        queries: [
          perProjection(skippedWithin('$__range'), '{{projection_name}} {{reason}}'),
          perProjection(
            counted('increase', 'skipped_events', 'projection_name, reason', [NOT_RECORDED], '$__range'),
            '{{projection_name}} {{reason}}',
          ),
        ],
      },
      {
        title: 'Skipped ever',
        whenEmpty: 'Only of daemons: wrapped subscriptions have no stored total',
        description: 'The totals stored with the checkpoints, since each projection first started.',
        width: 6,
        view: { kind: 'number', unit: 'short', bad: 1 },
        queries: [perProjection(recordedSkips(NOT_HISTORICAL), '{{projection_name}} {{reason}}')],
      },
      {
        title: 'Historical gaps',
        whenEmpty: 'Only of daemons: wrapped subscriptions have no stored total',
        description:
          'Positions that were already missing when the projection first started. Not a loss to alarm on.',
        width: 6,
        view: { kind: 'number', unit: 'short' },
        queries: [perProjection(recordedSkips('reason="historical_gap"'))],
      },
      {
        title: 'Telemetry errors',
        whenEmpty: NOTHING_RUNS,
        description:
          'Errors thrown by telemetry itself. The work went on, but what is shown here may be incomplete.',
        width: 4,
        view: { kind: 'number', unit: 'short', bad: 1 },
        queries: [
          { expr: counted('increase', 'telemetry_errors', 'job', [], '$__range'), legend: '{{job}}' },
        ],
      },
      {
        title: 'Dead letters',
        whenEmpty: 'Only of daemons whose checkpoints keep dead letters',
        description:
          'Open ones: events that onFailure gave up, until somebody resolves or discards them. Anything above 0: open the runbook, dead letters open.',
        width: 6,
        view: { kind: 'number', unit: 'short', bad: 1 },
        queries: [perProjection(across('dead_letters_open', 'projection_name'))],
      },
      {
        title: 'Oldest dead letter',
        whenEmpty: 'Only of daemons whose checkpoints keep dead letters',
        description: 'How long the oldest open dead letter has been open; 0 where there is none.',
        width: 6,
        view: { kind: 'number', unit: 's' },
        queries: [perProjection(across('oldest_dead_letter_age_seconds', 'projection_name'))],
      },
      {
        title: 'Skips as they happen',
        whenEmpty: NOTHING_RUNS,
        description: 'By projection and reason, counted by the processes.',
        width: 6,
        view: { kind: 'graph', unit: 'short', style: 'bars' },
        queries: [
          perProjection(
            counted('increase', 'skipped_events', 'projection_name, reason'),
            '{{projection_name}} {{reason}}',
          ),
        ],
      },
      {
        title: 'Late events',
        whenEmpty: 'Only of daemons whose source passes gaps without proof',
        description:
          'Events that became visible behind the checkpoint, as they were found. Anything above 0: open the runbook, late events.',
        width: 6,
        view: { kind: 'graph', unit: 'short', style: 'bars' },
        queries: [perProjection(counted('increase', 'late_events', 'projection_name'))],
      },
    ],
  },
  {
    title: 'Is anything stuck, and who holds it?',
    panels: [
      {
        title: 'High-water mark',
        whenEmpty: 'Only daemons have one',
        description:
          'Stale: settled has stood below the head, or no poll has succeeded, for longer than the threshold.',
        width: 4,
        view: { kind: 'number', unit: 'short', bad: 1, texts: { 0: 'moving', 1: 'stale' } },
        queries: [perSource('', across('high_water_mark_stale', 'source'))],
      },
      {
        title: 'Last successful poll',
        whenEmpty: 'Only daemons poll',
        description: 'Seconds ago, of the replica where it is longest ago.',
        width: 4,
        view: { kind: 'number', unit: 's', bad: 60 },
        queries: [perSource('', `time() - ${across('last_successful_poll_timestamp_seconds', 'source')}`)],
      },
      {
        title: 'Projection states',
        whenEmpty: NOTHING_RUNS,
        description: 'Of several processes the one that does most for it.',
        width: 16,
        view: { kind: 'states', texts: STATE_TEXTS },
        queries: [perProjection(projectionState)],
      },
      {
        title: 'Open gaps and their holders',
        whenEmpty: NO_GAPS,
        description: 'Runs of positions that may still be filled, and the transactions that may fill them.',
        width: 8,
        view: { kind: 'graph', unit: 'short', style: 'steps' },
        queries: [
          perSource('gaps', across('open_gaps', 'source')),
          perSource('holders', across('gap_holders', 'source')),
        ],
      },
      {
        title: 'Age of the oldest gap',
        whenEmpty: NO_GAPS,
        description: 'Absent while there is none.',
        width: 8,
        view: { kind: 'graph', unit: 's' },
        queries: [perSource('', across('oldest_gap_age_seconds', 'source'))],
      },
      {
        title: 'Who holds it',
        description: '',
        width: 8,
        view: { kind: 'text', markdown: whoHoldsIt },
        queries: [],
      },
      {
        title: 'Failed polls',
        whenEmpty: 'Only daemons poll',
        description: 'A second.',
        width: 8,
        view: { kind: 'graph', unit: 'cps' },
        queries: [perSource('', counted('rate', 'polls', 'source', ['outcome="failed"']))],
      },
      {
        title: 'Failed batches',
        whenEmpty: 'Only daemons have batches',
        description: 'By what followed: another try, or a pause, from which it is seldom tried.',
        width: 8,
        view: { kind: 'graph', unit: 'short', style: 'bars' },
        queries: [
          perProjection(
            counted('increase', 'handler_errors', 'projection_name, action'),
            '{{projection_name}} {{action}}',
          ),
        ],
      },
      {
        title: 'Checkpoint conflicts',
        whenEmpty: 'Only daemons have checkpoints that they share',
        description: 'Another owner held or had moved the checkpoint: how a standby stands by.',
        width: 8,
        view: { kind: 'graph', unit: 'short', style: 'bars' },
        queries: [perProjection(counted('increase', 'checkpoint_conflicts', 'projection_name'))],
      },
    ],
  },
  {
    title: 'How far behind?',
    panels: [
      {
        title: 'Lag',
        whenEmpty: 'Not known: events have no append time, or nothing runs',
        description: 'How long ago the oldest unprocessed event was appended; 0 when there is none.',
        width: 8,
        view: { kind: 'graph', unit: 's' },
        queries: [perProjection(ofWorstShard('projection_lag_seconds', 'max'))],
      },
      {
        title: 'Lag in positions',
        whenEmpty: 'Not known: positions are sparse, or nothing runs',
        description: 'Positions, not events: rolled-back numbers count. Absent where positions are sparse.',
        width: 8,
        view: { kind: 'graph', unit: 'short' },
        queries: [perProjection(ofWorstShard('projection_lag_positions', 'max'))],
      },
      {
        title: 'Positions',
        whenEmpty: NOTHING_RUNS,
        description: 'Head over settled over mark over checkpoints. Where two part is where it waits.',
        width: 8,
        view: { kind: 'graph', unit: 'none' },
        queries: [
          perSource('head', across('store_head', 'source')),
          perSource('settled', across('settled_position', 'source')),
          perSource('mark', across('high_water_mark', 'source')),
          perProjection(ofWorstShard('projection_position', 'min'), '{{projection_name}} checkpoint'),
        ],
      },
      {
        title: 'Replays: time left',
        whenEmpty: 'Only of daemons, while events are replayed, where positions are numbers',
        description:
          'At the speed of the last half minute, of projections that handle events anew: rebuilt, moved back, or beside the live version.',
        width: 8,
        view: { kind: 'graph', unit: 's' },
        queries: [perProjection(across('replay_seconds_left', 'projection_name'))],
      },
      {
        title: 'Replays: speed',
        whenEmpty: 'Only of daemons, while events are replayed',
        description: 'Events a second, over the last half minute.',
        width: 8,
        view: { kind: 'graph', unit: 'cps' },
        queries: [perProjection(across('replay_events_per_second', 'projection_name'))],
      },
    ],
  },
  {
    title: 'Which node has what, where nodes share projections by leases?',
    isCollapsed: true,
    panels: [
      {
        title: 'Units that some node has',
        whenEmpty: NO_LEASES,
        description:
          'A unit is a version of a projection, or a shard of it. Below their number some are worked on by nobody.',
        width: 8,
        view: { kind: 'graph', unit: 'short' },
        queries: [perSource('', across('leased_units', 'source'))],
      },
      {
        title: 'Oldest renewal',
        whenEmpty: NO_LEASES,
        description:
          'Of the node that has renewed its lease longest ago. Above leaseMs others take over what it has.',
        width: 8,
        view: { kind: 'graph', unit: 's' },
        queries: [perSource('', across('lease_renewal_age_seconds', 'source'))],
      },
      {
        title: 'Leases granted',
        whenEmpty: NO_LEASES,
        description: 'A second. Many without a deploy: nodes come and go, or one is held up.',
        width: 8,
        view: { kind: 'graph', unit: 'cps' },
        queries: [perProjection(counted('rate', 'lease_grants', 'projection_name'))],
      },
    ],
  },
  OF_SUBSCRIPTIONS,
  OF_WATCHED_CONSUMERS,
  {
    title: 'How fast?',
    panels: [
      {
        title: 'Events processed',
        whenEmpty: NOTHING_RUNS,
        description: 'Per second. Of wrapped subscriptions also the events that were delivered.',
        width: 8,
        view: { kind: 'graph', unit: 'cps' },
        queries: [
          perProjection(counted('rate', 'processed_events', 'projection_name')),
          perProjection(
            counted('rate', 'delivered_events', 'projection_name'),
            '{{projection_name}} delivered',
          ),
        ],
      },
      {
        title: 'Batch duration',
        whenEmpty: 'Only of daemons, from the first batch on',
        description: 'The transaction included.',
        width: 8,
        view: { kind: 'graph', unit: 's' },
        queries: quantiles('batch_duration_seconds', 'projection_name', '{{projection_name}}'),
      },
      {
        title: 'Event delay',
        whenEmpty: 'No event was handled while live, or events have no append time',
        description: 'From append to handled, of the oldest event of a batch, while the projection is live.',
        width: 8,
        view: { kind: 'graph', unit: 's' },
        queries: quantiles('event_delay_seconds', 'projection_name', '{{projection_name}}'),
      },
      {
        title: 'Events a batch',
        whenEmpty: 'Only of daemons, from the first batch on',
        description: 'On average.',
        width: 6,
        view: { kind: 'graph', unit: 'short' },
        queries: [perProjection(average('batch_size_events', 'projection_name'))],
      },
      {
        title: 'Polls',
        whenEmpty: 'Only daemons poll',
        description: 'A second, of the replica that polls most.',
        width: 6,
        view: { kind: 'graph', unit: 'cps' },
        queries: [perSource('{{outcome}}', counted('rate', 'polls', 'source, outcome'))],
      },
      {
        title: 'Poll duration',
        whenEmpty: 'Only daemons poll',
        description: 'Grows with the number of locks of the whole server.',
        width: 6,
        view: { kind: 'graph', unit: 's' },
        queries: quantiles('poll_duration_seconds', 'source', '{{source}}'),
      },
      {
        title: 'Positions proven empty',
        whenEmpty: NO_GAPS,
        description: 'A second: rolled back, or lost in a crash. Not a loss.',
        width: 6,
        view: { kind: 'graph', unit: 'cps' },
        queries: [perSource('', counted('rate', 'proven_empty_positions', 'source'))],
      },
      {
        title: 'Gaps closed',
        whenEmpty: NO_GAPS,
        description: 'A second, by how. "skipped" happens in stale-threshold mode alone.',
        width: 12,
        view: { kind: 'graph', unit: 'cps' },
        queries: [perSource('{{outcome}}', counted('rate', 'gaps_closed', 'source, outcome'))],
      },
      {
        title: 'How long gaps were open',
        whenEmpty: 'Only of daemons, from the first gap on',
        description: '95 % were shorter.',
        width: 12,
        view: { kind: 'graph', unit: 's' },
        queries: [perSource('{{outcome}}', quantile(0.95, 'gap_duration_seconds', 'source, outcome'))],
      },
    ],
  },
  {
    title: 'How does it relate?',
    panels: [
      {
        title: 'Skips beside batch duration and event delay: $projection',
        whenEmpty: NOTHING_RUNS,
        description: 'Skips on the right axis, from the stored totals; durations on the left.',
        width: 24,
        view: { kind: 'relation', unit: 's', onRight: 'skipped' },
        queries: [
          perProjection(`sum by (projection_name) (${skippedWithin('$__rate_interval')})`, 'skipped'),
          perProjection(quantile(0.95, 'batch_duration_seconds', 'projection_name'), 'batch duration p95'),
          perProjection(quantile(0.95, 'event_delay_seconds', 'projection_name'), 'event delay p95'),
        ],
      },
    ],
  },
]
