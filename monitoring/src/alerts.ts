import { block, NOT_HISTORICAL } from './names.ts'
import {
  counter,
  gauge,
  increase,
  increaseInProcess,
  known,
  ofConsumer,
  ofLosses,
  ofProjection,
  ofReplica,
  ofShard,
  ofSkips,
  ofSource,
} from './rule-queries.ts'

/** One alert. Its `section` is a heading of docs/runbook.md. */
export interface Alert {
  readonly name: string
  readonly section: string
  /** `critical`: events are being lost, or a projection stands still. `warning`: look at it in the day. */
  readonly severity: 'critical' | 'warning'
  /** How long the condition has to hold. */
  readonly for: string
  readonly summary: string
  readonly description: string
  readonly expr: string
}

const LAG_SECONDS = 60
const POLL_SILENCE_SECONDS = 60
/** A deploy of the server or a change of its leader drops a subscription once or twice. */
const DROPS_IN_A_ROW = 3

const recordedSkips = `max by (${ofSkips}) (${gauge('skipped_events_recorded', [NOT_HISTORICAL])})`
/** Survives restarts, where a watch has a ledger. */
const recordedLosses = `max by (${ofLosses}) (${gauge('consumer_lost_events_recorded')})`
const skippedEvents = counter('skipped_events', [NOT_HISTORICAL])
const running = `max by (${ofShard}) (${gauge('projection_state', ['state=~"catching_up|replaying|live|retrying"'])}) >= 1`
/** Of a daemon that was stopped in a process that lives on, OpenTelemetry shows 0 for every state. */
const anyState = `max by (${ofProjection}) (${gauge('projection_state')}) >= 1`
const furthestPosition = `max by (${ofProjection}) (${gauge('projection_position')})`

