import { aroundMs, backOffMs, fullJitterMs } from '../kernel/back-off.ts'
import { hasCode } from '../kernel/errors.ts'
import { type FailureStage, isOwnFault } from './classify.ts'
import type { Decided } from './on-failure.ts'

/** What a failed batch leads to. Pure. */
export type FailureAction =
  /** What was learned no longer holds: drop the page and wait for a new poll. */
  | { readonly kind: 'drop_page'; readonly waitMs: number }
  | { readonly kind: 'retry'; readonly waitMs: number; readonly counted: boolean }
  /** Smaller parts of the batch are tried, to find the event that fails. No attempt: those are for that event. */
  | { readonly kind: 'narrow'; readonly waitMs: number }
  /** Tried often enough: from now on it is tried seldom. `undefined`: trying again would do harm, so it is not. */
  | { readonly kind: 'pause'; readonly waitMs: number | undefined; readonly fault?: unknown }
  /** Tried often enough: a dead letter is written, and the events are passed. */
  | { readonly kind: 'bury'; readonly waitMs: undefined; readonly key: string | undefined }

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
  /** What the projection wants, once the attempts are used up; it is not asked before. */
  readonly decide: () => Decided
  /** Whether the batch that was handled can be parted. */
  readonly isNarrowable: boolean
  /** How many times it was tried again since it was paused. */
  readonly triesAtPause: number
  readonly longestPauseMs: number
  /** In [0, 1). */
  readonly random: number
}

/** So short that finding one event of a thousand takes half a second. */
const NARROW_WAIT_MS = 50
const FIRST_PAUSE_MS = 5_000

/** Only what handler and mapping throw uses attempts up; the store's faults pass, or somebody mends them meanwhile. */
export function onFailure(failure: Failure): FailureAction {
  const { error, stage, transient, attempt, inARow, attempts, isNarrowable, random } = failure
  const backOff = fullJitterMs(backOffMs(inARow), random)
  if (hasCode(error, 'TIDEMARK_INCARNATION_CHANGED')) return { kind: 'drop_page', waitMs: backOff }
  // Trying again would repeat what the handler has committed on its own.
  if (hasCode(error, 'TIDEMARK_HANDLER_ENDED_TRANSACTION')) return { kind: 'pause', waitMs: undefined }
  if (transient || !isOwnFault(stage)) return { kind: 'retry', waitMs: backOff, counted: false }
  if (isNarrowable) return { kind: 'narrow', waitMs: NARROW_WAIT_MS }
  if (attempt >= attempts) {
    const { decision, key, fault } = failure.decide()
    if (decision === 'skip') return { kind: 'bury', waitMs: undefined, key }
    if (decision === 'pause') {
      return { kind: 'pause', waitMs: pauseMs(failure), ...(fault === undefined ? {} : { fault }) }
    }
  }
  return { kind: 'retry', waitMs: aroundMs(backOffMs(attempt) * 4, random), counted: true }
}

/** Doubles from some 5 s, and with its jitter never exceeds the longest. */
function pauseMs({ error, triesAtPause, longestPauseMs, random }: Failure): number | undefined {
  // Trying again would end this process, and every other projection in it.
  if (hasCode(error, 'TIDEMARK_PROCESS_ENDED')) return undefined
  const doubled = FIRST_PAUSE_MS * 2 ** Math.min(triesAtPause, 30)
  return aroundMs(Math.min(doubled, longestPauseMs / 1.25), random)
}
