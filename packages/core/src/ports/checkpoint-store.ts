import type { Control, ControlledUnit } from './control.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { Evidence, SkippedRun, StoredProgress } from './event-source.ts'
import type { Failures } from './failures.ts'
import type { LateEvents } from './late-events.ts'
import type { Leases } from './leases.ts'
import type { LostEvents } from './lost-events.ts'
import type { SettledMemory } from './settled-memory.ts'
import type { SkipLedger } from './skip-ledger.ts'
import type {
  Checkpoint,
  OpenedCheckpoint,
  SkipReason,
  StoredUnit,
  UnitFilter,
  VersionProgress,
} from './stored-unit.ts'
import type { Tenure, Tenures } from './tenures.ts'
import type { SlotRange, Unit } from './unit.ts'

/**
 * The port for progress. Positions are texts of `PositionOrder.format`, so that one store serves every source. What not
 * every store can do is a part of its own (`settled`, `skips`, `control`, `deadLetters`, `lateEvents`, `lostEvents`, `tenures`, `leases`, `failures`): a store that lacks it leaves it out, and an option that
 * needs it is refused when the daemon is made (capabilities.ts).
 *
 * Every method that takes a signal rejects at once when it fires, and lets go of what it has taken for the call: the
 * connection, the timer, the lock. `stop()` waits for no store that does not answer.
 *
 * @typeParam Tx - what a handler gets to make its effects part of the checkpoint's transaction
 */
export interface CheckpointStore<Tx> {
  /** What users know this kind of store by, for messages: `postgresCheckpoints`. */
  readonly name: string
  /** Makes what the store needs (tables); may run many times and from several processes at once. */
  prepare?(signal: AbortSignal): Promise<void>
  /**
   * The unit's checkpoint. Its row is made here when there is none, or with its first checkpoint; `read` and `list` never
   * make one. In a store with `control`, a new row is `live` where there is no other version of its projection, and `beside`
   * where there is one, whoever else opens at the same time. Rejects with `ProjectionSourceError` when the checkpoint is one
   * of another source.
   *
   * In a store with `control` the units of a version have each slot once. Where it has no row, the first of its units that is opened
   * makes the rows of all its shards (`FirstStart.shards`), at once. From then on only `control.reshard` makes any: a unit that has a row
   * is opened whatever the other ones are, and one that has none, where there are others, rejects with `ShardsStoredError`.
   */
  open(unit: Unit, first: FirstStart, signal: AbortSignal): Promise<OpenedCheckpoint>
  /** The unit's checkpoint as it is stored; `undefined` where there is none. Writes nothing. */
  read(unit: Unit, signal: AbortSignal): Promise<StoredUnit | undefined>
  /** The units that are stored, in no order. Writes nothing. */
  list(filter: UnitFilter, signal: AbortSignal): Promise<readonly StoredUnit[]>
  /**
   * Runs `work` and moves the checkpoint from `from` to `to`: both, or neither. A store that can lock does so before
   * `work` runs. In a store that cannot lock, the loser of two owners may have worked before it is found out.
   *
   * Rejects with the error of `work`; with `CheckpointConflictError` when another owner holds or moved the checkpoint
   * (`advance` does not wait for it); with `ProjectionPausedError`, before `work`, when an operator has paused the unit
   * (`control`); and with `IncarnationChangedError` when the events are in the same store and it is not the run of it
   * that `evidence` is about.
   */
  advance(request: AdvanceRequest, work: AdvanceWork<Tx>): Promise<Advanced>
  /** What is remembered of this source, to resume from. */
  progress(source: string, signal: AbortSignal): Promise<readonly StoredProgress<string>[]>
  /**
   * Where the units of a version of a projection stand; of the live one where `version` is `undefined`. It is asked again and again
   * while somebody waits for it, so it is left out by stores that know no cheaper way than `read` and `control.units`. Writes nothing.
   */
  progressOf?(
    projection: string,
    version: number | undefined,
    signal: AbortSignal,
  ): Promise<readonly VersionProgress[]>
  /**
   * Whether progress and the events of that incarnation are in one log, so that a crash or failover keeps both or loses
   * both. If `false`, the mark waits until events are durable.
   */
  sharesLogWith(incarnation: string, signal: AbortSignal): Promise<boolean>
  /**
   * What an operator runs when the events' store went back, or was replaced: how the checkpoints of that source are kept
   * as they stand, and how they are begun anew. It ends the message of the error.
   */
  toDecide?(source: string): string
  /**
   * Whether an error is a passing fault of the store or the way to it. `thrownBy`: a handler has thrown it. Then it is that only if
   * what the handler asked through `tx` has failed so: the fault of anything else that it calls is its own.
   */
  isTransient(error: unknown, thrownBy?: 'handler'): boolean
  /**
   * For stores in whose transaction a handler writes through `tx`. Once the signal of `advance` has fired, all of that throws, and
   * nothing of it is committed. Where a store leaves it out, a call of a handler that took too long is waited for before
   * the next one.
   */
  readonly isTransactional?: true
  /** For stores that remember how far a source was settled. Sources that settle their whole log at each poll need none. */
  readonly settled?: SettledMemory
  /** For stores that count positions which a mark passed without proof. */
  readonly skips?: SkipLedger
  /** For stores that keep which events came late, at positions that a mark had passed. */
  readonly lateEvents?: LateEvents<Tx>
  /** For stores that keep which events were lost by consumers that Tidemark does not run. */
  readonly lostEvents?: LostEvents
  /** For stores that keep what operators want of units. */
  readonly control?: Control<Tx>
  /** For stores that keep the events that a policy gave up. */
  readonly deadLetters?: DeadLetters<Tx>
  /** For stores that keep who works at a unit, so that an event which ends the process is found and counted. */
  readonly tenures?: Tenures
  /** For stores that know which node may move which unit. */
  readonly leases?: Leases
  /** For stores that keep what failed last at a unit. */
  readonly failures?: Failures
}

