export {
  CheckpointBusyError,
  NodeUnknownError,
  OperationPendingError,
  OperationRefusedError,
  WaitTimeoutError,
} from '../kernel/errors.ts'
export type {
  AnsweredRequest,
  AuditEntry,
  AuditedLate,
  AuditedState,
  ClosedLetters,
  ControlledUnit,
  Decision,
  DesiredState,
  OperatedState,
  OperationName,
  PendingRequest,
  RequestName,
  UnitRequest,
} from '../ports/control.ts'
export type {
  DeadLetter,
  LetterAsker,
  LetterClosing,
  LetterError,
  LetterFilter,
  OpenLetters,
} from '../ports/dead-letters.ts'
export type { FailedEvents, UnitFailure } from '../ports/failures.ts'
export type { LateEvent, LateOfUnit, LateState, ListedLate } from '../ports/late-events.ts'
export type { DesiredNode, ListedNode, NodeAuditEntry } from '../ports/node-control.ts'
export type { PassedBy, RecordedRun } from '../ports/skip-ledger.ts'
export type { DeadLetterOperations, ShownLetter } from './dead-letters.ts'
export type { PassedRun } from './evidence.ts'
export type {
  LateDecisionRequest,
  LateEventsRequest,
  ReprocessRequest,
  SkipsRequest,
} from './evidence-requests.ts'
export type { ClosingRequest, LettersRequest, OpenIdsRequest, RetryRequest } from './letter-requests.ts'
export type { RetryOutcome } from './letter-retry.ts'
export type { NodeAuditRequest, NodeRequest } from './node-requests.ts'
export type { NodeOperationName, NodeOperations, NodeOutcome } from './nodes.ts'
export { createOperations, type ListedUnit, type Operations, type Outcome } from './operations.ts'
export type { OperationsOptions } from './options.ts'
export { type Rehearsed, type RehearsedRequests, rehearse, rehearseNode } from './rehearsal.ts'
export type {
  AuditRequest,
  MoveRequest,
  OperationRequest,
  ReshardRequest,
  ShardRequest,
  SkipRequest,
  UnitsRequest,
} from './requests.ts'
