import type { Clock } from '../kernel/clock.ts'
import { untilAborted } from '../kernel/deferred.ts'
import { TidemarkError } from '../kernel/errors.ts'
import { warnWhileUnanswered } from '../kernel/unanswered.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { FailedBatch } from './classify.ts'

/** A call of a handler took longer than the `handlerTimeoutMs` of its projection. It counts as a failure of the handler. */
export class HandlerTimeoutError extends TidemarkError {
  readonly code = 'TIDEMARK_HANDLER_TIMEOUT'
  readonly projection: string
  readonly handlerTimeoutMs: number
  readonly firstPosition: string
  readonly lastPosition: string
  constructor(
    { name, handlerTimeoutMs, isTransactional }: TimedHandler,
    { events, firstPosition, lastPosition }: Pick<FailedBatch, 'events' | 'firstPosition' | 'lastPosition'>,
  ) {
    const what =
      events === 1
        ? `one event at position ${firstPosition}`
        : `${events} events at positions ${firstPosition} to ${lastPosition}`
    const so = isTransactional
      ? 'Its signal has fired, its connection is destroyed, and nothing of it is committed'
      : 'Its signal has fired. What it writes stays, and the projection waits until this call has ended'
    super(
      `projection "${name}": its handler took longer than handlerTimeoutMs (${handlerTimeoutMs}) for ${what}. ${so}. ` +
        'Find what the handler waits for, and give that its signal or a timeout of its own; if it was only slow, raise ' +
        'handlerTimeoutMs or lower batchSize',
    )
    this.projection = name
    this.handlerTimeoutMs = handlerTimeoutMs
    this.firstPosition = firstPosition
    this.lastPosition = lastPosition
  }
}

interface TimedHandler {
  readonly name: string
  readonly handlerTimeoutMs: number
  /** Whether the store ends what the handler does through `tx`. */
  readonly isTransactional: boolean
}

export interface HandlerCallParts {
  readonly projection: { readonly name: string; readonly handlerTimeoutMs: number | undefined }
  readonly checkpoints: { readonly isTransactional?: true }
  readonly clock: Clock
  readonly logger: Logger
}

/** Without a reason of its own each abort makes an error with its stack. */
const OVER = Symbol('over')

/** The calls of one projection's handler: one at a time, each with a signal of its own. */
export class HandlerCalls {
  readonly #parts: HandlerCallParts
  readonly #givenUp: AbortSignal
  #left: Promise<void> | undefined

  /** `givenUp` fires when nobody waits for a call any more. */
  constructor(parts: HandlerCallParts, givenUp: AbortSignal) {
    this.#parts = parts
    this.#givenUp = givenUp
  }

  /**
   * Resolves when the call before this one has ended, where it took too long and its store could not end what it does; and
   * when nobody waits any more.
   */
  async ended(): Promise<void> {
    const left = this.#left
    if (left === undefined) return
    const { projection, clock, logger } = this.#parts
    const warn = (forMs: number): void =>
      logger.warn(
        `tidemark: projection "${projection.name}" stands still: a call of its handler that took longer than ` +
          `handlerTimeoutMs still runs, ${(forMs / 1_000).toFixed(0)} s later, and the next try waits until it has ended; ` +
          'let the handler heed its signal',
      )
    const signal = this.#givenUp
    await untilAborted(warnWhileUnanswered(left, { clock, signal, warn }), signal)
  }

  /** A call for that batch, which is not made yet. */
  next(batch: FailedBatch): HandlerCall {
    const { projection, checkpoints, clock } = this.#parts
    const { name, handlerTimeoutMs } = projection
    const isTransactional = checkpoints.isTransactional === true
    return new HandlerCall({
      clock,
      givenUp: this.#givenUp,
      timeoutMs: handlerTimeoutMs,
      tooLong: (timeoutMs) =>
        new HandlerTimeoutError({ name, handlerTimeoutMs: timeoutMs, isTransactional }, batch),
      onLeft: (ended) => {
        if (!isTransactional) this.#left = ended
      },
    })
  }
}

interface CallParts {
  readonly clock: Clock
  readonly givenUp: AbortSignal
  readonly timeoutMs: number | undefined
  readonly tooLong: (timeoutMs: number) => HandlerTimeoutError
  /** It took too long, and goes on until that resolves. */
  readonly onLeft: (ended: Promise<void>) => void
}

/** One call of a handler: its signal fires when it takes too long, and when nobody waits for it any more. */
export class HandlerCall {
  readonly #parts: CallParts
  readonly #ending = new AbortController()
  /** Ends the timer. */
  readonly #over = new AbortController()
  readonly #giveUp = (): void => {
    this.#over.abort(OVER)
    this.#ending.abort(this.#parts.givenUp.reason)
  }
  #timedOut: HandlerTimeoutError | undefined

  constructor(parts: CallParts) {
    this.#parts = parts
    if (parts.givenUp.aborted) this.#giveUp()
    else parts.givenUp.addEventListener('abort', this.#giveUp)
  }

  get signal(): AbortSignal {
    return this.#ending.signal
  }

  /** `undefined` where it has not taken too long. */
  get timedOut(): HandlerTimeoutError | undefined {
    return this.#timedOut
  }

  /** Settles as the handler does, however long that takes. */
  async run(handle: () => Promise<void> | void): Promise<void> {
    const { clock, timeoutMs, onLeft } = this.#parts
    if (timeoutMs === undefined) return await handle()
    const over = this.#over
    const late = clock.sleep(timeoutMs, over.signal)
    const handled = (async () => {
      try {
        await handle()
      } finally {
        over.abort(OVER)
      }
    })()
    void late.then(() => {
      if (over.signal.aborted) return
      onLeft(handled.catch(() => {}))
      this.#timeOut(timeoutMs)
    })
    await handled
  }

  #timeOut(timeoutMs: number): void {
    this.#timedOut = this.#parts.tooLong(timeoutMs)
    this.#ending.abort(this.#timedOut)
  }

  /** Leaves neither timer nor listener behind. */
  dispose(): void {
    this.#over.abort(OVER)
    this.#parts.givenUp.removeEventListener('abort', this.#giveUp)
  }
}
