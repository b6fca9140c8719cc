import type { PositionOrder } from '../ports/position.ts'
import { openTracing } from './api-tracing.ts'
import { guardRecorder } from './guard-recorder.ts'
import type { GaugeReading, MetricsRecorder } from './metrics.ts'
import { quietly } from './quietly.ts'
import { reportMetrics, startDaemonAtZero } from './report-metrics.ts'
import { takeNames } from './shared-names.ts'
import { reportTo, type Telemetry } from './telemetry.ts'
import type { ResolvedTelemetryOptions } from './telemetry-options.ts'
import type { ReadTraceContext } from './trace-context.ts'
import { NO_TRACING, type TracedBatch, type Tracing } from './tracing.ts'

/** The options of telemetry, and what is reported of. */
export interface SessionParts<P, E> extends Omit<ResolvedTelemetryOptions, 'logger'> {
  readonly source: string
  readonly order: PositionOrder<P>
  readonly projections: readonly string[]
  readonly traceContext: ReadTraceContext<E>
  /** Makes series exist before their first increase. @default a daemon's */
  readonly startAtZero?: (recorder: MetricsRecorder) => void
  /** Computed whenever metrics are collected. */
  readonly gauges: () => Iterable<GaugeReading>
}

/**
 * Everything that one daemon, or one agent alone, reports: metrics, spans, and the user's own `telemetry`. What any of
 * them throws is caught, counted and handed over; it never reaches the work.
 */
export class TelemetrySession<P, E> {
  readonly telemetry: Required<Telemetry>
  /** The backend, once it is open. */
  recorder: MetricsRecorder | undefined
  tracing: Tracing<E> = NO_TRACING
  readonly #parts: SessionParts<P, E>
  #metrics: Telemetry = {}
  #withdraw: () => void = () => {}
  #giveNamesBack: () => void = () => {}
  readonly #holders = new Set<object>()
  #opening: Promise<void> | undefined
  #isClosed = false

  constructor(parts: SessionParts<P, E>) {
    this.#parts = parts
    this.telemetry = reportTo(() => [this.#metrics, parts.telemetry], this.onError)
  }

  /**
   * At `start()`, not before: an SDK may be set up after this library was imported. Open from the first holder's call
   * until the last holder has closed it.
   */
  async open(holder: object): Promise<void> {
    this.#holders.add(holder)
    this.#opening ??= this.#openNow()
    await this.#opening
  }

  async #openNow(): Promise<void> {
    const { source, order, projections, traceContext, gauges } = this.#parts
    const { startAtZero = (recorder) => startDaemonAtZero(recorder, source, projections) } = this.#parts
    const tracing = await openTracing(traceContext).catch(this.onError)
    if (tracing) this.tracing = quietTracing(tracing, this.onError)
    // `stop()` may have come meanwhile.
    if (this.#isClosed) return
    const opened = this.#openMetrics()
    if (opened === undefined) return
    this.recorder = opened
    const recorder = guardRecorder(opened, this.onError)
    this.#metrics = reportMetrics(recorder, order, () => this.tracing.currentSpan())
    startAtZero(recorder)
    if (this.#parts.startAtZero === undefined) this.#giveNamesBack = this.#takeNames(opened)
    this.#withdraw = recorder.observe(gauges)
  }

  /** Withdraws the gauges, once nobody holds it. */
  close(holder: object): void {
    this.#holders.delete(holder)
    if (this.#holders.size > 0) return
    this.#isClosed = true
    quietly(this.#withdraw, this.onError)
    this.#withdraw = () => {}
    this.#giveNamesBack()
    this.#giveNamesBack = () => {}
  }

  #takeNames(recorder: MetricsRecorder): () => void {
    const { source, projections, telemetryLogger } = this.#parts
    const names = [`source "${source}"`, ...projections.map((name) => `projection "${name}"`)]
    return takeNames(recorder, names, (name) => {
      telemetryLogger.warn(
        `tidemark: two daemons of this process report metrics of the ${name}: counters are added up, and gauges show the worse ` +
          'value of the two; give each its own `name`, or metrics of its own (prefix, registry)',
      )
    })
  }

  #openMetrics(): MetricsRecorder | undefined {
    const { metrics, telemetryLogger } = this.#parts
    try {
      return metrics?.open(telemetryLogger)
    } catch (error) {
      this.onError(error)
      return undefined
    }
  }

  /** Counts an error of telemetry and hands it over. */
  onError = (error: unknown): void => {
    // The backend that would count it may be the one that fails; nobody is left to tell.
    const ignore = (): void => {}
    quietly(() => this.recorder?.add('telemetry_errors', 1, {}), ignore)
    quietly(() => this.#parts.onTelemetryError(error), ignore)
  }
}

/** Errors of the work inside a span are passed on; errors of the tracer are not. */
function quietTracing<E>(tracing: Tracing<E>, onError: (error: unknown) => void): Tracing<E> {
  return {
    batch: async <T>(batch: TracedBatch<E>, work: () => Promise<T>): Promise<T> => {
      let begun: Promise<T> | undefined
      const once = (): Promise<T> => {
        begun ??= work()
        return begun
      }
      const traced = await settled(tracing.batch(batch, once))
      const own = await settled(once())
      if ('error' in traced && !('error' in own && own.error === traced.error)) onError(traced.error)
      if ('error' in own) throw own.error
      return own.value
    },
    skipped: (skip) => quietly(() => tracing.skipped(skip), onError),
    late: (late) => quietly(() => tracing.late(late), onError),
    consumerLost: (event) => quietly(() => tracing.consumerLost(event), onError),
    gapsClosed: (...closed) => quietly(() => tracing.gapsClosed(...closed), onError),
    currentSpan: () => quietly(() => tracing.currentSpan(), onError),
  }
}

type Settled<T> = { readonly value: T } | { readonly error: unknown }

function settled<T>(promise: Promise<T>): Promise<Settled<T>> {
  return promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
}
