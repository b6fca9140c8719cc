/** Time as an input, so that tests can own it. */
export interface Clock {
  /** Milliseconds since the Unix epoch, never going back. */
  nowMs(): number
  /**
   * Resolves after `ms`, at 0 after one turn of the event loop, or as soon as `signal` fires. Never rejects. With `unref`
   * the wait does not keep the process alive.
   */
  sleep(ms: number, signal: AbortSignal, options?: { readonly unref?: boolean }): Promise<void>
}

/** Node fires longer timers at once. */
export const LONGEST_TIMER_MS: number = 2 ** 31 - 1

export const systemClock: Clock = {
  nowMs: () => performance.timeOrigin + performance.now(),
  sleep: (ms, signal, { unref = false } = {}) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve()
      // `setTimeout(0)` takes 1 ms or more, and would delay the mark by that.
      if (ms <= 0) {
        setImmediate(resolve)
        return
      }
      const done = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, Math.min(ms, LONGEST_TIMER_MS))
      if (unref) timer.unref()
      signal.addEventListener('abort', done)
    }),
}
