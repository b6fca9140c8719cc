import { backOffMs, LONGEST_WAIT_MS } from '../kernel/back-off.ts'
import { messageOf } from '../kernel/errors.ts'
import type { WakeUp } from '../ports/event-source.ts'
import type { ResolvedHighWaterAgentOptions } from './options.ts'

/** Who is told of wake-ups. */
export interface Told<P> {
  readonly hint: (wakeUp: WakeUp<P> | undefined) => void
  /** They have failed or ended: nothing is told until the next hint. */
  readonly over: () => void
}

/**
 * What no retry mends is tried again all the same: a server may refuse for a moment, and somebody may grant a right. In the end
 * rarely, since servers log it.
 */
const LONGEST_REFUSED_WAIT_MS = 300_000
/** Wake-ups that have gone on for as long have worked, and their end begins another series of failures. */
const WORKED_MS = LONGEST_WAIT_MS

/**
 * Wake-ups that fail or end are tried again after a while. Polling goes on meanwhile, so this is no failed poll. One
 * warning for each series of failures.
 */
export async function listenForWakeUps<P>(
  { source, clock, logger }: Pick<ResolvedHighWaterAgentOptions<P>, 'source' | 'clock' | 'logger'>,
  told: Told<P>,
  signal: AbortSignal,
): Promise<void> {
  if (source.wakeUps === undefined) return
  let isWarned = false
  for (let inARow = 1; !signal.aborted; inARow++) {
    const begunMs = clock.nowMs()
    let isRefused = false
    let error: unknown
    try {
      for await (const wakeUp of source.wakeUps(signal)) told.hint(wakeUp)
    } catch (thrown) {
      error = thrown
      isRefused = !source.isTransient(thrown)
    }
    told.over()
    if (clock.nowMs() - begunMs >= WORKED_MS) {
      inARow = 1
      isWarned = false
    }
    if (error !== undefined && !isWarned && !signal.aborted) {
      isWarned = true
      logger.warn(
        `tidemark: wake-ups of ${source.name} failed and are tried again; polling goes on: ${messageOf(error)}`,
      )
    }
    await clock.sleep(backOffMs(inARow, isRefused ? LONGEST_REFUSED_WAIT_MS : LONGEST_WAIT_MS), signal)
  }
}
