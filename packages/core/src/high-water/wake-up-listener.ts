import { backOffMs, LONGEST_WAIT_MS } from '../kernel/back-off.ts'
import { hasCode, messageOf } from '../kernel/errors.ts'
import type { WakeUp } from '../ports/event-source.ts'
import type { ResolvedHighWaterAgentOptions } from './options.ts'

/** Who is told of wake-ups. */
export interface Told<P> {
  readonly hint: (wakeUp: WakeUp<P> | undefined) => void
  /** They have failed or ended: nothing is told until the next hint. */
  readonly over: () => void
}

/** What is to be had only after somebody has changed a setting or granted a right: seldom, since servers log it. */
const UNAVAILABLE_WAIT_MS = 300_000
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
    let isUnavailable = false
    let error: unknown
    try {
      for await (const wakeUp of source.wakeUps(signal)) told.hint(wakeUp)
    } catch (thrown) {
      error = thrown
      isUnavailable = hasCode(thrown, 'TIDEMARK_WAKE_UPS_UNAVAILABLE')
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
    await clock.sleep(isUnavailable ? UNAVAILABLE_WAIT_MS : backOffMs(inARow), signal)
  }
}
