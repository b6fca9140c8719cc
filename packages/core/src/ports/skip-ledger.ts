import type { Holder, SkippedRun } from './event-source.ts'
import type { LateEvent } from './late-events.ts'
import type { MARK_SKIP_REASONS, UnitFilter } from './stored-unit.ts'
import type { Unit } from './unit.ts'

/** Remembers the runs that marks passed without proof. The advance that crosses one counts it. */
export interface SkipLedger {
  /** Called before anyone reads up to the mark that passed them. Runs that another daemon has recorded are left out. */
  record(source: string, runs: readonly SkippedRun<string>[], signal: AbortSignal): Promise<void>
  /** The newest first, at most `limit`. Writes nothing. */
  list(filter: SkipFilter, limit: number, signal: AbortSignal): Promise<readonly RecordedRun[]>
}

/** Runs that match all that is given. With `projection`: those that a unit of it has passed. */
export interface SkipFilter extends UnitFilter {
  /** Runs that reach up to this position, or above it. */
  readonly from?: string
  /** Runs that begin at this position, or below it. */
  readonly to?: string
}

/** A run of positions that a mark has passed without proof. Both ends are included. */
export interface RecordedRun {
  readonly source: string
  readonly from: string
  readonly to: string
  readonly count: bigint
  /** By the clock of the store. */
  readonly recordedAtMs: number
  /**
   * The transactions that had written and were open when it was passed, those that were open for the longest first, at most 20:
   * one of them may have held these numbers. `undefined`: nobody could look.
   */
  readonly heldBy: readonly Holder[] | undefined
  /** The units whose checkpoints stand above it now, and as what they count it. */
  readonly passedBy: readonly PassedBy[]
  /** The events that were found in it afterwards: the first 100. */
  readonly late: readonly LateEvent[]
}

export interface PassedBy {
  readonly unit: Unit
  readonly reason: (typeof MARK_SKIP_REASONS)[number]
}
