import type { LetterClosing, NewDeadLetter } from './dead-letters.ts'
import type { Evidence } from './event-source.ts'
import type { Effects, Role, StoredUnit, UnitFilter } from './stored-unit.ts'
import type { SlotRange, Unit } from './unit.ts'

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
  /**
   * How far it had come as the live version before its checkpoint was moved back, or the live versions before it. Up to there its
   * events are replayed. `undefined`: nothing was ever moved back.
   */
  readonly furthest: string | undefined
  /** As whoever has begun to work on it last has said; `undefined` where nobody has. */
  readonly effects: Effects | undefined
  /** How far it is to come for now (`Gathering`); `undefined`: as far as there are events. */
  readonly bound: string | undefined
  readonly desired: DesiredState
  /** `undefined` where nobody has ever changed it. */
  readonly decision: Decision | undefined
  /** Whether a retry of dead letters of it is asked for, and not done yet. */
  readonly isRetryAsked: boolean
  /** What was asked of the node that runs it, and is not carried out yet. One at a time. */
  readonly asked: PendingRequest | undefined
  /** The last request that has ended, carried out or not. */
  readonly answered: AnsweredRequest | undefined
  /** When a batch or an operator has last changed its row, by the store's clock. Absent where the store does not know. */
  readonly changedAtMs?: number
  /**
   * Whether a run of a daemon has begun to work on it and has not said that it ended; that run may be gone all the same. Absent where
   * the store does not know.
   */
  readonly isBegun?: boolean
}

/** What only a node that runs the unit can do: it takes the user's code, or knows what fails there. */
export type RequestName = 'rebuild' | 'switch' | 'skip'

/** A request to the node that runs the unit. */
export interface UnitRequest {
  /** No two requests have the same. */
  readonly id: string
  readonly operation: RequestName
  readonly who: string
  readonly why: string
  /** Where the event is that is to be skipped; of a `skip` alone. */
  readonly position?: string
}

export interface PendingRequest extends UnitRequest {
  /** By the store's clock. */
  readonly sinceMs: number
}

export type AnsweredRequest = Pick<UnitRequest, 'id' | 'operation'>

export interface ControlFilter extends UnitFilter {
  readonly desired?: DesiredState
}

/**
 * What operators do to a unit. `cancel`: a request was withdrawn. `reshard`: it was made of others. `reprocess`, `discard_late_events`: late events of it were
 * asked for, or are not wanted.
 */
export type OperationName =
  | 'pause'
  | 'resume'
  | 'move'
  | 'retire'
  | 'forget'
  | 'cancel'
  | 'reshard'
  | 'reprocess'
  | 'discard_late_events'
  | RequestName

/** What an operation may change of a unit. */
export type OperatedState = Pick<ControlledUnit, 'role' | 'desired' | 'position' | 'skipped' | 'furthest'>

/** One operation that is to be done at once. */
export interface StateChange {
  readonly operation: OperationName
  readonly who: string
  readonly why: string
  /** `undefined`: its row is deleted. */
  readonly to: OperatedState | undefined
  /** The request that ends with it. */
  readonly ends?: AnsweredRequest
  readonly closes?: ClosedLetters
}

/** The open dead letters of the unit that are closed with a change: their events are handed out again, or it is forgotten. */
export interface ClosedLetters {
  isMeant(letter: Pick<NewDeadLetter, 'firstPosition' | 'lastPosition'>): boolean
  readonly closing: LetterClosing
}

/** Either what is done at once, with its audit entry, or what a node is asked to do: its audit entry is written then. */
export type UnitChange = StateChange | { readonly ask: UnitRequest }

/**
 * What has come of a request: what the unit is changed to, or why it is not. `evidence`: the poll behind events that were
 * handled with it; the runs that a mark has skipped up to there are counted. One that becomes live ends the role of the one
 * that was, which is beside from then on.
 */
export type Fulfilment =
  | {
      readonly to: OperatedState
      readonly evidence?: Evidence<string>
      /** As of `advance`. */
      readonly positions?: readonly string[]
      readonly closes?: ClosedLetters
      /** What the other shards are changed to with it (`FulfilRequest.shardsWithinMs`), each with an audit entry. */
      readonly others?: readonly FulfilledShard[]
    }
  | { readonly refused: string }

/** Another shard of the version, as it was found, and what it is changed to. */
interface FulfilledShard {
  readonly found: ControlledUnit
  readonly to: OperatedState
  readonly closes?: ClosedLetters
}

/** A version of a projection in other shards: in place of those that are not among `slots`, others are made. */
export interface Resharding {
  readonly who: string
  readonly why: string
  /** Of all shards that there are afterwards. */
  readonly slots: readonly SlotRange[]
  readonly made: readonly MadeShard[]
}

/**
 * Shards of a version are to meet: for now none of them is to pass its bound, so that those behind come up to it. It binds those that
 * heed it (`LockedUnit.bound`); nothing is ever wrong where one does not, they only do not meet.
 */
export interface Gathering {
  /** The shards of the version that are left out have none. */
  readonly bounds: readonly { readonly slots: SlotRange; readonly position: string }[]
  /**
   * How long the bounds hold, by the store's clock: whoever asks may be gone. Each holds for as long as any other one of them. See
   * `holdBounds`.
   */
  readonly forMs: number
}

