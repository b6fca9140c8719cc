import { backOffMs } from '../kernel/back-off.ts'
import type { Clock } from '../kernel/clock.ts'
import { hasCode } from '../kernel/errors.ts'
import type { WatchedPolls } from './polls.ts'

interface Looks<Seen> {
  readonly look: (signal: AbortSignal) => Promise<Seen>
  readonly onLooked: () => void
  readonly onFailed: (error: unknown) => void
  /** The pause after a look that took so long. `seen`: what it answered; `undefined` where it failed. */
  readonly pauseMs: (tookMs: number, seen: Seen | undefined) => number
  readonly polls: Pick<WatchedPolls, 'forget'>
  readonly clock: Clock
}

/** Looks again and again until the signal fires. After a look that fails the pause grows. */
export async function lookOn<Seen>(
  { look, onLooked, onFailed, pauseMs, polls, clock }: Looks<Seen>,
  signal: AbortSignal,
): Promise<void> {
  let failedInARow = 0
  while (!signal.aborted) {
    const beganAtMs = clock.nowMs()
    let seen: Seen | undefined
    try {
      seen = await look(signal)
      if (signal.aborted) return
      failedInARow = 0
      onLooked()
    } catch (error) {
      if (signal.aborted) return
      failedInARow++
      onFailed(error)
      // Polls on connections that are known would not compare.
      if (hasCode(error, 'TIDEMARK_INCARNATION_CHANGED')) await polls.forget()
    }
    const leastMs = pauseMs(clock.nowMs() - beganAtMs, seen)
    await clock.sleep(failedInARow === 0 ? leastMs : Math.max(leastMs, backOffMs(failedInARow)), signal)
  }
}
