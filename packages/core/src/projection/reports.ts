import { describeFailure } from '../failures/classify.ts'
import { type Burial, describeBurial, describeRetry } from '../failures/letter.ts'
import type { Clock } from '../kernel/clock.ts'
import { ProjectionPausedError } from '../kernel/errors.ts'
import { FailureLog, SAY_EVERY_MS } from '../kernel/failure-log.ts'
import type { DeadLetter } from '../ports/dead-letters.ts'
import type { PositionOrder } from '../ports/position.ts'
import { inBackground } from '../telemetry/background.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { TelemetrySession } from '../telemetry/session.ts'
import type { Report, RetryFailure } from './commands.ts'

interface Reporting<P> {
  readonly projection: { readonly name: string; readonly series: string; readonly maySkip: boolean }
  readonly source: { readonly order: PositionOrder<P> }
  readonly session: Pick<TelemetrySession<P, never>, 'telemetry'>
  readonly logger: Logger
  readonly clock: Clock
}

const ACTION = { paused: 'pause', retrying: 'retry', skipping: 'skip' } as const

/** Tells what becomes of one projection: telemetry of everything, the log of the first failure, of the pause, and of one a minute. */
export class ProjectionReports<P> {
  readonly #parts: Reporting<P>
  readonly #log = new FailureLog()
  readonly #found = new FailureLog()
  readonly #burials = new FailureLog()
  readonly #retries = new FailureLog()
  readonly #parked = new FailureLog()
  readonly #retried = new FailureLog()
  #unsaidParked = 0
  #unsaidRetried = 0
  /** Events that were given up since it was last said. */
  #unsaid = 0
  #isSummaryDue = false
  /** Since it last went on. */
  #hasSkipped = false
  readonly #signal: AbortSignal

  /** @param signal - what was not said yet is said when it fires */
  constructor(parts: Reporting<P>, signal: AbortSignal) {
    this.#parts = parts
    this.#signal = signal
  }

  tell(report: Report<P>): void {
    const { projection, session, logger } = this.#parts
    const { name, series } = projection
    if (report.kind === 'state') {
      session.telemetry.projectionStateChanged({ projection: series, state: report.state })
    } else if (report.kind === 'paused_by') {
      logger.warn(`tidemark: ${new ProjectionPausedError(name, report.decision).message}`)
    } else if (report.kind === 'resumed') logger.info(`tidemark: projection "${name}" is resumed`)
    else if (report.kind === 'conflict') session.telemetry.checkpointConflict({ projection: series })
    else if (report.kind === 'buried') this.#tellBurial(report.burial)
    else if (report.kind === 'parked') this.#tellParked(report.events)
    else if (report.kind === 'retry_failed') this.#tellRetry(report.failure)
    else if (report.kind === 'letter_retried') this.#tellRetried(report.letter)
    else if (report.kind === 'over') this.#tellOver(report.isWorking)
    else this.#tellFailure(report)
  }

  #tellFailure(report: Extract<Report<P>, { readonly kind: 'failed' }>): void {
    const { state, isNews, isFound, failure, error, checkpoint } = report
    const { projection, source, session, logger, clock } = this.#parts
    const { name, series } = projection
    const { stage, attempt, batch } = failure
    if (stage === 'read' || stage === 'commit') {
      session.telemetry.storeFailed({ projection: series, stage, error })
    } else {
      session.telemetry.handlerFailed({
        projection: series,
        action: ACTION[state],
        error,
        stage,
        attempt,
        batch,
      })
    }
    // Said once its dead letter is written.
    if (state === 'skipping') return
    const nowMs = clock.nowMs()
    const isFirstFound = isFound && this.#found.failed(nowMs)
    if (!this.#log.failed(nowMs, { isNews: isNews || isFirstFound })) return
    const at = checkpoint === undefined ? undefined : source.order.format(checkpoint)
    logger[state === 'paused' ? 'error' : 'warn'](
      describeFailure(name, state, failure, at, error, projection.maySkip),
    )
  }

  /** The first one, then one a minute, and how many others there were. */
  #tellBurial(burial: Burial): void {
    const { projection, logger, clock } = this.#parts
    const { events } = burial.batch
    this.#hasSkipped = true
    if (this.#burials.failed(clock.nowMs())) {
      logger.error(describeBurial(projection.name, burial))
      return
    }
    this.#unsaid += events
    if (this.#isSummaryDue) return
    this.#isSummaryDue = true
    void inBackground(() => this.#summarize())
  }

  /** So that the last events of a row are told of too, also where no more follow. */
  async #summarize(): Promise<void> {
    const { projection, logger, clock } = this.#parts
    await clock.sleep(SAY_EVERY_MS, this.#signal)
    this.#isSummaryDue = false
    if (this.#unsaid === 0) return
    const events = this.#unsaid === 1 ? '1 more event' : `${this.#unsaid} more events`
    this.#unsaid = 0
    logger.error(
      `tidemark: projection "${projection.name}" has skipped ${events}; operations.deadLetters.list() says which, and why`,
    )
  }

  /** The first one, then one a minute. */
  #tellParked(events: number): void {
    const { projection, logger, clock } = this.#parts
    this.#unsaidParked += events
    if (!this.#parked.failed(clock.nowMs())) return
    logger.warn(
      `tidemark: projection "${projection.name}": ${this.#unsaidParked} events follow a dead letter of their key, each with one of ` +
        'its own; they are retried by themselves, in order, once those before them are retried, resolved or discarded',
    )
    this.#unsaidParked = 0
  }

  /** The first one, then one a minute. */
  #tellRetry({ id, burial }: RetryFailure): void {
    const { projection, session, logger, clock } = this.#parts
    const { stage, error, batch, tries: attempt } = burial
    session.telemetry.handlerFailed({
      projection: projection.series,
      action: 'skip',
      error,
      stage,
      attempt,
      batch,
    })
    if (this.#retries.failed(clock.nowMs())) logger.warn(describeRetry(projection.name, id, burial))
  }

  /** The first one, then one a minute. */
  #tellRetried({ id, firstPosition, retryAsked }: DeadLetter): void {
    const { projection, logger, clock } = this.#parts
    this.#unsaidRetried++
    if (!this.#retried.failed(clock.nowMs())) return
    const others = this.#unsaidRetried === 1 ? '' : `, and ${this.#unsaidRetried - 1} before it`
    const asker = retryAsked === undefined ? '' : `: ${retryAsked.who} has asked for it (${retryAsked.why})`
    logger.info(
      `tidemark: projection "${projection.name}" has handled the events of dead letter ${id}, at position ${firstPosition}${others}, and ` +
        `closed it${asker}`,
    )
    this.#unsaidRetried = 0
  }

  /** That another owner goes on is not worth a line. */
  #tellOver(isWorking: boolean): void {
    const { projection, logger, clock } = this.#parts
    const row = this.#log.ended(clock.nowMs())
    const hasSkipped = this.#hasSkipped
    this.#hasSkipped = false
    if (row === undefined || !isWorking) return
    const times = row.failures === 1 ? 'one failure' : `${row.failures} failures`
    const past = hasSkipped ? ' past what it has skipped' : ''
    logger.info(
      `tidemark: projection "${projection.name}" goes on${past}, after ${times} within ${(row.forMs / 1_000).toFixed(1)} s`,
    )
  }
}
