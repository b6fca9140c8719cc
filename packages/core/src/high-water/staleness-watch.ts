import { StaleWarning } from '../telemetry/stale-warning.ts'
import type { ResolvedHighWaterAgentOptions } from './options.ts'
import type { HighWaterStatus } from './status.ts'

/** How soon the log follows what `status()` says. */
const LOOK_EVERY_MS = 1_000

/** Has a timer of its own: nothing else reports a poll that hangs. */
export async function watchStaleness<P>(
  { source, clock, logger }: Pick<ResolvedHighWaterAgentOptions<P>, 'source' | 'clock' | 'logger'>,
  readStatus: () => HighWaterStatus<P>,
  signal: AbortSignal,
): Promise<void> {
  const warning = new StaleWarning(source, logger)
  while (!signal.aborted) {
    const status = readStatus()
    if (status.state === 'halted') return
    warning.look(status, clock.nowMs())
    await clock.sleep(LOOK_EVERY_MS, signal)
  }
}
