/** How often the same row of failures is told of. */
const SAY_EVERY_MS = 60_000

interface FailureKind {
  /** It is said, whatever was said before. */
  readonly isNews?: boolean
  /** It is said at most once a minute, also where it is the first of its row. */
  readonly isExpected?: boolean
}

/** Which of the failures in a row are said: the first, then at most one a minute. */
export class FailureLog {
  #first: { readonly atMs: number } | undefined
  #saidAtMs = Number.NEGATIVE_INFINITY
  #isSaid = false
  #failures = 0

  /** Counts one more; whether it is to be said. */
  failed(nowMs: number, { isNews = false, isExpected = false }: FailureKind = {}): boolean {
    this.#failures++
    const isFirst = this.#first === undefined
    this.#first ??= { atMs: nowMs }
    const isDue = (isFirst && !isExpected) || nowMs - this.#saidAtMs >= SAY_EVERY_MS
    if (!isNews && !isDue) return false
    this.#saidAtMs = nowMs
    this.#isSaid = true
    return true
  }

  /** Ends the row. What it was; `undefined` where nothing had failed, or nothing of it was said. */
  ended(nowMs: number): { readonly failures: number; readonly forMs: number } | undefined {
    const first = this.#first
    if (first === undefined) return undefined
    const row = this.#isSaid ? { failures: this.#failures, forMs: nowMs - first.atMs } : undefined
    this.#first = undefined
    this.#isSaid = false
    this.#failures = 0
    return row
  }
}
