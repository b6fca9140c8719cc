import type { CommittedRow } from './commit-order.ts'

/** Rows one after the other of one transaction: so many are a restore, a backfill or an import. */
export const LONG_RUN = 1_000

/**
 * Hands on all rows but those of long runs of one transaction: a restored or rewritten stretch says nothing of when its events
 * were appended. Holds back at most `longRun` rows.
 */
export class LongRuns {
  readonly #longRun: number
  readonly #handOn: (row: CommittedRow) => void
  readonly #run: CommittedRow[] = []
  #isLong = false
  #transaction: number | undefined
  leftOut = 0

  constructor(longRun: number, handOn: (row: CommittedRow) => void) {
    this.#longRun = longRun
    this.#handOn = handOn
  }

  next(row: CommittedRow): void {
    if (row.transaction === undefined || row.transaction !== this.#transaction) this.end()
    this.#transaction = row.transaction
    if (this.#isLong) {
      this.leftOut++
      return
    }
    this.#run.push(row)
    if (this.#run.length < this.#longRun) return
    this.#isLong = true
    this.leftOut += this.#run.length
    this.#run.length = 0
  }

  /** No row of this run follows. */
  end(): void {
    for (const row of this.#run) this.#handOn(row)
    this.#run.length = 0
    this.#isLong = false
  }
}
