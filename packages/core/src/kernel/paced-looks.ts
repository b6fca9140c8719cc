import { Changes } from './changes.ts'
import type { Clock } from './clock.ts'

/** Two looks are never closer together, however many wait. */
const SHORTEST_MS = 10
const GROWTH = 1.25

/**
 * When to look again at what others move and somebody waits for. Soon while waits begin, since most are for what was just
 * appended; then less and less often.
 */
export class PacedLooks {
  readonly #clock: Clock
  readonly #longestMs: () => number
  readonly #hurry = new Changes()
  #hurries = 0
  #pauseMs = Number.POSITIVE_INFINITY
  #lookedAtMs = Number.NEGATIVE_INFINITY
  #hurried = new AbortController()

  constructor(clock: Clock, longestMs: () => number) {
    this.#clock = clock
    this.#longestMs = longestMs
  }

  /** How often somebody has begun to wait. */
  get hurries(): number {
    return this.#hurries
  }

  /** Resolves when somebody begins to wait. */
  nextHurry(): Promise<void> {
    return this.#hurry.next()
  }

  /** Somebody begins to wait. */
  hurry(): void {
    this.#pauseMs = SHORTEST_MS
    this.#hurries++
    this.#hurried.abort()
    this.#hurry.tell()
  }

  /** The pause begins now. */
  looked(): void {
    this.#lookedAtMs = this.#clock.nowMs()
  }

  /** Resolves when the next look is due, at once where the last one is long ago, or when `signal` fires. */
  async due(signal: AbortSignal): Promise<void> {
    const longestMs = this.#longestMs()
    const stop = (): void => this.#hurried.abort()
    signal.addEventListener('abort', stop)
    let hasWaited = false
    while (!signal.aborted) {
      const leftMs = this.#lookedAtMs + Math.min(this.#pauseMs, longestMs) - this.#clock.nowMs()
      if (leftMs <= 0) break
      hasWaited = true
      this.#hurried = new AbortController()
      await this.#clock.sleep(leftMs, this.#hurried.signal)
    }
    signal.removeEventListener('abort', stop)
    if (hasWaited) this.#pauseMs = Math.ceil(this.#pauseMs * GROWTH)
    this.looked()
  }
}
