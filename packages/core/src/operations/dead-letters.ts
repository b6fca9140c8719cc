import { neverAborted } from '../kernel/deferred.ts'
import { InvalidOptionError, UnsupportedByStoreError } from '../kernel/errors.ts'
import { type ErrorJson, errorJson } from '../kernel/json.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { OperatorControl } from '../ports/control.ts'
import type { DeadLetter, DeadLetters, LetterClosing, OpenLetters } from '../ports/dead-letters.ts'
import type { EvidenceSource } from './evidence.ts'
import {
  type ClosingRequest,
  type LettersRequest,
  type OpenIdsRequest,
  type RetryRequest,
  resolveClosing,
  resolveLetters,
  resolveOpenIds,
  resolveRetry,
} from './letter-requests.ts'
import { type RetryOutcome, retryLetters } from './letter-retry.ts'

export interface ShownLetter extends DeadLetter {
  /**
   * Its events as they are in the source now, as handlers get them; fewer than `events` where some are gone. `undefined`: they
   * could not be read, or `createOperations` was not given their source, or one that cannot look.
   */
  readonly eventsNow: readonly unknown[] | undefined
  /** What was thrown when they were read, as by a mapping that fails at them. */
  readonly unreadable: ErrorJson | undefined
}

/** The events that were given up (`onFailure`). */
export interface DeadLetterOperations {
  /** In the order in which they were buried. */
  list(request?: LettersRequest): Promise<readonly DeadLetter[]>
  /** The ids of open ones, in the same order: to act on many at once, of which nothing else is read. */
  openIds(request?: OpenIdsRequest): Promise<readonly string[]>
  /** With its events, read from the `source` of `createOperations`. `undefined` where there is none of that id. */
  show(id: string): Promise<ShownLetter | undefined>
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

export function deadLetterOperations<P>(
  { name, deadLetters }: LetterStore,
  control: Pick<OperatorControl, 'units'>,
  source: EvidenceSource<P> | undefined,
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
    openIds: async (request = {}) => {
      const { after, limit, ...filter } = resolveOpenIds(request)
      return await letters().openIds(filter, { after, limit }, neverAborted())
    },
    show: async (id) => {
      if (typeof id !== 'string') throw new InvalidOptionError('id', 'the id of a dead letter', id)
      const letter = await letters().find(id, neverAborted())
      return letter && { ...letter, ...(await read(letter, source)) }
    },
    counts: async () => await letters().counts(neverAborted()),
    resolve: async (request) => await close('resolved', request),
    discard: async (request) => await close('discarded', request),
    retry: async (request) => await retryLetters({ letters: letters(), control }, resolveRetry(request)),
  }
}

async function read<P>(
  letter: DeadLetter,
  source: EvidenceSource<P> | undefined,
): Promise<Pick<ShownLetter, 'eventsNow' | 'unreadable'>> {
  const nothing = { eventsNow: undefined, unreadable: undefined }
  if (source?.eventsAt === undefined || source.name !== letter.source) return nothing
  const { parse } = source.order
  const run = { from: parse(letter.firstPosition), to: parse(letter.lastPosition) }
  try {
    return { ...nothing, eventsNow: await source.eventsAt(run, letter.events, neverAborted()) }
  } catch (error) {
    return { ...nothing, unreadable: errorJson(error) }
  }
}
