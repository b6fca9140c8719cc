import type { UnitFilter } from './stored-unit.ts'
import type { Unit } from './unit.ts'

/** An event that became visible where the mark had passed already. Its position is a text of `PositionOrder.format`. */
export interface LateEvent {
  readonly position: string
  /** `undefined` where the source does not know types. */
  readonly type: string | undefined
}

/** Why nobody waited for a late event: the mark passed without proof, or with a proof that did not hold. */
export type PassedAs = 'without_proof' | 'proven_empty'

/**
 * What has become of a late event for a unit that has passed it:
 *
 * - `open`: the unit has missed it
 * - `in_order`: the unit was behind, and was given it in its place
 * - `on_late_event`: it was given to the projection's `onLateEvent`
 * - `reprocessed`: it was given to the projection's own handler, since an operator has asked for that
 * - `discarded`: an operator does not want it handled
 * - `not_wanted`: its type is none of the projection's `eventTypes`
 */
export const LATE_STATES: readonly [
  'open',
  'in_order',
  'on_late_event',
  'reprocessed',
  'discarded',
  'not_wanted',
] = ['open', 'in_order', 'on_late_event', 'reprocessed', 'discarded', 'not_wanted']
export type LateState = (typeof LATE_STATES)[number]

/** Keeps which events came late, and what has become of each for each unit. The source has the events. */
export interface LateEvents<Tx> {
  /** Runs of the skip ledger that were recorded within `windowMs`, in the order in which they were. Writes nothing. */
  watched(source: string, page: WatchPage, signal: AbortSignal): Promise<readonly WatchedRun[]>
  /** Answers those that nobody has recorded before: of several who have found one, one counts it. */
  record(
    source: string,
    as: PassedAs,
    events: readonly LateEvent[],
    signal: AbortSignal,
  ): Promise<readonly RecordedLate[]>
  /**
   * For each stored unit that has slots of one of `units`, the late events that its checkpoint has passed and that it was not given are
   * opened, unless their type is none of `eventTypes`. Answers those that nobody has opened before.
   */
  open(
    source: string,
    units: readonly LateUnit[],
    found: { readonly withinMs: number | undefined },
    signal: AbortSignal,
  ): Promise<readonly OpenedLate[]>
  /** Of each unit that has open ones. Writes nothing. */
  counts(source: string, signal: AbortSignal): Promise<readonly OpenLate[]>
  /**
   * The open ones of a unit that an operator has asked to be handled (`isAsked`), or the others; the lowest first, at most `limit`.
   * Writes nothing.
   */
  due(
    unit: Unit,
    source: string,
    of: { readonly isAsked: boolean; readonly limit: number },
    signal: AbortSignal,
  ): Promise<readonly string[]>
  /**
   * Closes those of them that are open through the transaction of an `advance` of this unit, and answers which they were:
   * both are committed, or neither.
   */
  close(
    tx: Tx,
    unit: Unit,
    source: string,
    positions: readonly string[],
    as: Exclude<LateState, 'open' | 'in_order' | 'discarded'>,
  ): Promise<readonly string[]>
  /**
   * Through the same transaction: those of them that another version of the projection was given, or that an operator has discarded
   * for one.
   */
  ofOthers(tx: Tx, unit: Unit, source: string, positions: readonly string[]): Promise<readonly string[]>
  /** That an attempt to handle them has failed. */
  failed(
    unit: Unit,
    source: string,
    positions: readonly string[],
    error: string,
    signal: AbortSignal,
  ): Promise<void>
  /**
   * Asks that those that are open are handled, by whoever runs the unit, unless that is retired. Answers how many that are. A store
   * with `control` writes an audit entry with it for each unit of which something was not asked for yet: both, or neither.
   */
  ask(filter: LateRange, decision: LateDecision, signal: AbortSignal): Promise<number>
  /** Closes those that are open. Answers how many they were. Audited as `ask`. */
  discard(filter: LateRange, decision: LateDecision, signal: AbortSignal): Promise<number>
  /** The highest position first, at most `limit`. Writes nothing. */
  list(filter: LateFilter, limit: number, signal: AbortSignal): Promise<readonly ListedLate[]>
}

export interface WatchPage {
  readonly windowMs: number
  /** The last one of the page before. */
  readonly after: WatchedRun | undefined
  readonly limit: number
}

/** A run of positions that is looked at again. Both ends are included. */
export interface WatchedRun {
  readonly from: string
  readonly to: string
  /** Where it stands in the order of these runs; of the store alone. */
  readonly cursor: string
}

export interface RecordedLate extends LateEvent {
  /** From when the mark passed it to when it was found; `undefined`: not known. */
  readonly afterMs: number | undefined
}

export interface LateUnit {
  readonly unit: Unit
  readonly eventTypes: readonly string[] | undefined
}

export interface OpenedLate extends LateEvent {
  readonly unit: Unit
}

export interface OpenLate {
  readonly unit: Unit
  readonly open: number
  /** Those of them that an operator has asked to be handled. */
  readonly asked: number
}

/** Late events of a source. `projections`: `undefined` is every one. Both ends are included. */
export interface LateRange {
  readonly source: string
  readonly projections: readonly string[] | undefined
  readonly from: string
  readonly to: string
}

export interface LateDecision {
  readonly who: string
  readonly why: string
}

export interface LateFilter extends UnitFilter {
  readonly state?: LateState
  readonly from?: string
  readonly to?: string
}

export interface ListedLate extends LateEvent {
  readonly source: string
  readonly passed: PassedAs
  /** When the mark passed it, and when it was found, by the clock of the store. `undefined`: not known. */
  readonly passedAtMs: number | undefined
  readonly foundAtMs: number
  /** Of each unit whose checkpoint has passed it. */
  readonly units: readonly LateOfUnit[]
}

export interface LateOfUnit {
  readonly unit: Unit
  readonly state: LateState
  /** Who has asked for it to be handled, or has discarded it, and why; `undefined`: nobody. */
  readonly decision: LateDecision | undefined
  /** How often handling it has failed, and what was thrown last. */
  readonly failures: number
  readonly error: string | undefined
  readonly closedAtMs: number | undefined
}
