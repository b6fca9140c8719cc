import { InvalidOptionError } from '../kernel/errors.ts'
import type { FailedBatch } from './classify.ts'
import { type KeyOf, keyOfAll } from './keys.ts'

/** What is done about events that have failed as often as they may. */
export type FailureDecision = 'pause' | 'skip' | 'park_key' | 'retry'

/** The events of one position, at which handler or mapping has failed `attempts` times or more. */
export interface UndecidedFailure<E> {
  readonly error: unknown
  readonly stage: 'map' | 'handle'
  /** Where they are, how many, and of which types. */
  readonly batch: FailedBatch
  /** The events themselves; none where they could not be mapped. */
  readonly events: readonly E[]
  /** How often they were tried. */
  readonly tries: number
}

export type OnFailure<E> = 'pause' | 'skip' | 'park_key' | ((failure: UndecidedFailure<E>) => FailureDecision)

export interface Decided {
  readonly decision: 'pause' | 'skip' | 'retry'
  /** Of what is skipped: later events of this key follow it. */
  readonly key?: string
  /** What the function has thrown or answered instead of a decision. */
  readonly fault?: unknown
}

/** Always answers: where a function does not, the projection is paused. */
export type Decide = (failure: UndecidedFailure<unknown>) => Decided

/** @param option - its name, for messages */
export function decideBy<E>(onFailure: OnFailure<E>, option: string, keyOf?: KeyOf<E>): Decide {
  if (onFailure === 'pause' || onFailure === 'skip') return () => ({ decision: onFailure })
  if (onFailure === 'park_key') {
    return ({ events }) => {
      try {
        return parked(events as readonly E[], option, keyOf)
      } catch (error) {
        return { decision: 'pause', fault: error }
      }
    }
  }
  if (typeof onFailure !== 'function') {
    throw new InvalidOptionError(option, "'pause', 'skip', 'park_key' or a function", onFailure)
  }
  return (failure) => {
    try {
      // The events are those that the handler of this projection was given.
      const decision: unknown = onFailure(failure as UndecidedFailure<E>)
      if (decision === 'park_key') return parked(failure.events as readonly E[], option, keyOf)
      if (isDecision(decision)) return { decision }
      // Of an async function: nobody waits for it.
      if (decision instanceof Promise) decision.catch(() => {})
      const expected = "it to return 'pause', 'skip', 'park_key' or 'retry'"
      return { decision: 'pause', fault: new InvalidOptionError(option, expected, decision) }
    } catch (error) {
      return { decision: 'pause', fault: error }
    }
  }
}

function parked<E>(events: readonly E[], option: string, keyOf: KeyOf<E> | undefined): Decided {
  if (keyOf === undefined) {
    throw new InvalidOptionError(option, "the option keyOf beside the answer 'park_key'", keyOf)
  }
  return { decision: 'skip', key: keyOfAll(events, keyOf) }
}

function isDecision(decision: unknown): decision is Exclude<FailureDecision, 'park_key'> {
  return decision === 'pause' || decision === 'skip' || decision === 'retry'
}
