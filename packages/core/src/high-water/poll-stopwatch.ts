import type { Clock } from '../kernel/clock.ts'
import type { PollWait } from '../ports/event-source.ts'

/** Measures a poll and its wait for a connection separately: waiting in a pool's queue costs the server nothing. */
export class PollStopwatch {
  /** As far as the source says. */
  waitsFor: PollWait | undefined
  readonly #clock: Pick<Clock, 'nowMs'>
  readonly #startedMs: number
  #saidMs: number
  #connectingMs = 0

  constructor(clock: Pick<Clock, 'nowMs'>) {
    this.#clock = clock
    this.#startedMs = clock.nowMs()
    this.#saidMs = this.#startedMs
  }

  waiting(what: PollWait): void {
    const now = this.#clock.nowMs()
    if (this.waitsFor === 'connection') this.#connectingMs += now - this.#saidMs
    this.waitsFor = what
    this.#saidMs = now
  }

  /** All of it so far. */
  totalMs(): number {
    return this.#clock.nowMs() - this.#startedMs
  }

  /** Without the wait for connections. */
  storeMs(): number {
    return this.totalMs() - this.#connectingMs
  }
}
