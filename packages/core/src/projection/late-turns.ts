import { aroundMs } from '../kernel/back-off.ts'

/** Of one transaction. Each is loaded by itself. */
const MOST_AT_ONCE = 100
const FIRST_WAIT_MS = 1_000

/** Which late events of a unit are handled next. One that fails is found, and waits; the others go on. */
export class LateTurns {
  readonly #longestWaitMs: number
  readonly #failing = new Map<string, { readonly failures: number; readonly dueAtMs: number }>()
  #limit: number = MOST_AT_ONCE

  constructor(longestWaitMs: number) {
    this.#longestWaitMs = longestWaitMs
  }

  /** How many to ask for, so that those that wait do not hide others. */
  get asksFor(): number {
    return MOST_AT_ONCE + this.#failing.size
  }

  choose(open: readonly string[], nowMs: number): readonly string[] {
    const due = open.filter((position) => (this.#failing.get(position)?.dueAtMs ?? 0) <= nowMs)
    return due.slice(0, this.#limit)
  }

  handled(positions: readonly string[]): void {
    for (const position of positions) this.#failing.delete(position)
    this.#limit = Math.min(MOST_AT_ONCE, this.#limit * 2)
  }

  /** Of several, each is tried by itself next. `random`: in [0, 1). */
  failed(positions: readonly string[], nowMs: number, random: number): void {
    this.#limit = 1
    const [position] = positions
    if (position === undefined || positions.length > 1) return
    const failures = (this.#failing.get(position)?.failures ?? 0) + 1
    const waitMs = Math.min(this.#longestWaitMs, FIRST_WAIT_MS * 2 ** Math.min(failures - 1, 30))
    this.#failing.set(position, { failures, dueAtMs: nowMs + aroundMs(waitMs, random) })
  }
}
