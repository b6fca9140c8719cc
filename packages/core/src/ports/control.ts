import type { Role, StoredUnit, UnitFilter } from './stored-unit.ts'
import type { Unit } from './unit.ts'

/** What an operator wants of a unit. */
export type DesiredState = 'running' | 'paused'

/** Who has asked for something, why, and when that was by the store's clock. */
export interface Decision {
  readonly who: string
  readonly why: string
  /** 0 where the store does not know. */
  readonly sinceMs: number
}

/** Of a unit that somebody has paused without an operation. */
export const UNKNOWN_DECISION: Decision = Object.freeze({
  who: 'somebody',
  why: 'its row says so, and not why',
  sinceMs: 0,
})

/** A unit, with what an operator wants of it. */
export interface ControlledUnit extends StoredUnit {
  /** Of the versions of a projection at most one is live. */
  readonly role: Role
  readonly desired: DesiredState
  /** `undefined` where nobody has ever changed it. */
  readonly decision: Decision | undefined
  /** Whether a retry of dead letters of it is asked for, and not done yet. */
  readonly isRetryAsked: boolean
}

export interface ControlFilter extends UnitFilter {
  readonly desired?: DesiredState
}

/** What operators do to a unit. */
export type OperationName = 'pause' | 'resume' | 'move' | 'retire' | 'forget'

/** What an operation may change of a unit. */
export type OperatedState = Pick<ControlledUnit, 'role' | 'desired' | 'position' | 'skipped'>

/** One operation that is to be done. */
export interface UnitChange {
  readonly operation: OperationName
  readonly who: string
  readonly why: string
  /** `undefined`: its row is deleted. */
  readonly to: OperatedState | undefined
}

/** One operation that was done. */
export interface AuditEntry {
  /** Greater with each entry. */
  readonly id: bigint
  readonly unit: Unit
  readonly source: string
  readonly operation: OperationName
  readonly who: string
  readonly why: string
  /** By the store's clock. */
  readonly atMs: number
  readonly before: OperatedState
  /** `undefined`: the unit was forgotten. */
  readonly after: OperatedState | undefined
}

export interface AuditFilter {
  readonly projection?: string
  readonly source?: string
  /** Entries with a smaller id: the next page. */
  readonly before?: bigint
  readonly limit: number
}

export interface ChangeLimits {
  /** How long to wait for the batch at hand. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/**
 * What operators want of units, kept with their checkpoints, and what they have done. `advance` moves no checkpoint of a
 * unit that is not to run: it rejects with `ProjectionPausedError` before its work.
 */
export interface Control {
  /** The units that match, in no order. Writes nothing. */
  units(filter: ControlFilter, signal: AbortSignal): Promise<readonly ControlledUnit[]>
  /**
   * Changes a unit and writes the audit entry: both, or neither. `decide` is given the unit as it stands, and nothing else
   * changes it until the change is stored; with `undefined` nothing is changed. Waits for the batch at hand, so that no
   * later one can commit against the answer; rejects with `CheckpointBusyError` when that takes too long, and with the
   * error of `decide`.
   */
  change(
    unit: Unit,
    decide: (found: ControlledUnit | undefined) => UnitChange | undefined,
    limits: ChangeLimits,
  ): Promise<AuditEntry | undefined>
  /** The newest first. */
  audit(filter: AuditFilter, signal: AbortSignal): Promise<readonly AuditEntry[]>
}