/**
 * What is to become of a version's shards, the lowest slots first, where the projection has these versions; `undefined`: they stay as
 * they are.
 */
export type DecideShards = (
  found: readonly ControlledUnit[],
  versions: readonly number[],
) => Resharding | Gathering | undefined

/** A shard that is made. */
export interface MadeShard {
  readonly slots: SlotRange
  /** What else a row has comes from that of these slots. */
  readonly heirOf: SlotRange
  readonly to: OperatedState
}

/** What an operation has found of a unit, or left of it. */
export interface AuditedState extends OperatedState {
  /** Of `reprocess` and `discard_late_events` alone, which change nothing else. */
  readonly lateEvents?: AuditedLate
}

/** The late events of a unit between two positions, both included: how many are open, and how many of them are asked for. */
export interface AuditedLate {
  readonly from: string
  readonly to: string
  readonly open: number
  readonly asked: number
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
  readonly before: AuditedState
  /** `undefined`: the unit was forgotten. */
  readonly after: AuditedState | undefined
  /** The id of the request that has ended with it. */
  readonly request: string | undefined
  /** Why what was asked was not done; `undefined` where it was. */
  readonly refused: string | undefined
}

export interface AuditFilter {
  readonly projection?: string
  readonly source?: string
  /** The entry with which that request has ended. */
  readonly request?: string
  /** Entries with a smaller id: the next page. */
  readonly before?: bigint
  readonly limit: number
}

export interface FulfilRequest {
  readonly unit: Unit
  /** Of the request. */
  readonly id: string
  /** The newest run of the events' store that this process knows; `undefined` before its first poll. */
  readonly incarnation: string | undefined
  /** Locks the live version of the projection too, and before the unit; waits at most that long for its batch at hand. `work` is given both. */
  readonly liveWithinMs?: number
  /**
   * Locks the other shards of the version too, the lowest slots first, and after the unit; waits at most that long for the batch at hand of each.
   * Nothing is done where one takes longer. `work` is given all of them. For the shard with the lowest slots alone, so that no two wait for each other.
   */
  readonly shardsWithinMs?: number
  /** The session that this process has begun at the unit: nothing is done where another one is kept (`tenures`). */
  readonly session?: string
  /** Fires when nobody waits for the work any more: the transaction's connection is destroyed. */
  readonly signal: AbortSignal
}

export interface ChangeLimits {
  /** How long to wait for the batch at hand. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** What operators need of `Control`. */
export interface OperatorControl {
  /** The units that match, in no order. Writes nothing. */
  units(filter: ControlFilter, signal: AbortSignal): Promise<readonly ControlledUnit[]>
  /**
   * Changes a unit and writes the audit entry: both, or neither. Where a node is asked for something, only that is stored. `decide` is given the unit as it stands, and nothing else
   * changes it until the change is stored; with `undefined` nothing is changed. Waits for the batch at hand, so that no
   * later one can commit against the answer; rejects with `CheckpointBusyError` when that takes too long, and with the
   * error of `decide`.
   */
  change(
    unit: Unit,
    decide: (found: ControlledUnit | undefined) => UnitChange | undefined,
    limits: ChangeLimits,
  ): Promise<AuditEntry | undefined>
  /**
   * Replaces units of a version by others, with an audit entry for each that is made: all of it, or nothing; or stores how far they
   * are to come for now, without an entry. Until that is stored nothing else changes the units that `decide` is given, or makes one of
   * the projection; with `undefined` nothing is changed. The open dead letters of a unit become those of the one that has all its slots;
   * rejects with `OperationRefusedError` where there is none, or where a late event is open. Waits for each batch at hand, as `change`.
   */
  reshard?(
    version: Pick<Unit, 'projection' | 'version'>,
    decide: DecideShards,
    limits: ChangeLimits,
  ): Promise<readonly AuditEntry[]>
  /**
   * The bounds of a version that hold (`Gathering`) hold for so long from now on; 0: no more, but those of units that are at work, which
   * may hold until the time before is over. Waits for no batch. There where `reshard` is.
   */
  holdBounds?(
    version: Pick<Unit, 'projection' | 'version'>,
    forMs: number,
    signal: AbortSignal,
  ): Promise<void>
  /** The newest first. */
  audit(filter: AuditFilter, signal: AbortSignal): Promise<readonly AuditEntry[]>
}

/**
 * What operators want of units, kept with their checkpoints, and what they have done. `advance` moves no checkpoint of a
 * unit that is not to run: it rejects with `ProjectionPausedError` before its work.
 *
 * @typeParam Tx - as of `advance`
 */
export interface Control<Tx> extends OperatorControl {
  /**
   * Runs `work` for a pending request, changes the unit to what it has come to, ends the request and writes its audit entry:
   * all of it, or nothing. The unit is locked before `work`, as by `advance`, and may be paused: done once, whichever node
   * comes first. `undefined`, without `work`, where the request is not pending any more, or another owner works on the unit or
   * has begun to; and where `work` comes to nothing now, which it says by `undefined`.
   * Rejects with the error of `work`.
   */
  fulfil(
    request: FulfilRequest,
    work: (
      tx: Tx,
      found: ControlledUnit,
      live: ControlledUnit | undefined,
      others: readonly ControlledUnit[],
    ) => Promise<Fulfilment | undefined>,
  ): Promise<AuditEntry | undefined>
}
