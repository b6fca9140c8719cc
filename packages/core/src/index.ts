export {
  createDaemon,
  type Daemon,
  type DaemonStatus,
} from './daemon/daemon.ts'
export type { LeasedNodeOptions, NodesOptions, NumberedNodeOptions } from './daemon/nodes.ts'
export { DAEMON_DEFAULTS, type DaemonOptions } from './daemon/options.ts'
export type { WaitUntilProjectedOptions } from './daemon/wait.ts'
export type { FailedBatch, FailureStage, ProjectionFailure } from './failures/classify.ts'
export { HandlerTimeoutError } from './failures/handler-timeout.ts'
export type { FailureDecision, OnFailure, UndecidedFailure } from './failures/on-failure.ts'
export {
  type HealthHandler,
  type HealthHandlers,
  type HealthResponse,
  healthHandlers,
} from './health/http.ts'
export { HEALTH_DEFAULTS, type HealthOptions } from './health/options.ts'
export {
  type DaemonHealth,
  type FailureHealth,
  MARK_HEALTH,
  type MarkHealth,
  type MarkHealthStatus,
  PROJECTION_HEALTH,
  type ProjectionHealth,
  type ProjectionHealthStatus,
} from './health/verdict.ts'
export { createHighWaterAgent, type HighWaterAgent } from './high-water/agent.ts'
export type { AgedGap } from './high-water/gap-ages.ts'
export { LateEventsError, type PassedLateEvents } from './high-water/late-events.ts'
export {
  HIGH_WATER_AGENT_DEFAULTS,
  type HighWaterAgentOptions,
  type ProgressMemory,
} from './high-water/options.ts'
export type { HighWaterStatus } from './high-water/status.ts'
export type { Clock } from './kernel/clock.ts'
export {
  AlreadyMonitoredError,
  CheckpointBeyondHeadError,
  CheckpointBusyError,
  CheckpointConflictError,
  DeadLetterNotWrittenError,
  EventMappingError,
  HandlerEndedTransactionError,
  hasCode,
  IncarnationChangedError,
  InvalidOptionError,
  LifecycleError,
  OperationRefusedError,
  ProcessEndedError,
  ProjectionPausedError,
  ProjectionSourceError,
  ShardsStoredError,
  StoreRewoundError,
  TidemarkError,
  UnsupportedByStoreError,
  WaitFailedError,
  WaitTimeoutError,
} from './kernel/errors.ts'
export type { ErrorJson, Json } from './kernel/json.ts'
export type { Pulse } from './kernel/pulse.ts'
export type { StartOptions } from './kernel/start.ts'
export type {
  ClusterNode,
  ClusterStatus,
  ClusterUnit,
  NodeLife,
  SeenBy,
} from './ownership/status.ts'
export type { CheckpointStore, CrossedRun } from './ports/checkpoint-store.ts'
export type {
  ConsumerCheckpoint,
  ConsumerCheckpoints,
  ConsumerEventTypes,
  StoredConsumer,
} from './ports/consumer-checkpoints.ts'
export type { Decision, PendingRequest } from './ports/control.ts'
export type {
  EventSource,
  Gap,
  HighWaterReading,
  Holder,
  PollWait,
  SkippedRun,
} from './ports/event-source.ts'
export type { LateEvent } from './ports/late-events.ts'
export { LOST_VERDICTS, type LostVerdict } from './ports/lost-events.ts'
export type { PositionOrder } from './ports/position.ts'
export {
  MARK_SKIP_REASONS,
  SKIP_REASONS,
  type SkipReason,
  type SkipTotals,
  type StoredUnit,
  type UnitFilter,
  type VersionProgress,
} from './ports/stored-unit.ts'
export type { SubscriptionSource } from './ports/subscription-source.ts'
export type { EventsTypedBy, KnownEventTypes, NarrowedEvent } from './ports/typed-events.ts'
export type { SlotRange, Unit } from './ports/unit.ts'
export type { ProgressReaderOptions } from './progress/options.ts'
export { createProgressReader, type ProgressReader, type WaitForOptions } from './progress/progress-reader.ts'
export type {
  AutoShardOptions,
  HandlerContext,
  Projection,
  ReplayOptions,
  ResetContext,
  SwitchContext,
} from './projection/projection.ts'
export { PROJECTION_DEFAULTS } from './projection/resolve-projections.ts'
export {
  type DealtTo,
  type LeaseStatus,
  PROJECTION_STATES,
  type ProjectionState,
  type ProjectionStatus,
  type ShardStatus,
} from './projection/status.ts'
export { type HandlerMonitor, monitorHandler } from './subscription/monitor-handler.ts'
export { monitorSubscription, type SubscriptionMonitor } from './subscription/monitor-subscription.ts'
export { MONITOR_DEFAULTS, type MonitorOptions } from './subscription/options.ts'
export { type Resubscribing, resubscribing } from './subscription/resubscribing.ts'
export type { ResubscribingStatus } from './subscription/resubscribing-loop.ts'
export type { ResubscribableSource, ResubscribingOptions } from './subscription/resubscribing-options.ts'
export type { Subscribe } from './subscription/round.ts'
export {
  SUBSCRIPTION_STATES,
  type SubscriptionState,
  type SubscriptionStatus,
} from './subscription/status.ts'
export type { CounterName } from './telemetry/counters.ts'
export type { GaugeName } from './telemetry/gauges.ts'
export type { HistogramName } from './telemetry/histograms.ts'
export type { Aggregator, Instrument } from './telemetry/instrument.ts'
export { INSTRUMENTS, type InstrumentName } from './telemetry/instruments.ts'
export type { Logger } from './telemetry/logger.ts'
export type { Exemplar, GaugeReading, Labels, Metrics, MetricsRecorder } from './telemetry/metrics.ts'
export type {
  BatchReport,
  ClosedGap,
  ConsumerLostEventsReport,
  EventsAcknowledgedReport,
  HandlerFailedReport,
  LateEventsReport,
  PollFailedReport,
  PollReport,
  SkippedReport,
  StoreFailedReport,
  SubscriptionDroppedReport,
  SubscriptionProgressReport,
  Telemetry,
} from './telemetry/telemetry.ts'
export type { TelemetryOptions } from './telemetry/telemetry-options.ts'
export type { ReadTraceContext, TraceContext } from './telemetry/trace-context.ts'
export type { LossMonitor } from './watch/loss-monitor.ts'
export {
  type HandedPosition,
  LOSS_MONITOR_DEFAULTS,
  type LossMonitorOptions,
} from './watch/loss-monitor-options.ts'
export { WATCH_DEFAULTS, type WatchOptions } from './watch/options.ts'
export type {
  LossMonitorStatus,
  LostEvent,
  UnsureReason,
  WatchedConsumer,
  WatchStatus,
} from './watch/status.ts'
export { createWatch, type Watch } from './watch/watch.ts'
