import type { PositionOrder } from '../ports/position.ts'
import { MARK_SKIP_REASONS, type SkipReason } from '../ports/stored-unit.ts'
import { SILENT_END } from '../subscription/status.ts'
import type { Exemplar, MetricsRecorder } from './metrics.ts'
import type { Telemetry } from './telemetry.ts'

const MS_PER_SECOND = 1_000

/** Turns what core reports into the counters and histograms of the instruments table. */
export function reportMetrics<P>(
  recorder: MetricsRecorder,
  order: PositionOrder<P>,
  currentSpan: () => Exemplar | undefined,
): Telemetry {
  return {
    polled: ({ source, durationMs, reading, moved, closedGaps }) => {
      recorder.add('polls', 1, { source, outcome: moved ? 'moved' : 'unchanged' })
      recorder.record('poll_duration_seconds', durationMs / MS_PER_SECOND, { source })
      if (!moved) return
      const empty = reading.provenEmpty.reduce(
        (sum, run) => sum + lengthOf(order, run as { from: P; to: P }),
        0n,
      )
      if (empty > 0n) recorder.add('proven_empty_positions', Number(empty), { source })
      for (const { outcome, openForMs } of closedGaps) {
        recorder.add('gaps_closed', 1, { source, outcome })
        recorder.record('gap_duration_seconds', openForMs / MS_PER_SECOND, { source, outcome })
      }
    },
    pollFailed: ({ source }) => recorder.add('polls', 1, { source, outcome: 'failed' }),
    batchProcessed: ({ projection, events, durationMs, delayMs }) => {
      const labels = { projection_name: projection }
      recorder.add('processed_events', events, labels)
      recorder.record('batch_size_events', events, labels)
      recorder.record('batch_duration_seconds', durationMs / MS_PER_SECOND, labels, currentSpan())
      if (delayMs !== undefined) {
        recorder.record('event_delay_seconds', delayMs / MS_PER_SECOND, labels, currentSpan())
      }
    },
    handlerFailed: ({ projection, action }) =>
      recorder.add('handler_errors', 1, { projection_name: projection, action }),
    checkpointConflict: ({ projection }) =>
      recorder.add('checkpoint_conflicts', 1, { projection_name: projection }),
    leaseGranted: ({ projection }) => recorder.add('lease_grants', 1, { projection_name: projection }),
    skipped: ({ projection, crossed }) => {
      for (const { reason, count } of crossed) {
        recorder.add('skipped_events', Number(count), { projection_name: projection, reason })
      }
    },
    lateEvents: ({ projection, events }) =>
      recorder.add('late_events', events.length, { projection_name: projection }),
    subscriptionProgressed: ({ projection, delivered, processed, delayMs }) => {
      const labels = { projection_name: projection }
      if (delivered > 0) recorder.add('delivered_events', delivered, labels)
      if (processed > 0) recorder.add('processed_events', processed, labels)
      if (delayMs !== undefined) recorder.record('event_delay_seconds', delayMs / MS_PER_SECOND, labels)
    },
    subscriptionDropped: ({ projection, reason }) =>
      recorder.add('subscription_drops', 1, { projection_name: projection, reason }),
    eventsAcknowledged: ({ projection, action, events }) =>
      recorder.add('acknowledged_events', events, { projection_name: projection, action }),
    consumerLostEvents: ({ consumer, verdict, events }) =>
      recorder.add('consumer_lost_events', events.length, { consumer, verdict }),
  }
}

/** Makes the series exist, so that the first skip is an increase and not an appearance. */
export function startDaemonAtZero(
  recorder: MetricsRecorder,
  source: string,
  projections: readonly string[],
): void {
  for (const outcome of ['moved', 'unchanged', 'failed']) recorder.add('polls', 0, { source, outcome })
  for (const outcome of ['filled', 'proven_empty', 'skipped'])
    recorder.add('gaps_closed', 0, { source, outcome })
  recorder.add('proven_empty_positions', 0, { source })
  recorder.add('telemetry_errors', 0, {})
  for (const projection_name of projections) {
    for (const reason of [...MARK_SKIP_REASONS, 'apply_error'])
      recorder.add('skipped_events', 0, { projection_name, reason })
    for (const action of ['retry', 'pause', 'skip'])
      recorder.add('handler_errors', 0, { projection_name, action })
    recorder.add('late_events', 0, { projection_name })
    recorder.add('processed_events', 0, { projection_name })
    recorder.add('checkpoint_conflicts', 0, { projection_name })
  }
}

/** The same for a wrapped subscription, with the reasons and actions that it can have. */
export function startSubscriptionAtZero(
  recorder: MetricsRecorder,
  projection_name: string,
  possible: { readonly skips: readonly SkipReason[]; readonly actions: readonly string[] },
): void {
  for (const reason of possible.skips) recorder.add('skipped_events', 0, { projection_name, reason })
  for (const action of possible.actions) recorder.add('acknowledged_events', 0, { projection_name, action })
  recorder.add('delivered_events', 0, { projection_name })
  recorder.add('processed_events', 0, { projection_name })
  recorder.add('subscription_drops', 0, { projection_name, reason: SILENT_END })
  recorder.add('telemetry_errors', 0, {})
}

function lengthOf<P>(order: PositionOrder<P>, run: { readonly from: P; readonly to: P }): bigint {
  return order.distance ? order.distance(run.from, run.to) + 1n : 0n
}
