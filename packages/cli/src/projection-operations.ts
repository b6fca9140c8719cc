import {
  type MoveRequest,
  type OperationRequest,
  type Operations,
  type OperationsOptions,
  type Outcome,
  type Rehearsed,
  type ReshardRequest,
  rehearse,
  type ShardRequest,
  type SkipRequest,
} from '@tidemark/core/operations'

/** One operation: how it is asked for, and what it would do. */
export interface Operation<R> {
  readonly does: (operations: Operations<bigint>, request: R) => Promise<Outcome>
  readonly rehearses: (options: OperationsOptions<bigint>, request: R) => Promise<readonly Rehearsed[]>
  /** Whether it takes positions, and so needs the source. */
  readonly takesPositions?: boolean
  /** What is waited for. */
  readonly waitsFor: string
}

const BATCH = 'the batch at hand'
const NODE = 'the node that runs it'
const MEETING = 'shards that stand apart to meet'

export const PAUSE: Operation<OperationRequest> = {
  does: (operations, request) => operations.pause(request),
  rehearses: (options, request) => rehearse(options, 'pause', request),
  waitsFor: BATCH,
}
export const RESUME: Operation<OperationRequest> = {
  does: (operations, request) => operations.resume(request),
  rehearses: (options, request) => rehearse(options, 'resume', request),
  waitsFor: BATCH,
}
export const MOVE: Operation<MoveRequest<bigint>> = {
  does: (operations, request) => operations.moveTo(request),
  rehearses: (options, request) => rehearse(options, 'moveTo', request),
  takesPositions: true,
  waitsFor: BATCH,
}
export const SKIP: Operation<SkipRequest<bigint>> = {
  does: (operations, request) => operations.skipNext(request),
  rehearses: (options, request) => rehearse(options, 'skipNext', request),
  takesPositions: true,
  waitsFor: NODE,
}
export const REBUILD: Operation<OperationRequest> = {
  does: (operations, request) => operations.rebuild(request),
  rehearses: (options, request) => rehearse(options, 'rebuild', request),
  waitsFor: NODE,
}
export const SWITCH: Operation<OperationRequest & { readonly version: number }> = {
  does: (operations, request) => operations.switchTo(request),
  rehearses: (options, request) => rehearse(options, 'switchTo', request),
  waitsFor: NODE,
}
export const RETIRE: Operation<OperationRequest> = {
  does: (operations, request) => operations.retire(request),
  rehearses: (options, request) => rehearse(options, 'retire', request),
  waitsFor: BATCH,
}
export const FORGET: Operation<OperationRequest> = {
  does: (operations, request) => operations.forget(request),
  rehearses: (options, request) => rehearse(options, 'forget', request),
  waitsFor: BATCH,
}
export const RESHARD: Operation<ReshardRequest> = {
  does: (operations, request) => operations.reshard(request),
  rehearses: (options, request) => rehearse(options, 'reshard', request),
  takesPositions: true,
  waitsFor: MEETING,
}
export const SPLIT: Operation<ShardRequest> = {
  does: (operations, request) => operations.split(request),
  rehearses: (options, request) => rehearse(options, 'split', request),
  takesPositions: true,
  waitsFor: MEETING,
}
export const MERGE: Operation<ShardRequest> = {
  does: (operations, request) => operations.merge(request),
  rehearses: (options, request) => rehearse(options, 'merge', request),
  takesPositions: true,
  waitsFor: MEETING,
}
export const CANCEL: Operation<OperationRequest> = {
  does: (operations, request) => operations.cancel(request),
  rehearses: (options, request) => rehearse(options, 'cancel', request),
  waitsFor: BATCH,
}
