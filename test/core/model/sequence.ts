import type { WriteAheadLog } from './write-ahead-log.ts'

/**
 * A sequence logs a value some numbers ahead (32 in PostgreSQL) and then hands these out without logging. `nextval`
 * flushes nothing: after a crash it goes on from the last value in what is left of the log, which may lie above what
 * was handed out, and below it.
 */
export class Sequence {
  /** The last number handed out. */
  last: number
  readonly #wal: WriteAheadLog
  readonly #logAhead: number
  readonly #logged: number[]
  #loggedAhead = 0

  constructor(wal: WriteAheadLog, start: number, logAhead: number) {
    this.#wal = wal
    this.#logAhead = logAhead
    this.last = start - 1
    this.#logged = [this.last]
  }

  next(): number {
    this.last++
    if (this.#loggedAhead > 0) this.#loggedAhead--
    else {
      this.#log(this.last + this.#logAhead)
      this.#loggedAhead = this.#logAhead
    }
    return this.last
  }

  /** `SELECT last_value`, when it meets a `nextval` that is writing its WAL record. */
  get lastValueReadUnlocked(): number {
    return this.last + this.#loggedAhead
  }

  /** The page goes to disk as it is, and the next `nextval` logs again. */
  checkpoint(): void {
    this.#log(this.last)
    this.#loggedAhead = 0
  }

  recover(): void {
    this.last = this.#logged.at(-1) ?? Number.NaN
    this.#loggedAhead = 0
  }

  #log(value: number): void {
    this.#logged.push(value)
    this.#wal.append(() => this.#logged.pop())
  }
}