export const ALERTS: readonly Alert[] = [
  {
    name: 'TidemarkEventsSkipped',
    section: 'Events skipped',
    severity: 'critical',
    for: '0s',
    summary:
      'Projection {{ $labels.projection_name }} has passed about {{ $value | printf "%.0f" }} positions or events without handling them ({{ $labels.reason }})',
    description:
      'What stands there is lost to this projection until it is projected by hand or the projection is rebuilt; a parked event, until it is replayed. Which positions: of a daemon in tidemark.skips, of a wrapped subscription in its log and its spans. For apply_error look in tidemark.dead_letters first (onFailure gave them up), else in the log of the consumer (nack). The alert ends an hour after the last skip; the events do not come back by that.',
    // The total stored with the checkpoint survives restarts and new pods. The counter also covers what has no stored
    // total; a series that is first seen above 0 has skipped before it was first scraped.
    expr: `(
  ${recordedSkips}
  -
  min_over_time((${recordedSkips})[1h:1m])
) > 0
or
${increase('skipped_events', ofSkips, '1h:1m', [NOT_HISTORICAL])} > 0
or
sum by (${ofSkips}) (
  ${skippedEvents} > 0
  unless
  last_over_time(${skippedEvents}[1h] offset 1h)
)`,
  },
  {
    name: 'TidemarkLateEvents',
    section: 'Late events',
    severity: 'critical',
    for: '0s',
    summary:
      'Projection {{ $labels.projection_name }} has missed about {{ $value | printf "%.0f" }} events that became visible behind its checkpoint',
    description:
      'They are in the source, and each is in tidemark.late_events; tidemark.late_event_units says what has become of it. The alert ends an hour after the last one was found; they stay open until they are handled or discarded.',
    expr: `${increase('late_events', ofProjection, '1h:1m')} > 0
or
sum by (${ofProjection}) (
  ${counter('late_events')} > 0
  unless
  last_over_time(${counter('late_events')}[1h] offset 1h)
)`,
  },
  {
    name: 'TidemarkMarkStale',
    section: 'Mark stale',
    severity: 'critical',
    for: '1m',
    summary:
      'The high-water mark of {{ $labels.source }} has been stale for a minute: every projection waits',
    description:
      'A transaction that took a position has neither committed nor rolled back, or the store cannot be polled. Nothing is lost: projections go on when it ends. The log of the daemon names the holder; pg_locks on the sequence shows it too.',
    expr: `max by (${ofSource}) (${gauge('high_water_mark_stale')}) >= 1`,
  },
  {
    name: 'TidemarkPollsFailing',
    section: 'Polls failing',
    severity: 'critical',
    for: '1m',
    summary:
      'Polls of {{ $labels.source }} fail, or have not succeeded for a minute: projections stand still',
    description:
      'Every poll asks the database how far it is safe to read. The log of the daemon has the error: usually a database that cannot be reached, a right that is missing, or DDL that blocks the sequence.',
    expr: `max by (${ofSource}) (
  time() - min by (${ofReplica}) (${known('last_successful_poll_timestamp_seconds')}) > ${POLL_SILENCE_SECONDS}
)
or
max by (${ofSource}) (
${block(increaseInProcess('polls', '5m:15s', ['outcome="failed"']))}
  >
${block(increaseInProcess('polls', '5m:15s', ['outcome!="failed"']))}
)`,
  },
  {
    name: 'TidemarkProjectionLagging',
    section: 'Projection lagging',
    severity: 'warning',
    for: '5m',
    summary: 'Projection {{ $labels.projection_name }} is {{ $value | humanizeDuration }} behind',
    description:
      'Its oldest unprocessed event was appended that long ago. A new projection that catches up shows this too; then the lag falls. One that replays, and a version beside the live one, do not. One that rises by a second a second stands still: look at its state, the mark and its handler.',
    // Each process that could own it knows at most how far it got itself: the least lag is the true one.
    // Of several shards the longest.
    expr: `max by (${ofProjection}) (min by (${ofShard}) (${known('projection_lag_seconds')})) > ${LAG_SECONDS}
unless
max by (${ofProjection}) (${gauge('projection_state', ['state="replaying"'])}) >= 1
unless
max by (${ofProjection}) (${gauge('projection_beside')}) >= 1`,
  },
  {
    name: 'TidemarkProjectionNotRunning',
    section: 'Projection not running',
    severity: 'critical',
    for: '1m',
    summary: 'Projection {{ $labels.projection_name }} is paused or stopped, and no other process runs it',
    description:
      'Paused: its handler or its row mapping failed too often; the log has the error. Its checkpoint stays where it is, nothing is lost. Mend the cause: it tries again by itself, at growing intervals, and at once after a restart. If its handler has ended the transaction, only a restart tries again.',
    expr: `max by (${ofProjection}) (
  max by (${ofShard}) (${gauge('projection_state', ['state=~"paused|stopped"'])}) >= 1
  unless
  ${running}
)`,
  },
  {
    name: 'TidemarkSubscriptionDropped',
    section: 'Subscription dropped',
    severity: 'critical',
    for: '1m',
    summary:
      'The subscription of projection {{ $labels.projection_name }} was dropped and nobody has resubscribed, or it is dropped again and again',
    description:
      'The server or the way to it ended it, or its checkpoint lies beyond the head. The client does not resubscribe by itself: until the process does, or is answered where it uses `resubscribing`, the projection gets no events. They wait in the store. The log has the error and subscription_drops its type.',
    expr: `max by (${ofProjection}) (${gauge('projection_state', ['state="dropped"'])}) >= 1
unless
${running}
or
${increase('subscription_drops', ofProjection, '15m:15s')} > ${DROPS_IN_A_ROW}`,
  },
  {
    name: 'TidemarkSubscriptionStalled',
    section: 'Subscription stalled',
    severity: 'critical',
    for: '1m',
    summary:
      'Nothing comes from the subscription of projection {{ $labels.projection_name }}, though there are newer events',
    description:
      'The head of what it is subscribed to stands above what it has delivered, the consumer is waiting, and nothing has arrived for longer than stallAfterMs. The connection looks open. Resubscribing from the checkpoint is safe: restart the process.',
    expr: `max by (${ofProjection}) (${gauge('subscription_stalled')}) >= 1`,
  },
  {
    name: 'TidemarkDeadLettersOpen',
    section: 'Dead letters open',
    severity: 'warning',
    for: '5m',
    summary:
      'Projection {{ $labels.projection_name }} has given up events {{ $value | printf "%.0f" }} times, and nobody has dealt with them yet',
    description:
      'Its onFailure skipped events that failed too often. It goes on without their effect. Each has a dead letter in tidemark.dead_letters with its position, what failed and how often. The alert ends when each is resolved or discarded.',
    expr: `max by (${ofProjection}) (${gauge('dead_letters_open')}) > 0`,
  },
  {
    name: 'TidemarkConsumerLosesEvents',
    section: 'Consumer loses events',
    severity: 'critical',
    for: '0s',
    summary:
      'Consumer {{ $labels.consumer }}, which Tidemark does not run, has {{ $labels.verdict }} about {{ $value | printf "%.0f" }} events that became visible below its checkpoint',
    description:
      'They are in the events table, and this consumer will not read them. Which ones: in the log of the watch, in watch.lost(), and in tidemark.lost_events where it has a ledger. It is a lower bound: others were lost that the watch could not see. "passed" means that nobody has said whether it handles their types (eventTypes). The alert ends an hour after the last one.',
    // With a ledger one of several watches counts each loss: its total sees that, and a restart that comes before a scrape.
    expr: `(
  ${recordedLosses}
  -
  min_over_time((${recordedLosses})[1h:1m])
) > 0
or
${increase('consumer_lost_events', ofLosses, '1h:1m')} > 0
or
max by (${ofLosses}) (
  ${counter('consumer_lost_events')} > 0
  unless
  ${counter('consumer_lost_events')} offset 1h
)`,
  },
  {
    name: 'TidemarkConsumerBeyondLog',
    section: 'Consumer beyond its log',
    severity: 'critical',
    for: '1m',
    summary:
      'The checkpoint of consumer {{ $labels.consumer }}, which Tidemark does not run, stands beyond the end of its log',
    description:
      'The store was restored from a backup, or is another one, or the checkpoint is of another stream. What is appended up to there may never be given to this consumer. The alert ends when the log has grown past the checkpoint: by then those events were passed.',
    expr: `max by (${ofConsumer}) (${gauge('consumer_checkpoint_outside_log', ['place="beyond_log"'])}) >= 1`,
  },
  {
    name: 'TidemarkConsumerEventsParked',
    section: 'Consumer has parked events',
    severity: 'warning',
    for: '5m',
    summary:
      'Consumer {{ $labels.consumer }}, which Tidemark does not run, has {{ $value | printf "%.0f" }} parked events, and nobody has dealt with them yet',
    description:
      'Its group went on without them: a consumer asked for that, or each try failed or came too late. They are kept in the parking stream of the group. The alert ends when they are replayed or removed.',
    expr: `max by (${ofConsumer}) (${gauge('consumer_parked_events')}) > 0`,
  },
  {
    name: 'TidemarkDaemonGone',
    section: 'Daemon gone',
    severity: 'critical',
    for: '5m',
    summary:
      'No process runs projection {{ $labels.projection_name }} any more, which ran within the last hour',
    description:
      'Its metrics are gone: the process has ended, or cannot be scraped. Its events wait in the store. Where the projection was taken away on purpose, the alert ends after an hour.',
    expr: `max_over_time((${anyState})[1h:1m])
unless
${anyState}`,
  },
  {
    name: 'TidemarkCheckpointConflicts',
    section: 'Checkpoint conflicts',
    severity: 'critical',
    for: '5m',
    summary:
      'Projection {{ $labels.projection_name }} finds its checkpoint held by another owner, and nothing moves it',
    description:
      'A standby beside a working owner conflicts now and then, which is how it stands by. Here the checkpoint has not moved for ten minutes: a session that nobody needs holds its row, or one batch takes that long.',
    expr: `${increase('checkpoint_conflicts', ofProjection, '10m:30s')} > 3
unless
${increase('processed_events', ofProjection, '10m:30s')} > 0
unless
${furthestPosition} > min_over_time((${furthestPosition})[10m:30s])`,
  },
]
