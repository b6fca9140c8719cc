import { describeFailure } from '../failures/classify.ts'
import type { Clock } from '../kernel/clock.ts'
import { FailureLog } from '../kernel/failure-log.ts'
import type { PositionOrder } from '../ports/position.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { TelemetrySession } from '../telemetry/session.ts'
import type { Report } from './commands.ts'

interface Reporting<P> {
  readonly projection: { readonly name: string }
  readonly source: { readonly order: PositionOrder<P> }
  readonly session: Pick<TelemetrySession<P, never>, 'telemetry'>
  readonly logger: Logger
  readonly clock: Clock
}

/** Tells what becomes of one projection: telemetry of everything, the log of the first failure, of the pause, and of one a minute. */
export class ProjectionReports<P> {
  readonly #parts: Reporting<P>
  readonly #log = new FailureLog()

  constructor(parts: Reporting<P>) {
    this.#parts = parts
  }

  tell(report: Report<P>): void {
    const { projection, session } = this.#parts
    const { name } = projection
    if (report.kind === 'state') {
      session.telemetry.projectionStateChanged({ projection: name, state: report.state })
    } else if (report.kind === 'conflict') session.telemetry.checkpointConflict({ projection: name })
    else if (report.kind === 'over') this.#tellOver(report.isWorking)
    else this.#tellFailure(report)
  }

  #tellFailure(report: Extract<Report<P>, { readonly kind: 'failed' }>): void {
    const { state, isNews, isGrowth, failure, error, checkpoint } = report
    const { projection, source, session, logger, clock } = this.#parts
    const { name } = projection
    const { stage, attempt, batch } = failure
    const isToBeSaid = this.#log.failed(clock.nowMs(), { isNews, isExpected: isGrowth })
    if (stage === 'read' || stage === 'commit') {
      session.telemetry.storeFailed({ projection: name, stage, error })
    } else {
      const action = state === 'paused' ? 'pause' : 'retry'
      session.telemetry.handlerFailed({ projection: name, action, error, stage, attempt, batch })
    }
    if (!isToBeSaid) return
    const at = checkpoint === undefined ? undefined : source.order.format(checkpoint)
    logger[state === 'paused' ? 'error' : 'warn'](describeFailure(name, state, failure, at, error))
  }

  /** That another owner goes on is not worth a line. */
  #tellOver(isWorking: boolean): void {
    const { projection, logger, clock } = this.#parts
    const row = this.#log.ended(clock.nowMs())
    if (row === undefined || !isWorking) return
    const times = row.failures === 1 ? 'one failure' : `${row.failures} failures`
    logger.info(
      `tidemark: projection "${projection.name}" goes on, after ${times} within ${(row.forMs / 1_000).toFixed(1)} s`,
    )
  }
}
