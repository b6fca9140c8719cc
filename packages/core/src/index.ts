export { traced } from './background.ts'
export {
  type Advanced,
  type AdvanceRequest,
  type Checkpoint,
  type CheckpointStore,
  type CrossedRun,
  MARK_SKIP_REASONS,
  SKIP_REASONS,
  type SkipReason,
  type SkipTotals,
  type StoredEvidence,
} from './checkpoint-store.ts'
export type { Clock } from './clock.ts'
export {
  createDaemon,
  type Daemon,
  type DaemonStatus,
  type WaitUntilProjectedOptions,
} from './daemon.ts'
export { DAEMON_DEFAULTS, type DaemonOptions } from './daemon-options.ts'
export {
  AlreadyMonitoredError,
  CheckpointBeyondHeadError,
  CheckpointConflictError,
  EventMappingError,
  HandlerEndedTransactionError,
  HeadUnknownError,
  hasCode,
  IncarnationChangedError,
  InvalidOptionError,
  LifecycleError,
  StoreRewoundError,
  TidemarkError,
  WaitFailedError,
  WaitTimeoutError,
} from './errors.ts'
export type {
  EventSource,
  Evidence,
  Gap,
  HighWaterReading,
  HighWaterRequest,
  Holder,
  LoadRequest,
  Page,
  PollWait,
  SkippedRun,
  StoredProgress,
} from './event-source.ts'
export { createHighWaterAgent, type HighWaterAgent } from './high-water/agent.ts'
export { emptyTail, MOST_WATCHED_RUNS, watchEmpty } from './high-water/empty-watch.ts'
export type { AgedGap } from './high-water/gap-ages.ts'
export {
  HIGH_WATER_AGENT_DEFAULTS,
  type HighWaterAgentOptions,
  type ProgressMemory,
} from './high-water/options.ts'
export { resumeSettled } from './high-water/resume.ts'
export {
  type Settlement,
  type SettlementPoll,
  type SettlementResult,
  settle,
  startSettlement,
  withMark,
} from './high-water/settlement.ts'
export {
  type HeadSample,
  passStaleGaps,
  type StaleThreshold,
  type StaleThresholdPoll,
  type StaleThresholdResult,
  startStaleThreshold,
} from './high-water/staleness.ts'
export type { HighWaterStatus } from './high-water/status.ts'
export type { ErrorJson, Json } from './json.ts'
export { requireKnownOptions } from './known-options.ts'
export {
  type LateEvent,
  LateEventsError,
  type PassedLateEvents,
  passedLateEvents,
} from './late-events.ts'
export { denseOrder, isReached, type PositionOrder } from './position.ts'
export type { FailedBatch, FailureStage, ProjectionFailure } from './projection/failure.ts'
export { type HandlerContext, PROJECTION_DEFAULTS, type Projection } from './projection/projection.ts'
export { PROJECTION_STATES, type ProjectionState, type ProjectionStatus } from './projection/status.ts'
export { SOCKET_FAULTS } from './socket-faults.ts'
export { MONITOR_DEFAULTS, type MonitorOptions } from './subscription/options.ts'
export {
  type ResubscribableSource,
  type Resubscribing,
  type ResubscribingOptions,
  type ResubscribingStatus,
  resubscribing,
  type Subscribe,
} from './subscription/resubscribing.ts'
export {
  SUBSCRIPTION_STATES,
  type SubscriptionState,
  type SubscriptionStatus,
} from './subscription/status.ts'
export type {
  ConsumerGroup,
  Delivery,
  GroupConsumer,
  SubscriptionSource,
} from './subscription/subscription-source.ts'
export {
  type ItemOf,
  monitorHandler,
  monitorSubscription,
  type SubscriptionWatch,
  watchSubscription,
} from './subscription/watch-subscription.ts'
export {
  type Aggregator,
  type CounterName,
  type GaugeName,
  type HistogramName,
  INSTRUMENTS,
  type Instrument,
  type InstrumentName,
} from './telemetry/instruments.ts'
export type { Logger } from './telemetry/logger.ts'
export type { Exemplar, GaugeReading, Labels, Metrics, MetricsRecorder } from './telemetry/metrics.ts'
export type {
  BatchReport,
  ClosedGap,
  EventsAcknowledgedReport,
  HandlerFailedReport,
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
