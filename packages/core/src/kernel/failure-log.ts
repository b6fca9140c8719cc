/** How often the same row of failures is told of. */
const SAY_EVERY_MS = 60_000

/** Which of the failures in a row are said: the first, then at most one a minute. */
export class FailureLog {
  #first: { readonly atMs: number } | undefined
  #saidAtMs = 0
  #failures = 0

  /** Counts one more; whether it is to be said. `isNews`: it is, whatever was said before. */
  failed(nowMs: number, isNews = false): boolean {
    this.#failures++
    const isFirst = this.#first === undefined
    this.#first ??= { atMs: nowMs }
    if (!isFirst && !isNews && nowMs - this.#saidAtMs < SAY_EVERY_MS) return false
    this.#saidAtMs = nowMs
    return true
  }

  /** Ends the row. What it was; `undefined` where nothing had failed. */
  ended(nowMs: number): { readonly failures: number; readonly forMs: number } | undefined {
    const first = this.#first
    if (first === undefined) return undefined
    const row = { failures: this.#failures, forMs: nowMs - first.atMs }
    this.#first = undefined
    this.#failures = 0
    return row
  }
}
