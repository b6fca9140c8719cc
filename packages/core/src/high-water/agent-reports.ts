import { messageOf } from '../kernel/errors.ts'
import type { HighWaterReading, PollWait } from '../ports/event-source.ts'
import type { TelemetrySession } from '../telemetry/session.ts'
import type { Report } from './lifecycle-commands.ts'
import type { Shown } from './lifecycle-standing.ts'
import type { ResolvedHighWaterAgentOptions } from './options.ts'
import { PollStopwatch } from './poll-stopwatch.ts'
import { HighWaterObservation, type HighWaterStatus } from './status.ts'

type Options<P> = Pick<ResolvedHighWaterAgentOptions<P>, 'source' | 'clock' | 'logger' | 'staleAfterMs'>

/** What operators are told of an agent: its status, metrics, spans and log. */
export class AgentReports<P> {
  readonly #options: Options<P>
  readonly #session: TelemetrySession<P, never>
  readonly #observation: HighWaterObservation<P>
  #stopwatch: PollStopwatch

  constructor(options: Options<P>, session: TelemetrySession<P, never>) {
    this.#options = options
    this.#session = session
    this.#observation = new HighWaterObservation(options.source.order, options.staleAfterMs)
    this.#stopwatch = new PollStopwatch(options.clock)
  }

  status({ state, error }: Shown): HighWaterStatus<P> {
    return this.#observation.status(state, error, this.#options.clock.nowMs(), this.#stopwatch.waitsFor)
  }

  /** When an event above `position` was first seen below a mark; `undefined` where there is none. */
  firstSeenAboveMs(position: P | undefined): number | undefined {
    return this.#observation.firstSeenAboveMs(position)
  }

  /** How long the poll at hand has kept the store busy so far. */
  storeMs(): number {
    return this.#stopwatch.storeMs()
  }

  waiting(what: PollWait): void {
    this.#stopwatch.waiting(what)
  }

  /** Saving settled may hang or fail as a poll may. */
  async saving(save: () => Promise<void>): Promise<void> {
    this.#observation.begin(this.#options.clock.nowMs())
    await save()
    this.#observation.answered()
  }

  tell(report: Report<P>): void {
    const { source, clock, logger } = this.#options
    switch (report.kind) {
      case 'begun':
        this.#stopwatch = new PollStopwatch(clock)
        this.#observation.begin(clock.nowMs())
        break
      case 'forgot':
        this.#observation.forget()
        break
      case 'polled':
        this.#tellPolled(report.reading, report.moved)
        break
      case 'failed':
        this.#session.telemetry.pollFailed({ source: source.name, error: report.error })
        break
      case 'halted':
        logger.error(`tidemark: ${source.name}: ${messageOf(report.error)}`)
    }
  }

  #tellPolled(reading: HighWaterReading<P>, moved: boolean): void {
    const { source, clock } = this.#options
    const { telemetry, tracing } = this.#session
    const nowMs = clock.nowMs()
    const durationMs = this.#stopwatch.totalMs()
    const closedGaps = this.#observation.succeed(reading, nowMs)
    telemetry.polled({ source: source.name, durationMs, reading, moved, closedGaps })
    tracing.gapsClosed(source.name, closedGaps, nowMs, (position) => source.order.format(position as P))
  }
}
