import type { StartOptions } from '../kernel/start.ts'
import type { HighWaterReading } from '../ports/event-source.ts'
import { storeGauges } from '../telemetry/gauge-readings.ts'
import type { GaugeReading } from '../telemetry/metrics.ts'
import { TelemetrySession } from '../telemetry/session.ts'
import { type HighWaterAgentOptions, resolveHighWaterAgentOptions } from './options.ts'
import { NO_READERS } from './poll-calls.ts'
import { PollingAgent } from './polling-agent.ts'
import type { HighWaterStatus } from './status.ts'

interface WaitOptions {
  /**
   * Ends the wait, which rejects with the signal's reason.
   * - Change it when: who asked may go away meanwhile, as the client of a request.
   * @default none
   */
  readonly signal?: AbortSignal
}

/** Holds the high-water mark of one source. Usable alone, by those who keep their own polling loop. */
export interface HighWaterAgent<P> extends AsyncDisposable {
  /**
   * Polls once, checking every condition, then goes on polling until `stop()`; that keeps the process alive. Rejects
   * when a condition is violated; while the store cannot be reached it resolves, and `status().error` says so. Resolves
   * when `stop()` is called meanwhile.
   */
  start(options?: StartOptions): Promise<void>
  /** Ends polling. Waits still open reject. May be called twice. `await using` calls it. */
  stop(): Promise<void>
  /** The position up to which it is safe to read now; `undefined` before the first event is settled. */
  readonly mark: P | undefined
  /** The newest poll. */
  readonly reading: HighWaterReading<P> | undefined
  status(): HighWaterStatus<P>
  /**
   * Resolves when `position` and everything below it is settled. Rejects when polling halts or `signal` fires. While it waits,
   * polls are not kept `pollDelayMs` apart, but within `pollTimeShare`.
   */
  waitFor(position: P, options?: WaitOptions): Promise<void>
  /** The reading of a poll that began after this call. It waits for `pollTimeShare`, and not for `pollDelayMs`. */
  freshReading(options?: WaitOptions): Promise<HighWaterReading<P>>
  /** Says that something may have been appended. Only ever a hint: polls stay `pollDelayMs` apart. */
  wake(): void
  /** Resolves at the next change of the reading or of the agent's state. */
  nextChange(): Promise<void>
}

export function createHighWaterAgent<P>(options: HighWaterAgentOptions<P>): HighWaterAgent<P> {
  const resolved = resolveHighWaterAgentOptions(options)
  const { source } = resolved
  const session: TelemetrySession<P, never> = new TelemetrySession<P, never>({
    ...resolved,
    source: source.name,
    order: source.order,
    projections: [],
    traceContext: () => undefined,
    gauges: (): readonly GaugeReading[] => storeGauges(source.name, agent.status(), source.order.approximate),
  })
  const agent: PollingAgent<P> = new PollingAgent(resolved, session, NO_READERS)
  return agent
}
