import { neverAborted, whenAborted } from '../kernel/deferred.ts'
import { InvalidOptionError, WaitTimeoutError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireInteger, requireName, requireTimerMs } from '../kernel/validation.ts'
import type { PositionOrder } from '../ports/position.ts'
import {
  type ProgressReaderOptions,
  type ResolvedProgressReaderOptions,
  resolveProgressReaderOptions,
} from './options.ts'
import { SharedLook, type Waiter } from './shared-look.ts'
import { readPosition, type WhichProjection } from './stored-position.ts'

export interface WaitForOptions<P> {
  /** The name of the projection, as its daemon has it. */
  readonly projection: string
  /**
   * Which version of it.
   * - Raising it: a later version is waited for.
   * - Lowering it: an earlier one is.
   * - Change it when: one that is not live is to be looked at, as while it is rebuilt beside the live one.
   * @unit version
   * @default the live one, whichever it is at the time of each look
   */
  readonly version?: number
  /**
   * The position that is to be handled or given up: what an append has given, also as text. In Postgres it is what
   * `insert ... returning position` gives.
   */
  readonly position: P | string
  /**
   * How long to wait before it rejects with a `WaitTimeoutError`.
   * - Raising it: whoever waits is kept for longer behind a projection that has stopped.
   * - Lowering it: more waits end before their event was handled.
   * - Change it when: somebody waits for the answer, as in a request.
   * @default no limit
   */
  readonly timeoutMs?: number
  /**
   * Ends the wait, which rejects with the signal's reason.
   * - Change it when: who asked may go away meanwhile, as the client of a request.
   * @default none
   */
  readonly signal?: AbortSignal
}

/** How far projections are, for processes that do not run them. */
export interface ProgressReader<P> {
  /** The checkpoint of the live version as it is stored now; `undefined` where there is none, or nothing was handled yet. */
  position(projection: string): Promise<P | undefined>
  /**
   * Resolves when the projection has handled or given up (`onFailure`) everything up to `position`, in whatever process. Waits
   * also where there is no such projection yet. Rejects after `timeoutMs` (`WaitTimeoutError`), when `signal` fires, and with a `WaitFailedError` where the
   * checkpoint is one of another source or cannot be read, or the version is retired; a fault that passes is waited out.
   *
   * The position of an append that is committed will be reached. One that was rolled back is reached with the next event after it.
   */
  waitFor(options: WaitForOptions<P>): Promise<void>
}

const WAIT_FOR_OPTIONS: Readonly<Record<keyof WaitForOptions<unknown>, true>> = {
  projection: true,
  version: true,
  position: true,
  timeoutMs: true,
  signal: true,
}

/**
 * Reads how far projections are, so that an API can wait until what it has appended is in its read model. All who wait for the
 * same projection share one look at its checkpoint. It holds no timer and no connection while nobody waits, and need not be closed.
 */
export function createProgressReader<P>(options: ProgressReaderOptions<P>): ProgressReader<P> {
  return new CheckpointReader(resolveProgressReaderOptions(options))
}

class CheckpointReader<P> implements ProgressReader<P> {
  readonly #options: ResolvedProgressReaderOptions<P>
  readonly #looks = new Map<string, SharedLook<P>>()

  constructor(options: ResolvedProgressReaderOptions<P>) {
    this.#options = options
  }

  async position(projection: string): Promise<P | undefined> {
    requireName('projection', projection)
    return (await readPosition(this.#options, { projection, version: undefined }, neverAborted()))?.position
  }

  async waitFor(options: WaitForOptions<P>): Promise<void> {
    requireKnownOptions(options, WAIT_FOR_OPTIONS)
    const { projection, version, timeoutMs, signal } = options
    requireName('projection', projection)
    if (version !== undefined) requireInteger('version', version, 1)
    if (timeoutMs !== undefined) requireTimerMs('timeoutMs', timeoutMs, 1)
    const position = requirePosition(this.#options.source.order, options.position)
    signal?.throwIfAborted()
    const which = { projection, version }
    const look = this.#lookAt(which)
    const over = new AbortController()
    const given = whenAborted(signal)
    try {
      await new Promise<void>((reached, failed) => {
        const waiter: Waiter<P> = { position, reached, failed }
        over.signal.addEventListener('abort', () => look.leave(waiter))
        void given.promise.then(() => failed(signal?.reason))
        if (timeoutMs !== undefined) {
          const late = this.#options.clock.sleep(timeoutMs, over.signal)
          void late.then(() => over.signal.aborted || failed(this.#tooLate(options, position, look)))
        }
        look.join(waiter)
      })
    } finally {
      over.abort()
      given.dispose()
      if (look.isIdle && !look.isKnown) this.#looks.delete(keyOf(which))
    }
  }

  #tooLate({ timeoutMs }: WaitForOptions<P>, position: P, look: SharedLook<P>): WaitTimeoutError {
    const text = this.#options.source.order.format(position)
    return new WaitTimeoutError(
      `projection "${look.name}" has not handled position ${text} within ${timeoutMs} ms: ${look.describe()}`,
    )
  }

  #lookAt(which: WhichProjection): SharedLook<P> {
    const look = this.#looks.get(keyOf(which)) ?? new SharedLook(this.#options, which)
    this.#looks.set(keyOf(which), look)
    return look
  }
}

function keyOf({ projection, version = 0 }: WhichProjection): string {
  return `${version}/${projection}`
}

/** What drivers give as text, and what users give in JavaScript, as a position of the source. */
function requirePosition<P>(order: PositionOrder<P>, position: P | string): P {
  try {
    return order.parse(typeof position === 'string' ? position : order.format(position))
  } catch {
    throw new InvalidOptionError(
      'position',
      'a position of the source, as it gives it or as its text',
      position,
    )
  }
}
