import { neverAborted } from '../kernel/deferred.ts'
import { InvalidOptionError, UnsupportedByStoreError } from '../kernel/errors.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { OperatorControl } from '../ports/control.ts'
import type { DeadLetter, DeadLetters, LetterClosing, OpenLetters } from '../ports/dead-letters.ts'
import {
  type ClosingRequest,
  type LettersRequest,
  type RetryRequest,
  resolveClosing,
  resolveLetters,
  resolveRetry,
} from './letter-requests.ts'
import { type RetryOutcome, retryLetters } from './letter-retry.ts'

/** The events that were given up (`onFailure`). */
export interface DeadLetterOperations {
  /** In the order in which they were buried. */
  list(request?: LettersRequest): Promise<readonly DeadLetter[]>
  /** `undefined` where there is none. */
  show(id: string): Promise<DeadLetter | undefined>
  /** How many are open, of each projection that has any, and when the first of them was buried. */
  counts(): Promise<readonly OpenLetters[]>
  /**
   * Their effect is there by now. Answers which of them were open: asked twice, or by many at once, each is closed once. Who and
   * why are kept with the letter.
   */
  resolve(request: ClosingRequest): Promise<readonly string[]>
  /** Their effect is not wanted. Otherwise as `resolve`. */
  discard(request: ClosingRequest): Promise<readonly string[]>
  /**
   * Hands their events to the handler of their projection again, one letter after the other, each in a transaction with its
   * closing (`retried`): exactly once, whoever asks. Answers when that is decided for each. A daemon that runs the projection
   * does it, beside its own work; that of a paused projection does once it is resumed. What fails again stays open, and is not
   * tried again before it is asked for. Rejects with a `WaitTimeoutError` after `timeoutMs`: what was asked for stays so, and
   * asking again waits on.
   */
  retry(request: RetryRequest): Promise<RetryOutcome>
}

/** The part of a checkpoint store that they are kept in. */
export interface LetterStore extends Pick<CheckpointStore<never>, 'name'> {
  readonly deadLetters?: Omit<DeadLetters<never>, 'bury' | 'parkedKeys' | 'takeRetry' | 'retryFailed'>
}

export function deadLetterOperations(
  { name, deadLetters }: LetterStore,
  control: Pick<OperatorControl, 'units'>,
): DeadLetterOperations {
  const letters = (): NonNullable<LetterStore['deadLetters']> => {
    if (deadLetters !== undefined) return deadLetters
    throw new UnsupportedByStoreError(
      'checkpoints',
      name,
      'deadLetters',
      'dead letters are kept with the checkpoints',
      'keep the checkpoints in postgresCheckpoints',
    )
  }
  const close = async (as: LetterClosing['as'], request: ClosingRequest): Promise<readonly string[]> => {
    const { ids, who, why } = resolveClosing(request)
    return ids.length === 0 ? [] : await letters().close(ids, { as, who, why }, neverAborted())
  }
  return {
    list: async (request = {}) => {
      const { after, limit, ...filter } = resolveLetters(request)
      return await letters().list(filter, { after, limit }, neverAborted())
    },
    show: async (id) => {
      if (typeof id !== 'string') throw new InvalidOptionError('id', 'the id of a dead letter', id)
      return await letters().find(id, neverAborted())
    },
    counts: async () => await letters().counts(neverAborted()),
    resolve: async (request) => await close('resolved', request),
    discard: async (request) => await close('discarded', request),
    retry: async (request) => await retryLetters({ letters: letters(), control }, resolveRetry(request)),
  }
}
