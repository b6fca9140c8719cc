/**
 * A log of which a crash leaves a prefix. Each record knows how to take back what it did; its position is the number
 * of records before and with it.
 */
export class WriteAheadLog {
  readonly #undo: (() => void)[] = []
  flushed = 0

  /** `pg_current_wal_insert_lsn()` */
  get inserted(): number {
    return this.#undo.length
  }

  append(undo: () => void): void {
    this.#undo.push(undo)
  }

  flush(upTo: number = this.#undo.length): void {
    this.flushed = Math.max(this.flushed, Math.min(upTo, this.#undo.length))
  }

  loseUnflushed(): void {
    while (this.#undo.length > this.flushed) this.#undo.pop()?.()
  }

  /** What putting back a copy of the server does: what was flushed since then is lost as well. */
  rewindTo(position: number): void {
    this.flushed = position
    this.loseUnflushed()
  }
}
