import type { Clock } from '../kernel/clock.ts'

/** After `drainTimeoutMs`, how long a destroyed transaction may take to end before `stop` no longer waits for it. */
const LAST_GRACE_MS = 1_000

interface Draining {
  /** Settles when all that runs has ended. */
  readonly drained: Promise<unknown>
  /** Fires the handlers' signals and destroys their transactions. */
  readonly giveUp: () => void
  readonly drainTimeoutMs: number
  readonly clock: Clock
}

/** Waits for what runs, gives it up after `drainTimeoutMs`, and then waits a moment more. */
export async function drain({ drained, giveUp, drainTimeoutMs, clock }: Draining): Promise<void> {
  const over = new AbortController()
  const isDrained = drained.then(() => true)
  const isLate = clock.sleep(drainTimeoutMs, over.signal).then(() => false)
  if (!(await Promise.race([isDrained, isLate]))) {
    giveUp()
    await Promise.race([drained, clock.sleep(LAST_GRACE_MS, over.signal)])
  }
  over.abort()
}
