export { CheckpointBusyError, OperationRefusedError } from '../kernel/errors.ts'
export type {
  AuditEntry,
  ControlledUnit,
  Decision,
  DesiredState,
  OperatedState,
  OperationName,
} from '../ports/control.ts'
export type {
  DeadLetter,
  LetterClosing,
  LetterError,
  LetterFilter,
  OpenLetters,
} from '../ports/dead-letters.ts'
export type { DeadLetterOperations } from './dead-letters.ts'
export type { ClosingRequest, LettersRequest } from './letter-requests.ts'
export { createOperations, type Operations, type Outcome } from './operations.ts'
export type { OperationsOptions } from './options.ts'
export type { AuditRequest, MoveRequest, OperationRequest, UnitsRequest } from './requests.ts'
