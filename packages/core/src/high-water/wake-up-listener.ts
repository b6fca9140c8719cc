import { backOffMs } from '../kernel/back-off.ts'
import { messageOf } from '../kernel/errors.ts'
import type { ResolvedHighWaterAgentOptions } from './options.ts'

/**
 * Wake-ups that fail or end are tried again after a while. Polling goes on meanwhile, so this is no failed poll. One
 * warning for each series of failures.
 */
export async function listenForWakeUps<P>(
  { source, clock, logger }: Pick<ResolvedHighWaterAgentOptions<P>, 'source' | 'clock' | 'logger'>,
  wake: () => void,
  signal: AbortSignal,
): Promise<void> {
  if (source.wakeUps === undefined) return
  for (let inARow = 1; !signal.aborted; inARow++) {
    try {
      for await (const _ of source.wakeUps(signal)) {
        inARow = 1
        wake()
      }
    } catch (error) {
      if (!signal.aborted && inARow === 1) {
        logger.warn(
          `tidemark: wake-ups of ${source.name} failed and are tried again; polling goes on: ${messageOf(error)}`,
        )
      }
    }
    await clock.sleep(backOffMs(inARow), signal)
  }
}
