import type { Clock } from '../kernel/clock.ts'
import { untilAborted } from '../kernel/deferred.ts'

/** A handler that hangs keeps others waiting no longer than that. */
const LONGEST_WAIT_MS = 60_000

/**
 * Turns in this process: events that are suspected of ending it are handled one projection at a time, so that none is
 * blamed for another's.
 */
export class Turns {
  #last: Promise<void> = Promise.resolve()

  /** Resolves when those before are over, or have taken too long, with what ends this turn. Rejects when `signal` fires. */
  async take(clock: Clock, signal: AbortSignal): Promise<() => void> {
    const before = this.#last
    let end: () => void = () => {}
    const over = new Promise<void>((resolve) => {
      end = resolve
    })
    this.#last = before.then(() => over)
    const waited = new AbortController()
    const stop = (): void => waited.abort()
    signal.addEventListener('abort', stop)
    try {
      signal.throwIfAborted()
      const late = clock.sleep(LONGEST_WAIT_MS, waited.signal)
      await untilAborted(Promise.race([before, late]), signal)
      signal.throwIfAborted()
      return end
    } catch (error) {
      end()
      throw error
    } finally {
      signal.removeEventListener('abort', stop)
      waited.abort()
    }
  }
}

/** Of all daemons in this process. */
export const TURNS: Turns = new Turns()
