import { QueryTimeoutError } from './errors.ts'
import { transactionTimeoutIn } from './sql-state.ts'
import { isReadTimeout } from './transience.ts'

/** What part of a page that took too long is asked for next. */
const NARROWER = 10n
/** Above every position there is no range left. */
const WIDEST = 2n ** 63n

/**
 * How many positions a page may look through, after one that looked through `positions` of them took too long. A page
 * that is ended has nothing to show, so that the same page would never come.
 */
export function rangeAfterTimeout(positions: bigint): bigint {
  return positions > NARROWER ? positions / NARROWER : 1n
}

/** The same after a page that came in time: wide enough to be worth its round trip, and not near the limit. */
export function rangeAfterPage(range: bigint, tookMs: number, limitMs: number): bigint | undefined {
  if (tookMs * 8 < limitMs) return range < WIDEST ? range * 2n : undefined
  return tookMs * 2 > limitMs && range > 1n ? range / 2n : range
}

/** The ranges of one source, by what is filtered for: the rarer the events, the more is looked through for a page. */
export class PageRanges {
  readonly #ranges = new Map<string, bigint>()
  /** How long a page has taken that a limit of somebody else's has ended. */
  #othersLimitMs = Number.POSITIVE_INFINITY

  /** `undefined`: a page may look through all there is. */
  of(eventTypes: readonly string[] | undefined): bigint | undefined {
    return this.#ranges.get(keyOf(eventTypes))
  }

  /** Reads a page of that many positions, and learns from it how many the next one may look through. */
  async learn<T>(
    eventTypes: readonly string[] | undefined,
    positions: bigint,
    limitMs: number,
    read: () => Promise<T>,
  ): Promise<T> {
    const range = this.of(eventTypes)
    const startedMs = performance.now()
    try {
      const page = await read()
      if (range !== undefined) {
        const lowestMs = Math.min(limitMs, this.#othersLimitMs)
        this.#set(eventTypes, rangeAfterPage(range, performance.now() - startedMs, lowestMs))
      }
      return page
    } catch (error) {
      // `query_timeout` of the pool, `transaction_timeout` of the role: what is ended by them has nothing to show either.
      const isEndedByOthers = isReadTimeout(error) || transactionTimeoutIn(error) !== undefined
      if (isEndedByOthers) this.#othersLimitMs = Math.min(this.#othersLimitMs, performance.now() - startedMs)
      if (isEndedByOthers || error instanceof QueryTimeoutError) {
        this.#set(eventTypes, rangeAfterTimeout(positions))
      }
      throw error
    }
  }

  #set(eventTypes: readonly string[] | undefined, range: bigint | undefined): void {
    if (range === undefined) this.#ranges.delete(keyOf(eventTypes))
    else this.#ranges.set(keyOf(eventTypes), range)
  }
}

function keyOf(eventTypes: readonly string[] | undefined): string {
  return JSON.stringify(eventTypes ?? null)
}
