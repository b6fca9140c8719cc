import type { ResolvedWatchOptions } from './options.ts'

/** While nothing moves the pause grows to so many times the interval. */
const IDLE_FACTOR = 10
/** The mean of how far apart looks are is over about so many of them. */
const MEAN_OF = 50

/** How long to wait between two looks, and how far apart they are. */
export class LookPace {
  readonly #options: Pick<ResolvedWatchOptions, 'lookIntervalMs' | 'timeShare'>
  #factor = 1
  #lastAtMs: number | undefined
  #apart: { readonly mean: number; readonly longest: number } | undefined

  constructor(options: Pick<ResolvedWatchOptions, 'lookIntervalMs' | 'timeShare'>) {
    this.#options = options
  }

  get lastAtMs(): number | undefined {
    return this.#lastAtMs
  }

  get apartMs(): { readonly mean: number; readonly longest: number } | undefined {
    return this.#apart
  }

  /** After a look that took its snapshot at `atMs`. */
  looked(atMs: number, hasMoved: boolean): void {
    if (this.#lastAtMs !== undefined) {
      const ms = atMs - this.#lastAtMs
      const { mean, longest } = this.#apart ?? { mean: ms, longest: ms }
      this.#apart = {
        mean: mean + (ms - mean) / MEAN_OF,
        // Forgotten in time, so that it tells of now.
        longest: Math.max(ms, longest - longest / (MEAN_OF * IDLE_FACTOR)),
      }
    }
    this.#lastAtMs = atMs
    this.#factor = hasMoved ? 1 : Math.min(IDLE_FACTOR, this.#factor * 2)
  }

  /** The pause after a look that took so long. */
  pauseMs(tookMs: number): number {
    const { lookIntervalMs, timeShare } = this.#options
    return Math.max(lookIntervalMs * this.#factor, tookMs * (1 / timeShare - 1))
  }
}
