import type { Clock } from '../kernel/clock.ts'

/** The wait between two polls, which a wake-up ends. One that comes during a poll ends the next wait. */
export class PollPause {
  readonly #clock: Clock
  readonly #stopping: AbortSignal
  #wakeUp = new AbortController()

  constructor(clock: Clock, stopping: AbortSignal) {
    this.#clock = clock
    this.#stopping = stopping
  }

  wake(): void {
    this.#wakeUp.abort()
  }

  /** No wake-up ends the first part. */
  async wait(deafMs: number, furtherMs: number): Promise<void> {
    await this.#clock.sleep(deafMs, this.#stopping)
    if (furtherMs > 0) await this.#clock.sleep(furtherMs, this.#wakeUp.signal)
    if (this.#wakeUp.signal.aborted) this.#wakeUp = new AbortController()
  }
}
