import { type Deferred, deferred } from './deferred.ts'

/** Changes that somebody may wait for. */
export class Changes {
  #change: Deferred = deferred()

  /** Resolves at the next one. */
  next(): Promise<void> {
    return this.#change.promise
  }

  tell(): void {
    const change = this.#change
    this.#change = deferred()
    change.resolve()
  }
}
