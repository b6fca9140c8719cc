/**
 * The attributes of Tidemark's spans that `@opentelemetry/semantic-conventions` does not have as stable names. Changing
 * one breaks dashboards and alerts of those who use them.
 */
export const ATTRIBUTES: {
  readonly skippedCount: 'marten.skipped_events.count'
  readonly markStale: 'marten.high_water_mark.stale'
  readonly markStored: 'marten.high_water_mark.stored'
  readonly markActual: 'marten.high_water_mark.actual'
  readonly markDifference: 'marten.high_water_mark.difference'
  readonly projection: 'tidemark.projection.name'
  readonly skipReason: 'tidemark.skip.reason'
  readonly firstPosition: 'tidemark.batch.first_position'
  readonly lastPosition: 'tidemark.batch.last_position'
  readonly unlinkedEvents: 'tidemark.batch.unlinked_events'
  readonly checkpointConflict: 'tidemark.checkpoint.conflict'
  readonly batchMessageCount: 'messaging.batch.message_count'
  readonly operationType: 'messaging.operation.type'
  readonly lateEvents: 'tidemark.late_events.count'
  readonly lateFirstPosition: 'tidemark.late_events.first_position'
  readonly lateLastPosition: 'tidemark.late_events.last_position'
  readonly source: 'tidemark.source.name'
  readonly passedAt: 'tidemark.consumer.passed_at'
  readonly eventType: 'tidemark.event.type'
  readonly eventPosition: 'tidemark.event.position'
  readonly lostVerdict: 'tidemark.consumer.verdict'
  readonly consumer: 'tidemark.consumer.name'
  readonly gapFrom: 'tidemark.gap.from'
  readonly gapTo: 'tidemark.gap.to'
  readonly gapOutcome: 'tidemark.gap.outcome'
  readonly gapAgeSeconds: 'tidemark.gap.age_seconds'
  readonly gapsClosed: 'tidemark.gaps_closed'
  readonly holderPids: 'tidemark.holder.pids'
  readonly holderApplications: 'tidemark.holder.application_names'
} = Object.freeze({
  // Names of this project: Marten does not emit them (docs/telemetry.md, "Names").
  skippedCount: 'marten.skipped_events.count',
  markStale: 'marten.high_water_mark.stale',
  markStored: 'marten.high_water_mark.stored',
  markActual: 'marten.high_water_mark.actual',
  markDifference: 'marten.high_water_mark.difference',
  // Tidemark's.
  projection: 'tidemark.projection.name',
  skipReason: 'tidemark.skip.reason',
  firstPosition: 'tidemark.batch.first_position',
  lastPosition: 'tidemark.batch.last_position',
  unlinkedEvents: 'tidemark.batch.unlinked_events',
  checkpointConflict: 'tidemark.checkpoint.conflict',
  lateEvents: 'tidemark.late_events.count',
  lateFirstPosition: 'tidemark.late_events.first_position',
  lateLastPosition: 'tidemark.late_events.last_position',
  source: 'tidemark.source.name',
  passedAt: 'tidemark.consumer.passed_at',
  eventType: 'tidemark.event.type',
  eventPosition: 'tidemark.event.position',
  lostVerdict: 'tidemark.consumer.verdict',
  consumer: 'tidemark.consumer.name',
  gapFrom: 'tidemark.gap.from',
  gapTo: 'tidemark.gap.to',
  gapOutcome: 'tidemark.gap.outcome',
  gapAgeSeconds: 'tidemark.gap.age_seconds',
  gapsClosed: 'tidemark.gaps_closed',
  holderPids: 'tidemark.holder.pids',
  holderApplications: 'tidemark.holder.application_names',
  // In development: https://opentelemetry.io/docs/specs/semconv/registry/attributes/messaging/
  batchMessageCount: 'messaging.batch.message_count',
  operationType: 'messaging.operation.type',
})
