import type { Clock } from '@tidemark/core'

interface Sleeper {
  readonly wakeAtMs: number
  readonly wake: () => void
}

/** Beyond this many wake-ups something spins, or waits for what never comes. */
const MOST_STEPS = 20_000

/**
 * Time that moves only when a test says so. Nothing real passes, so whatever runs on it must wait for nothing but this
 * clock and memory.
 */
export class FakeClock implements Clock {
  #nowMs = 1_000_000
  #turns = 0
  readonly #sleepers = new Set<Sleeper>()

  nowMs(): number {
    return this.#nowMs
  }

  /** How many sleep: what a stopped object left behind. */
  get sleeping(): number {
    return this.#sleepers.size
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      if (ms <= 0) {
        this.#turns++
        setImmediate(() => {
          this.#turns--
          resolve()
        })
        return
      }
      const wake = (): void => {
        this.#sleepers.delete(sleeper)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      const sleeper = { wakeAtMs: this.#nowMs + ms, wake }
      this.#sleepers.add(sleeper)
      signal.addEventListener('abort', wake)
    })
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    let turns = 0
    do {
      if (++turns > MOST_STEPS) throw new Error('something spins without waiting')
      await new Promise((resolve) => setImmediate(resolve))
    } while (this.#turns > 0)
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms
    for (let steps = 0; ; steps++) {
      if (steps > MOST_STEPS) throw new Error(`something spins: ${steps} wake-ups within ${ms} ms`)
      await this.settle()
      const next = this.#earliest()
      if (next === undefined || next > untilMs) break
      this.#moveTo(next)
    }
    this.#moveTo(untilMs)
    await this.settle()
  }

  /** Moves on, from one sleeper to the next, until `condition` holds. */
  async until(condition: () => boolean): Promise<void> {
    for (let steps = 0; ; steps++) {
      await this.settle()
      if (condition()) return
      const next = this.#earliest()
      if (next === undefined) throw new Error(`nothing is left to wait for: ${condition}`)
      if (steps > MOST_STEPS) throw new Error(`it never came about: ${condition}`)
      this.#moveTo(next)
    }
  }

  /** What `promise` resolves to, moving on as far as that takes. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let done = false
    const finish = (): void => {
      done = true
    }
    promise.then(finish, finish)
    await this.until(() => done)
    return await promise
  }

  #earliest(): number | undefined {
    const times = [...this.#sleepers].map((sleeper) => sleeper.wakeAtMs)
    return times.length === 0 ? undefined : Math.min(...times)
  }

  #moveTo(ms: number): void {
    this.#nowMs = Math.max(this.#nowMs, ms)
    for (const sleeper of [...this.#sleepers]) if (sleeper.wakeAtMs <= this.#nowMs) sleeper.wake()
  }
}
