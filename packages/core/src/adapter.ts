// What an author of a store needs. It is complete: an adapter imports nothing from the root. What an application calls is
// in index.ts; a type or an error is in both when both meet it.
export { emptyTail, MOST_WATCHED_RUNS, watchEmpty } from './high-water/empty-watch.ts'
export {
  LateEventsError,
  type PassedLateEvents,
  passedLateEvents,
} from './high-water/late-events.ts'
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
export {
  CheckpointBusyError,
  CheckpointConflictError,
  EventMappingError,
  HandlerEndedTransactionError,
  HeadUnknownError,
  IncarnationChangedError,
  InvalidOptionError,
  OperationRefusedError,
  ProgressNeededError,
  ProjectionPausedError,
  ProjectionSourceError,
  ShardsStoredError,
  StoreRewoundError,
  TidemarkError,
} from './kernel/errors.ts'
export { withJson } from './kernel/json.ts'
export { requireKnownOptions } from './kernel/known-options.ts'
export { SOCKET_FAULTS } from './kernel/socket-faults.ts'
export type {
  Advanced,
  AdvanceRequest,
  AdvanceWork,
  CheckpointStore,
  CrossedRun,
  FirstStart,
  LockedUnit,
} from './ports/checkpoint-store.ts'
export type {
  CheckpointPlace,
  ConsumerCheckpoint,
  ConsumerCheckpoints,
  ConsumerEventTypes,
  StandingInLog,
  StoredConsumer,
} from './ports/consumer-checkpoints.ts'
export type {
  AnsweredRequest,
  AuditEntry,
  AuditedLate,
  AuditedState,
  AuditFilter,
  ChangeLimits,
  ClosedLetters,
  Control,
  ControlFilter,
  ControlledUnit,
  DecideShards,
  Decision,
  DesiredState,
  Fulfilment,
  FulfilRequest,
  Gathering,
  MadeShard,
  OperatedState,
  OperationName,
  OperatorControl,
  PendingRequest,
  RequestName,
  Resharding,
  StateChange,
  UnitChange,
  UnitRequest,
} from './ports/control.ts'
export { UNKNOWN_DECISION } from './ports/control.ts'
export type {
  DeadLetter,
  DeadLetters,
  LetterAsker,
  LetterChoice,
  LetterClosing,
  LetterError,
  LetterFilter,
  LetterPage,
  NewDeadLetter,
  OpenLetters,
  ParkedKeys,
  RetryState,
  TakenLetter,
} from './ports/dead-letters.ts'
export type {
  EventSource,
  Evidence,
  FoundEvent,
  Gap,
  HighWaterReading,
  HighWaterRequest,
  Holder,
  KeySlots,
  LoadRequest,
  OpenedSource,
  OpenRequest,
  Page,
  PolledSource,
  PollWait,
  SkippedRun,
  StoredProgress,
  TailWish,
  WakeUp,
} from './ports/event-source.ts'
export type {
  FailedEvents,
  FailureAtUnit,
  Failures,
  NewFailure,
  UnitFailure,
} from './ports/failures.ts'
export type {
  LateDecision,
  LateEvent,
  LateEvents,
  LateFilter,
  LateOfUnit,
  LateRange,
  LateState,
  LateUnit,
  ListedLate,
  OpenedLate,
  OpenLate,
  PassedAs,
  RecordedLate,
  WatchedRun,
  WatchPage,
} from './ports/late-events.ts'
export type {
  Claim,
  ClaimRequest,
  Cluster,
  Lease,
  Leases,
  NodeReport,
  Presence,
  PresenceRequest,
  ReleaseRequest,
  RenewRequest,
  StoredLease,
  StoredNode,
} from './ports/leases.ts'
export {
  type KeptLoss,
  LOST_VERDICTS,
  type LossKey,
  type LossTotal,
  type LostEvents,
  type LostVerdict,
  type PassedPositions,
} from './ports/lost-events.ts'
export type {
  DesiredNode,
  ListedNode,
  NodeAuditEntry,
  NodeAuditFilter,
  NodeControl,
  NodeDecision,
} from './ports/node-control.ts'
export { denseOrder, isReached, type PositionOrder } from './ports/position.ts'
export type { SettledMemory } from './ports/settled-memory.ts'
export type { PassedBy, RecordedRun, SkipFilter, SkipLedger } from './ports/skip-ledger.ts'
export { addCrossed } from './ports/skip-totals.ts'
export { inOtherShards, isInSlots, isSameSlots, SLOTS, slotOf, slotRanges } from './ports/slot.ts'
export {
  type Checkpoint,
  type Effects,
  type LastDecided,
  type OpenedCheckpoint,
  type Role,
  SKIP_REASONS,
  type SkipReason,
  type SkipTotals,
  type StoredUnit,
  type UnitFilter,
  type VersionProgress,
} from './ports/stored-unit.ts'
export type {
  ConsumerGroup,
  Delivery,
  GroupConsumer,
  SubscriptionSource,
} from './ports/subscription-source.ts'
export type { BeginRequest, FoundTenure, Suspicion, Tenure, Tenures } from './ports/tenures.ts'
export type { EventsTypedBy } from './ports/typed-events.ts'
export {
  ALL_SLOTS,
  isWhole,
  type SlotRange,
  type Unit,
  unitKey,
  unitName,
  versionName,
  wholeUnit,
} from './ports/unit.ts'
export type {
  Look,
  LookRequest,
  OldestAbove,
  OldestRequest,
  VisibleEvent,
  WatchSource,
} from './ports/watch-source.ts'
export { traced } from './telemetry/background.ts'