/**
 * What is done in the transaction of a checkpoint. `locked`: the unit as its row says, which nobody else changes until the work is
 * over. Stores without `control` leave it out.
 *
 * @typeParam Tx - as of `CheckpointStore`
 */
export type AdvanceWork<Tx> = (tx: Tx, locked?: LockedUnit) => Promise<void>

export type LockedUnit = Pick<ControlledUnit, 'role' | 'furthest' | 'bound'>

/** What a checkpoint keeps of the moment at which its unit first started. */
export interface FirstStart {
  readonly source: string
  /** The source's head then: what a mark skips below it is a `historical_gap`. */
  readonly head: string | undefined
  /** The shards in which the version is made where nothing is stored of it: each slot is in one of them. @default the unit alone, which has every slot */
  readonly shards?: readonly SlotRange[]
  /** An earlier version begins too, and is the live one even if its unit is opened later. @default false */
  readonly isLaterVersion?: boolean
}

export interface AdvanceRequest {
  readonly unit: Unit
  readonly source: string
  readonly from: string | undefined
  readonly to: string
  /** The poll behind the page. */
  readonly evidence: Evidence<string>
  /**
   * What the projection itself gives up, complete once `work` has ended: totalled in `skipped` as this advance moves the checkpoint. Stores without
   * `deadLetters` are never given any.
   */
  readonly passed?: readonly CrossedRun[]
  /**
   * The positions of the events that are handled or given up with it, where the source passes positions without proof: complete
   * once `work` has ended, and before that all that there may be. Those
   * in a run that a mark has passed were given in their place: they are no late events for this unit (`LateEvents`).
   */
  readonly positions?: readonly string[]
  /**
   * Kept with the checkpoint, by the same statement. Where another session is kept since this one began, the advance rejects
   * with `CheckpointConflictError`, before its work where the store can lock. Stores without `tenures` are never given one.
   */
  readonly tenure?: Tenure
  /**
   * Of the lease under which the checkpoint moves, compared in the statement that moves it: where the unit has a newer one, the advance
   * rejects with `CheckpointConflictError`, before its work where the store can lock. Stores without `leases` are never given one.
   */
  readonly fence?: bigint
  /** Fires when nobody waits for `work` any more: the transaction's connection is destroyed. */
  readonly signal: AbortSignal
}

export interface Advanced extends Checkpoint {
  /** The runs that this advance crossed or was given as `passed`, each counted in `skipped`. */
  readonly crossed: readonly CrossedRun[]
}

/** For `apply_error` and `unknown_event`, `stored` and `current` are the positions of the first and last such event. */
export interface CrossedRun extends SkippedRun<string> {
  readonly reason: SkipReason
}
