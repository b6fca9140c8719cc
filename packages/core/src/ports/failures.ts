import type { LetterError } from './dead-letters.ts'
import type { UnitFilter } from './stored-unit.ts'
import type { Unit } from './unit.ts'

/**
 * Keeps what failed last at a unit, for who looks from another process. What is kept counts as long as the checkpoint stands where it
 * stood then, so a batch that goes well writes nothing here.
 */
export interface Failures {
  /**
   * Keeps it in the place of what was kept of the unit. Nothing is kept where the checkpoint stands elsewhere by now, or the unit has
   * a newer lease. It waits for no batch, and no batch waits for it.
   */
  tell(failure: NewFailure, signal: AbortSignal): Promise<void>
  /** What that node has told of the unit last is over, though the checkpoint may stand where it stood. */
  over(unit: Unit, node: string, signal: AbortSignal): Promise<void>
  /** Those of units that stand where they failed, in no order. Writes nothing. */
  list(filter: UnitFilter, signal: AbortSignal): Promise<readonly UnitFailure[]>
}

/** What has failed at a unit. Positions are texts, as in checkpoints. */
export interface FailureAtUnit {
  readonly unit: Unit
  /** Its checkpoint; `undefined`: nothing was processed yet. */
  readonly position: string | undefined
  /**
   * `map` and `handle`: the user's code has failed. `read` and `commit`: what is read of a store, or written to one.
   */
  readonly stage: 'read' | 'map' | 'handle' | 'commit'
  /** The events at which it failed; `undefined` where none were read yet. */
  readonly batch: FailedEvents | undefined
  readonly error: LetterError
  /** Whether it has failed as often as it may, so that it is tried seldom from now on, or not at all before a restart. */
  readonly isPaused: boolean
  /** The process that says so. */
  readonly node: string
}

export interface FailedEvents {
  readonly firstPosition: string
  readonly lastPosition: string
  readonly events: number
  /** Each once, where the source knows them. */
  readonly eventTypes: readonly string[]
}

export interface NewFailure extends FailureAtUnit {
  /** How often it has failed since that node has told of it last; added up while the checkpoint stands there. */
  readonly failures: number
  /** Of the lease under which it failed. Stores without `leases` are never given one. */
  readonly fence?: bigint
}

export interface UnitFailure extends FailureAtUnit {
  /** How often it has failed since `sinceMs`, in whatever process; those of the last seconds may be missing. */
  readonly failures: number
  /** Since when it fails where the checkpoint stands, by the store's clock. */
  readonly sinceMs: number
  /** When this was told, by the store's clock. */
  readonly atMs: number
}
