import type { ProjectionFailure } from '../failures/classify.ts'
import { errorJson, withJson } from '../kernel/json.ts'
import type { Decision, PendingRequest } from '../ports/control.ts'
import type { PositionOrder } from '../ports/position.ts'
import type { Role, SkipTotals } from '../ports/stored-unit.ts'

/**
 * The states a projection can be in.
 *
 * - `catching_up`: events are waiting behind the mark
 * - `live`: everything up to the mark is projected
 * - `standby`: another owner moves this checkpoint
 * - `retrying`: a fault is being retried with back-off (`error` and `failure` say which)
 * - `paused`: its handler or row mapping failed too often; it is tried again at growing intervals (`failure.nextTryAtMs`).
 *   Or an operator has paused it (`pausedBy`); it stays so until it is resumed
 * - `stopped`: not started, or stopped
 */
export const PROJECTION_STATES: readonly ['catching_up', 'live', 'standby', 'retrying', 'paused', 'stopped'] =
  ['catching_up', 'live', 'standby', 'retrying', 'paused', 'stopped']
export type ProjectionState = (typeof PROJECTION_STATES)[number]

export interface ProjectionStatus<P> {
  readonly name: string
  readonly version: number
  /** `undefined` before its checkpoint was read. */
  readonly role: Role | undefined
  readonly state: ProjectionState
  /** The checkpoint; `undefined` before the first one. */
  readonly position: P | undefined
  /** (head - settled) + (mark - checkpoint) on dense orders, once both are known. */
  readonly lagPositions: bigint | undefined
  /**
   * Now minus the append time of the oldest unprocessed event, also of one above a gap. 0 when there is none. If the
   * source does not know append times, it counts from when this process first saw that there was one. While polls fail
   * there may always be one: then it counts from the last poll that succeeded. `undefined` while it is not known:
   * before the first poll, before the checkpoint was read, and while transactions from before the first poll are open.
   */
  readonly lagMs: number | undefined
  /** Events handled by this process. */
  readonly handledEvents: number
  /** Totals stored with the checkpoint; `undefined` before that was read. */
  readonly skipped: SkipTotals | undefined
  /** The operator who has paused it; `undefined` where none has. */
  readonly pausedBy: Decision | undefined
  /** What an operator has asked the node that runs it to do, until it is done (`rebuild`). */
  readonly asked: PendingRequest | undefined
  /** What was thrown, as it was thrown. */
  readonly error: unknown
  /** Where `error` came from and what to do about it; `undefined` while nothing fails. */
  readonly failure: ProjectionFailure | undefined
}

/** The status, with what `JSON.stringify` writes of it. */
export function projectionStatus<P>(
  order: Pick<PositionOrder<P>, 'format'>,
  status: ProjectionStatus<P>,
): ProjectionStatus<P> {
  return withJson(status, () => ({
    ...status,
    position: status.position === undefined ? undefined : order.format(status.position),
    error: status.failure === undefined ? undefined : errorJson(status.error),
  }))
}
