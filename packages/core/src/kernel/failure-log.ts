/** How often failures are told of. */
export const SAY_EVERY_MS = 60_000

interface FailureKind {
  /** It is said, whatever was said before. */
  readonly isNews?: boolean
}

/** Which failures are said: the first, then at most one a minute, also where it went well in between. */
export class FailureLog {
  #first: { readonly atMs: number } | undefined
  #saidAtMs = Number.NEGATIVE_INFINITY
  #isSaid = false
  #failures = 0

  /** Counts one more; whether it is to be said. */
  failed(nowMs: number, { isNews = false }: FailureKind = {}): boolean {
    this.#failures++
    this.#first ??= { atMs: nowMs }
    if (!isNews && nowMs - this.#saidAtMs < SAY_EVERY_MS) return false
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
