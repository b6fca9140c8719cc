import {
  type BatchObservableCallback,
  type BatchObservableResult,
  type Counter,
  createNoopMeter,
  type Histogram,
  type Meter,
  type MeterProvider,
  metrics,
  type ObservableGauge,
} from '@opentelemetry/api'
import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import type { CounterName } from './counters.ts'
import { GaugeObservers } from './gauge-observers.ts'
import type { GaugeName } from './gauges.ts'
import type { HistogramName } from './histograms.ts'
import { INSTRUMENTS } from './instruments.ts'
import type { GaugeReading, Labels, Metrics, MetricsRecorder } from './metrics.ts'
import { type SharedInstruments, sharedInstruments } from './shared-instruments.ts'

export interface OpenTelemetryMetricsOptions {
  /**
   * Which provider makes the instruments.
   * - Change it when: the process has a provider that is not the global one.
   * @default the global provider, as it is when the daemon starts
   */
  readonly meterProvider?: MeterProvider
  /**
   * Of every instrument's name.
   * - Change it when: the names collide with others. Dashboard and alerts then have to be changed too.
   * @default 'martend.async_daemon.'
   */
  readonly prefix?: string
}

const OPTIONS: Readonly<Record<keyof OpenTelemetryMetricsOptions, true>> = {
  meterProvider: true,
  prefix: true,
}

/** Metrics through the OpenTelemetry API. Exemplars and export are the SDK's. */
export function openTelemetryMetrics(options: OpenTelemetryMetricsOptions = {}): Metrics {
  requireKnownOptions(options, OPTIONS)
  const prefix = options.prefix ?? 'martend.async_daemon.'
  if (!/^[a-zA-Z][a-zA-Z0-9_.\-/]*$/.test(prefix)) {
    throw new InvalidOptionError('prefix', 'a letter, then letters, digits, "_", ".", "-" or "/"', prefix)
  }
  return {
    open: (logger) => {
      const provider = options.meterProvider ?? metrics.getMeterProvider()
      const meter = provider.getMeter('@tidemark/core')
      if (meter === createNoopMeter()) {
        logger.warn(
          'tidemark: openTelemetryMetrics() found no meter provider, so no metric will be exported; set up the SDK ' +
            'before start(), or pass meterProvider',
        )
      }
      return recorderOf(provider, meter, prefix)
    },
  }
}

const recorders = new WeakMap<SharedInstruments<AnyInstrument>, OpenTelemetryRecorder>()

function recorderOf(provider: MeterProvider, meter: Meter, prefix: string): OpenTelemetryRecorder {
  const shared = sharedInstruments<AnyInstrument>('opentelemetry', provider, prefix)
  const recorder = recorders.get(shared) ?? new OpenTelemetryRecorder(meter, prefix, shared)
  recorders.set(shared, recorder)
  return recorder
}

type AnyInstrument = Counter | Histogram | ObservableGauge

/** Two instruments of one name would be two streams of one name, so all daemons of a provider share theirs. */
class OpenTelemetryRecorder implements MetricsRecorder {
  readonly #prefix: string
  readonly #made: ReadonlyMap<string, AnyInstrument>
  readonly #observers: GaugeObservers
  /** Those that this recorder made, and therefore observes. */
  readonly #gauges = new Map<GaugeName, ObservableGauge>()
  /** What was shown at the last collection. */
  #shown: ReadonlyMap<string, GaugeReading> = new Map()

  constructor(meter: Meter, prefix: string, shared: SharedInstruments<AnyInstrument>) {
    this.#prefix = prefix
    this.#made = shared.made
    this.#observers = new GaugeObservers(shared.observers)
    for (const [name, { kind, help: description, unit, buckets }] of Object.entries(INSTRUMENTS)) {
      const fullName = prefix + name
      if (shared.made.has(fullName)) continue
      if (kind === 'counter') shared.made.set(fullName, meter.createCounter(fullName, { description, unit }))
      else if (kind === 'gauge') {
        const gauge = meter.createObservableGauge(fullName, { description, unit })
        shared.made.set(fullName, gauge)
        this.#gauges.set(name as GaugeName, gauge)
      } else {
        const advice = buckets ? { explicitBucketBoundaries: [...buckets] } : {}
        shared.made.set(fullName, meter.createHistogram(fullName, { description, unit, advice }))
      }
    }
    if (this.#gauges.size > 0) meter.addBatchObservableCallback(this.#collect, [...this.#gauges.values()])
  }

  add(counter: CounterName, value: number, labels: Labels): void {
    ;(this.#made.get(this.#prefix + counter) as Counter | undefined)?.add(value, labels)
  }

  record(histogram: HistogramName, value: number, labels: Labels): void {
    ;(this.#made.get(this.#prefix + histogram) as Histogram | undefined)?.record(value, labels)
  }

  observe(collect: () => Iterable<GaugeReading>): () => void {
    return this.#observers.add(collect)
  }

  /**
   * Observes what there is. The SDK goes on to export the last value of a series that is no longer observed (2.12, with
   * cumulative temporality), so one that has ended gets its last value here, once. Never NaN: it is no number in OTLP's
   * JSON, and a collector then refuses the whole export, the application's own metrics included.
   */
  #collect: BatchObservableCallback = (result) => {
    const now = this.#observers.read()
    const ended = [...this.#shown].filter(([series]) => !now.has(series))
    this.#shown = now
    for (const { gauge, value, labels } of now.values()) this.#observe(result, gauge, value, labels)
    for (const [, { gauge, labels }] of ended) {
      const value = INSTRUMENTS[gauge].whenEnded
      if (value !== undefined) this.#observe(result, gauge, value, labels)
    }
  }

  #observe(result: BatchObservableResult, name: GaugeName, value: number, labels: Labels): void {
    const gauge = this.#gauges.get(name)
    if (gauge) result.observe(gauge, value, labels)
  }
}
