import type { Advanced, AdvanceRequest, AdvanceWork } from '../ports/checkpoint-store.ts'
import type { Tenures } from '../ports/tenures.ts'

/** Who may move the checkpoint of one projection. */
export interface Ownership<P, Tx> {
  /** Resolves once this process may. Rejects when `signal` fires, and with the error of a look that failed. */
  acquire(request: AcquireRequest<P>): Promise<Grant<Tx>>
  /** Somebody in this process begins to wait for the checkpoint to move, whoever moves it. */
  hurry(): void
}

export interface AcquireRequest<P> {
  /** Reads the checkpoint that another owner moves. */
  readonly look: () => Promise<P | undefined>
  /** How far the checkpoint is to come for now, as far as is known; `undefined`: as far as there are events. */
  readonly bound: () => P | undefined
  /** Whether something else than events waits for an owner. */
  readonly isAsked: () => boolean
  /** Resolves when that may have become so. */
  readonly nextAsked: () => Promise<void>
  readonly signal: AbortSignal
  /** Fires when the right is wanted now, whatever another owner does. */
  readonly hurry: AbortSignal
}

/** The right to move a checkpoint. */
export interface Grant<Tx> {
  /** Fires when another owner has the right. */
  readonly lost: AbortSignal
  /** Fires when another owner is to have it: what is at hand is to be ended, and then it is to be released. Absent where that never happens. */
  readonly recalled?: AbortSignal
  /** Of the lease that gives it; absent where there is none. */
  readonly fence?: bigint
  /** `CheckpointStore.advance`, by this right. */
  advance(request: AdvanceRequest, work: AdvanceWork<Tx>): Promise<Advanced>
  /** `Tenures.begin`, by this right; only for a store that has `tenures`. */
  readonly begin: Tenures['begin']
  /** Nothing is at hand any more. */
  release(): Promise<void>
}
