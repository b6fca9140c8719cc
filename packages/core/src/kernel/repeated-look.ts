import type { Clock } from './clock.ts'
import { describeError } from './describe-error.ts'
import { FailureLog } from './failure-log.ts'

interface RepeatedLook {
  readonly look: () => Promise<void>
  readonly everyMs: number
  /** Asked before each look: a signal that ends the pause after it. It has to fire at the end of all too. Without it there is that end alone. */
  readonly hurry?: () => AbortSignal
  readonly clock: Clock
  /** Told of the first failure in a row, then of one a minute at most. */
  readonly warn: (error: string) => void
}

/** Looks again and again until the signal fires; a look that fails ends nothing. */
export async function lookRepeatedly(
  { look, everyMs, hurry = () => signal, clock, warn }: RepeatedLook,
  signal: AbortSignal,
): Promise<void> {
  const failures = new FailureLog()
  while (!signal.aborted) {
    const pause = hurry()
    try {
      await look()
      failures.ended(clock.nowMs())
    } catch (error) {
      if (signal.aborted) return
      if (failures.failed(clock.nowMs())) warn(describeError(error))
    }
    await clock.sleep(everyMs, pause)
  }
}
