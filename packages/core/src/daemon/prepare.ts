import { backOffMs } from '../kernel/back-off.ts'
import type { Clock } from '../kernel/clock.ts'
import { describeError } from '../kernel/describe-error.ts'
import { FailureLog } from '../kernel/failure-log.ts'
import { noAnswerFor, warnWhileUnanswered } from '../kernel/unanswered.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { Logger } from '../telemetry/logger.ts'

interface Preparing {
  readonly checkpoints: Pick<CheckpointStore<never>, 'prepare' | 'isTransient'>
  readonly clock: Clock
  readonly logger: Logger
}

/**
 * Retries while the store is unreachable. Logs it at once and then at most once a minute, because status() cannot show
 * it yet.
 */
export async function prepareCheckpoints(
  { checkpoints, clock, logger }: Preparing,
  signal: AbortSignal,
): Promise<void> {
  const failures = new FailureLog()
  const warn = (why: string): void =>
    logger.warn(
      `tidemark: the checkpoint store cannot be prepared yet, and nothing is projected until it is: ${why}`,
    )
  for (let inARow = 1; !signal.aborted; inARow++) {
    try {
      const prepared = Promise.resolve(checkpoints.prepare?.(signal))
      return await warnWhileUnanswered(prepared, {
        clock,
        signal,
        warn: (forMs) => warn(noAnswerFor(forMs)),
      })
    } catch (error) {
      if (signal.aborted) return
      if (!checkpoints.isTransient(error)) throw error
      if (failures.failed(clock.nowMs())) warn(describeError(error))
      await clock.sleep(backOffMs(inARow), signal)
    }
  }
}
