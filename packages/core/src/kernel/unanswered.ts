import type { Clock } from './clock.ts'
import { whenAborted } from './deferred.ts'

/** Longer than a call takes that goes well, and than a failover. */
const FIRST_AFTER_MS = 10_000
const THEN_EVERY_MS = 60_000
/** Without a reason of its own each abort makes an error with its stack. */
const OVER = Symbol('over')

interface Waiting {
  readonly clock: Clock
  /** Fires when nobody waits for the answer any more. */
  readonly signal: AbortSignal
  readonly warn: (forMs: number) => void
}

/** Settles as `call` does. Until then `warn` is told after 10 s, and once a minute, for how long there was no answer. */
export async function warnWhileUnanswered<T>(call: Promise<T>, { clock, signal, warn }: Waiting): Promise<T> {
  const over = new AbortController()
  const stopped = whenAborted(signal)
  void stopped.promise.then(() => over.abort(OVER))
  void warnUntil(over.signal, clock, warn)
  try {
    return await call
  } finally {
    stopped.dispose()
    over.abort(OVER)
  }
}

async function warnUntil(over: AbortSignal, clock: Clock, warn: (forMs: number) => void): Promise<void> {
  const startedMs = clock.nowMs()
  for (let waitMs = FIRST_AFTER_MS; ; waitMs = THEN_EVERY_MS) {
    await clock.sleep(waitMs, over)
    if (over.aborted) return
    warn(clock.nowMs() - startedMs)
  }
}

export function noAnswerFor(forMs: number): string {
  return `no answer for ${(forMs / 1_000).toFixed(0)} s: the store hangs, the way to it has gone silent, or its pool gives no connection`
}
