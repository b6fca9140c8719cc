import type { Clock } from '../kernel/clock.ts'
import type { Wait } from './lifecycle-commands.ts'

/** The wait between two polls, and what ends it. What comes during a poll ends the next wait. */
export class PollPause {
  readonly #clock: Clock
  readonly #stopping: AbortSignal
  #wakeUp = new AbortController()
  #hurry = new AbortController()
  #waiters = 0

  constructor(clock: Clock, stopping: AbortSignal) {
    this.#clock = clock
    this.#stopping = stopping
  }

  /** There is something to learn. */
  wake(): void {
    this.#wakeUp.abort()
  }

  /** It is not to wait until polls are apart. */
  hurry(): void {
    this.#hurry.abort()
    this.wake()
  }

  /** Somebody waits for what polls find, for as long as `work` takes: they are not kept apart. */
  async hurryDuring<T>(work: () => Promise<T>): Promise<T> {
    this.#waiters++
    this.hurry()
    try {
      return await work()
    } finally {
      this.#waiters--
    }
  }

  async wait({ deafMs, apartMs, longestMs }: Wait): Promise<void> {
    const sinceMs = this.#clock.nowMs()
    await this.#clock.sleep(deafMs, this.#stopping)
    if (this.#waiters === 0) await this.#sleepUntil(sinceMs + apartMs, this.#hurry.signal)
    await this.#sleepUntil(sinceMs + longestMs, this.#wakeUp.signal)
    if (this.#wakeUp.signal.aborted) this.#wakeUp = new AbortController()
    if (this.#hurry.signal.aborted) this.#hurry = new AbortController()
  }

  async #sleepUntil(atMs: number, signal: AbortSignal): Promise<void> {
    const leftMs = atMs - this.#clock.nowMs()
    if (leftMs > 0) await this.#clock.sleep(leftMs, signal)
  }
}
