import type { Clock } from '../kernel/clock.ts'
import { FailureLog } from '../kernel/failure-log.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { EventSource } from '../ports/event-source.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { TelemetrySession } from '../telemetry/session.ts'
import {
  describeFailure,
  isOwnFault,
  type ProjectionFailure,
  type StagedError,
  whatToDo,
} from './classify.ts'
import { type FailureAction, onFailure } from './policy.ts'

interface FailureParts<P, E, Tx> {
  readonly projection: { readonly name: string; readonly attempts: number }
  readonly source: EventSource<P, E>
  readonly checkpoints: CheckpointStore<Tx>
  readonly session: TelemetrySession<P, E>
  readonly logger: Logger
  readonly clock: Clock
}

/** Counts one projection's failures and tells of them: telemetry of each, the log of the first and of one a minute. */
export class Failures<P, E, Tx> {
  readonly #parts: FailureParts<P, E, Tx>
  readonly #log = new FailureLog()
  #attempts = 0
  #inARow = 0

  constructor(parts: FailureParts<P, E, Tx>) {
    this.#parts = parts
  }

  /** What follows from one more failure; `failure` is absent where another owner merely has the checkpoint. */
  failed(
    staged: StagedError,
    checkpoint: string | undefined,
  ): { readonly action: FailureAction; readonly failure?: ProjectionFailure } {
    const { source, checkpoints, projection, session } = this.#parts
    const { stage, error } = staged
    const action = onFailure({
      error,
      stage,
      transient: source.isTransient(error) || checkpoints.isTransient(error),
      attempt: this.#attempts + 1,
      inARow: ++this.#inARow,
      attempts: projection.attempts,
    })
    if (action.kind === 'stand_by') {
      session.telemetry.checkpointConflict({ projection: projection.name })
      this.#inARow = 0
      return { action }
    }
    if (action.kind === 'pause' || (action.kind === 'retry' && action.counted)) this.#attempts++
    return { action, failure: this.#report(staged, action.kind === 'pause', checkpoint) }
  }

  /** The checkpoint has moved, whoever moved it. */
  succeeded(): void {
    this.#attempts = 0
    this.#inARow = 0
  }

  /** Nothing fails any more. `isWorking`: it is this process that goes on, which is worth a line. */
  over({ isWorking }: { readonly isWorking: boolean }): void {
    const row = this.#log.ended(this.#parts.clock.nowMs())
    if (row === undefined || !isWorking) return
    const times = row.failures === 1 ? 'one failure' : `${row.failures} failures`
    this.#parts.logger.info(
      `tidemark: projection "${this.#parts.projection.name}" goes on, after ${times} within ${(row.forMs / 1_000).toFixed(1)} s`,
    )
  }

  #report(
    { stage, error, batch }: StagedError,
    isPaused: boolean,
    checkpoint: string | undefined,
  ): ProjectionFailure {
    const { projection, clock, logger, session } = this.#parts
    const { name } = projection
    const nowMs = clock.nowMs()
    const isToBeSaid = this.#log.failed(nowMs)
    const failure = {
      stage,
      batch,
      attempt: isOwnFault(stage) ? this.#attempts : 0,
      attempts: projection.attempts,
      inARow: this.#inARow,
      sinceMs: this.#log.sinceMs ?? nowMs,
      whatToDo: whatToDo(stage, isPaused, error),
    }
    if (stage === 'read' || stage === 'commit') {
      session.telemetry.storeFailed({ projection: name, stage, error })
    } else {
      const action = isPaused ? 'pause' : 'retry'
      const { attempt } = failure
      session.telemetry.handlerFailed({ projection: name, action, error, stage, attempt, batch })
    }
    if (isPaused) logger.error(describeFailure(name, 'paused', failure, checkpoint, error))
    else if (isToBeSaid) logger.warn(describeFailure(name, 'retrying', failure, checkpoint, error))
    return failure
  }
}
