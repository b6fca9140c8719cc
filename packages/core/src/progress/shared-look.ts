import { hasCode, messageOf, WaitFailedError } from '../kernel/errors.ts'
import { PacedLooks } from '../kernel/paced-looks.ts'
import { isReached } from '../ports/position.ts'
import { unitName } from '../ports/unit.ts'
import type { ResolvedProgressReaderOptions } from './options.ts'
import { readPosition, type StoredPosition, type WhichProjection } from './stored-position.ts'

const LONGEST_PAUSE_MS = 500

/** Somebody who waits for a position. */
export interface Waiter<P> {
  readonly position: P
  readonly reached: () => void
  readonly failed: (error: unknown) => void
}

/**
 * One projection's checkpoint, looked at again and again for all who wait for it: soon at first, since most wait for an event
 * that was just appended, and then less and less often. Whoever joins makes it soon again. It runs while somebody waits.
 */
export class SharedLook<P> {
  readonly #options: ResolvedProgressReaderOptions<P>
  readonly #which: WhichProjection
  readonly #waiters = new Set<Waiter<P>>()
  #running: AbortController | undefined
  readonly #pace: PacedLooks
  #last: { readonly stored: StoredPosition<P> | undefined } | undefined
  #error: unknown
  #isKnown = false

  constructor(options: ResolvedProgressReaderOptions<P>, which: WhichProjection) {
    this.#options = options
    this.#which = which
    this.#pace = new PacedLooks(options.clock, () => LONGEST_PAUSE_MS)
  }

  /** What people are told of it. */
  get name(): string {
    const { projection, version = 1 } = this.#which
    return unitName({ projection, version })
  }

  get isIdle(): boolean {
    return this.#waiters.size === 0
  }

  /** Whether there is such a checkpoint. Names of projections that nobody runs may be made up without end. */
  get isKnown(): boolean {
    return this.#isKnown
  }

  join(waiter: Waiter<P>): void {
    this.#waiters.add(waiter)
    this.#pace.hurry()
    if (this.#running !== undefined) return
    this.#running = new AbortController()
    this.#last = undefined
    this.#error = undefined
    void this.#run(this.#running.signal)
  }

  leave(waiter: Waiter<P>): void {
    this.#waiters.delete(waiter)
    if (!this.isIdle) return
    this.#running?.abort()
    this.#running = undefined
  }

  /** What was seen last, for a wait that took too long. */
  describe(): string {
    if (this.#error !== undefined) return `its checkpoint could not be read: ${messageOf(this.#error)}`
    if (this.#last === undefined) return 'its checkpoint was not read yet'
    const { stored } = this.#last
    if (stored === undefined)
      return 'it has no checkpoint: no daemon has started a projection of that name yet'
    const { position } = stored
    return position === undefined
      ? 'it has handled nothing yet'
      : `its checkpoint is ${this.#options.source.order.format(position)}`
  }

  async #run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#pace.due(signal)
      if (signal.aborted) return
      await this.#look(signal)
      this.#pace.looked()
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    try {
      const stored = await readPosition(this.#options, this.#which, signal)
      if (signal.aborted) return
      this.#last = { stored }
      this.#isKnown ||= stored !== undefined
      this.#error = undefined
      this.#tell(stored)
    } catch (error) {
      if (signal.aborted) return
      this.#error = error
      if (!this.#options.checkpoints.isTransient(error)) this.#fail(error)
    }
  }

  #tell(stored: StoredPosition<P> | undefined): void {
    const { order } = this.#options.source
    for (const waiter of [...this.#waiters]) {
      if (isReached(order, waiter.position, stored?.position)) waiter.reached()
      else if (stored?.role === 'retired') waiter.failed(this.#retired())
    }
  }

  #retired(): WaitFailedError {
    return new WaitFailedError(
      `projection "${this.name}" is retired, and moves no more: wait for the live version, which is meant where none is named`,
    )
  }

  #fail(error: unknown): void {
    const failed = hasCode(error, 'TIDEMARK_WAIT_FAILED')
      ? error
      : new WaitFailedError(
          `the checkpoint of projection "${this.name}" cannot be read: ${messageOf(error)}`,
          { cause: error },
        )
    for (const waiter of [...this.#waiters]) waiter.failed(failed)
  }
}
