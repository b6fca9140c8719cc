import { isOwnFault, StagedError } from '../failures/classify.ts'
import type { HandlerCalls } from '../failures/handler-timeout.ts'
import { letterError } from '../failures/letter-error.ts'
import { EventsGoneError } from '../kernel/errors.ts'
import { errorJson } from '../kernel/json.ts'
import type { AdvanceWork, CheckpointStore } from '../ports/checkpoint-store.ts'
import type { DeadLetter } from '../ports/dead-letters.ts'
import type { HighWaterReading } from '../ports/event-source.ts'
import { isReached } from '../ports/position.ts'
import type { ReadPage } from '../reading/own-pages.ts'
import { type BatchParts, handleBatch } from './batch.ts'
import type { Input } from './commands.ts'
import { isPassing } from './passing.ts'

interface RetryParts<P, E, Tx> extends BatchParts<P, E, Tx> {
  readonly checkpoints: Pick<CheckpointStore<Tx>, 'deadLetters' | 'isTransient'>
  readonly calls: HandlerCalls
  /** The events between two positions. */
  readonly read: (first: P, last: P, events: number) => Promise<ReadPage<P, E>>
  /** Runs `work` in a transaction that holds the checkpoint where it is. */
  readonly commit: (work: AdvanceWork<Tx>, signal: AbortSignal) => Promise<void>
  /** Fires when nothing more is to be begun. */
  readonly stopping: AbortSignal
  /** Fires when nobody waits for the end any more. */
  readonly givenUp: AbortSignal
}

type Retried<P, E> = Extract<Input<P, E>, { readonly kind: 'retried' }>

/** Somebody has closed it, or taken the request back. */
const NOT_WANTED = Symbol('the letter is not to be retried any more')

/** Its effects are for the live version alone. */
const NOT_LIVE = Symbol('another version is the live one')

/**
 * Hands the events of the next dead letter that is asked for to the handler, and closes it in the same transaction. What its
 * handler or mapping throws stays with the letter; what the store throws is thrown, and the letter is asked for as before.
 */
export async function retryLetter<P, E, Tx>(
  parts: RetryParts<P, E, Tx>,
  reading: HighWaterReading<P>,
): Promise<Retried<P, E>> {
  const { projection, checkpoints, calls, commit, stopping, givenUp } = parts
  const { deadLetters } = checkpoints
  if (deadLetters === undefined) return { kind: 'retried', isMore: false }
  const { unit } = projection
  const letter = await deadLetters.nextRetry(unit, stopping)
  if (letter === undefined) return { kind: 'retried', isMore: false }
  const { id } = letter
  try {
    const page = await eventsOf(parts, letter, reading)
    await handleBatch(parts, {
      page,
      calls,
      move: (work, signal) =>
        commit(async (tx, locked) => {
          if (projection.effects === 'live_only' && locked?.role !== 'live') throw NOT_LIVE
          const taken = await deadLetters.takeRetry(tx, unit, id)
          if (taken === undefined) throw NOT_WANTED
          await work(tx, locked)
          await taken.close()
        }, signal),
      onCalled: () => {},
    })
    return { kind: 'retried', isMore: true, letter }
  } catch (thrown) {
    if (!(thrown instanceof StagedError)) throw thrown
    const { stage, error } = thrown
    if (error === NOT_LIVE) return { kind: 'retried', isMore: false }
    if (error === NOT_WANTED) return { kind: 'retried', isMore: true }
    const isItsOwn = isOwnFault(stage) && !isPassing(parts, stage, error)
    if ((stage !== 'map' && stage !== 'handle') || !isItsOwn) throw thrown
    await commit((tx) => deadLetters.retryFailed(tx, unit, id, letterError(errorJson(error))), givenUp)
    const { firstPosition, lastPosition, events, eventTypes, tries } = letter
    const batch = { firstPosition, lastPosition, events, eventTypes }
    return {
      kind: 'retried',
      isMore: true,
      failure: { id, burial: { stage, error, batch, tries: tries + 1 } },
    }
  }
}

async function eventsOf<P, E, Tx>(
  { source, read }: RetryParts<P, E, Tx>,
  letter: DeadLetter,
  { mark }: HighWaterReading<P>,
): Promise<ReadPage<P, E>> {
  const { parse } = source.order
  const { firstPosition, lastPosition, events } = letter
  const [first, last] = [parse(firstPosition), parse(lastPosition)]
  const gone = (): StagedError =>
    new StagedError('handle', new EventsGoneError(firstPosition, lastPosition, source.name))
  if (!isReached(source.order, last, mark)) throw gone()
  const page = await read(first, last, events)
  if (page.events.length === 0) throw gone()
  return page
}
