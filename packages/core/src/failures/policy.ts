import { backOffMs } from '../kernel/back-off.ts'
import { hasCode } from '../kernel/errors.ts'
import { type FailureStage, isOwnFault } from './classify.ts'

/** What a failed batch leads to. Pure. */
export type FailureAction =
  /** What was learned no longer holds: drop the page and wait for a new poll. */
  | { readonly kind: 'drop_page'; readonly waitMs: number }
  | { readonly kind: 'retry'; readonly waitMs: number; readonly counted: boolean }
  /** Smaller parts of the batch are tried, to find the event that fails. No attempt: those are for that event. */
  | { readonly kind: 'narrow'; readonly waitMs: number }
  /** Tried often enough, or trying again is of no use. */
  | { readonly kind: 'pause' }

export interface Failure {
  readonly error: unknown
  readonly stage: FailureStage
  /** Whether source or checkpoint store call it a passing fault. */
  readonly transient: boolean
  /** How many times handler or mapping have failed at this batch, this time included. */
  readonly attempt: number
  /** How many times in a row anything has failed, this time included. */
  readonly inARow: number
  readonly attempts: number
  /** Whether the batch that was handled can be parted. */
  readonly isNarrowable: boolean
}

/** So short that finding one event of a thousand takes half a second. */
const NARROW_WAIT_MS = 50

/** Only what handler and mapping throw uses attempts up; the store's faults pass, or somebody mends them meanwhile. */
export function onFailure(failure: Failure): FailureAction {
  const { error, stage, transient, attempt, inARow, attempts, isNarrowable } = failure
  if (hasCode(error, 'TIDEMARK_INCARNATION_CHANGED')) return { kind: 'drop_page', waitMs: backOffMs(inARow) }
  // Trying again would repeat what the handler has committed on its own.
  if (hasCode(error, 'TIDEMARK_HANDLER_ENDED_TRANSACTION')) return { kind: 'pause' }
  if (transient || !isOwnFault(stage)) return { kind: 'retry', waitMs: backOffMs(inARow), counted: false }
  if (isNarrowable) return { kind: 'narrow', waitMs: NARROW_WAIT_MS }
  if (attempt >= attempts) return { kind: 'pause' }
  return { kind: 'retry', waitMs: backOffMs(attempt) * 4, counted: true }
}
