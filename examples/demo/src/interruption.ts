/** Ctrl-C, or SIGTERM. */
export interface Interruption {
  /** Fires at the first one: end early, and in order. */
  readonly signal: AbortSignal
  dispose(): void
}

const EXIT_INTERRUPTED = 130
/**
 * npx and pnpm pass a Ctrl-C on to this process, which the terminal has told already: what comes this soon after the
 * first is the same one.
 */
const SAME_MS = 400

/** A second one ends the process at once; an embedded server goes with it. */
export function listenForInterruption(): Interruption {
  const first = new AbortController()
  let firstAtMs = 0
  const onSignal = (): void => {
    if (!first.signal.aborted) {
      firstAtMs = performance.now()
      first.abort()
    } else if (performance.now() - firstAtMs > SAME_MS) {
      process.exit(EXIT_INTERRUPTED)
    }
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return {
    signal: first.signal,
    dispose: () => {
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
    },
  }
}
