import type { Effects } from './stored-unit.ts'
import type { Unit } from './unit.ts'

/** What is kept of who works at a unit, so that the next one knows whether that ended cleanly. */
export interface Tenure {
  /** The run of a daemon that has begun to work here; `undefined` where none has, and after a clean end. */
  readonly session: string | undefined
  /** `undefined` where no event is suspected. */
  readonly suspicion: Suspicion | undefined
}

/**
 * A process ended while events behind `from` were handled, or may have been: each batch of them is written down before it is tried, and
 * where the process ends again, the batches become small. It can be written as JSON; positions are texts.
 */
export interface Suspicion {
  /** The checkpoint that these events follow; `null` before the first. At another checkpoint nothing of this holds. */
  readonly from: string | null
  /** What ended the process is not behind this position. */
  readonly through: string
  /** Nor behind that many events. */
  readonly left: number
  /** How many events a batch may have meanwhile. */
  readonly limit: number
  /** How often the process ended while the events of the next position were handled by themselves. */
  readonly tries: number
  /** What is being handled: nothing, several events, or the events of one position by themselves. */
  readonly trying: 'nothing' | 'batch' | 'position'
}

export interface FoundTenure extends Tenure {
  /** How long ago it was begun, by the store's clock. */
  readonly ageMs: number
}

export interface BeginRequest {
  readonly unit: Unit
  readonly from: string | undefined
  /** That of the page that is to be handled. */
  readonly incarnation: string
  /** Kept with the unit: see `ControlledUnit.effects`. */
  readonly effects: Effects
  /** See `AdvanceRequest.fence`. */
  readonly fence?: bigint
  readonly signal: AbortSignal
}

/**
 * Keeps who works at a unit: the run of a daemon (its session) is written once when it begins, and with each checkpoint that
 * it moves (`AdvanceRequest.tenure`), so that a healthy batch costs nothing more. A session that is still there when another
 * one begins has ended without saying so.
 */
export interface Tenures {
  /**
   * Replaces what is kept, durably, and before any work. `decide` is given what is kept, and nothing else changes it until
   * its answer is stored; what it throws is thrown, and nothing is stored then. Waits for nobody: rejects with
   * `CheckpointConflictError` while another owner works on the unit, and where its checkpoint is not `from`.
   */
  begin(request: BeginRequest, decide: (found: FoundTenure) => Tenure): Promise<void>
  /** A clean end: the session is kept no more, if it is still that one. What is suspected stays. Waits for no owner at work. */
  end(unit: Unit, session: string, signal: AbortSignal): Promise<void>
}
