import {
  type BatchObservableCallback,
  type Counter,
  createNoopMeter,
  type Histogram,
  type Meter,
  type MeterProvider,
  metrics,
  type ObservableGauge,
} from '@opentelemetry/api'
import { InvalidOptionError } from '../errors.ts'
import { requireKnownOptions } from '../known-options.ts'
import { GaugeObservers } from './gauge-observers.ts'
import { type CounterName, type GaugeName, type HistogramName, INSTRUMENTS } from './instruments.ts'
import type { GaugeReading, Labels, Metrics, MetricsRecorder } from './metrics.ts'

export interface OpenTelemetryMetricsOptions {
  /** @default the global provider, as it is when the daemon starts */
  readonly meterProvider?: MeterProvider
  /** Of every instrument's name. @default 'martend.async_daemon.' */
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
      return sharedRecorder(provider, meter, prefix)
    },
  }
}

const shared = new WeakMap<MeterProvider, Map<string, OpenTelemetryRecorder>>()

function sharedRecorder(provider: MeterProvider, meter: Meter, prefix: string): MetricsRecorder {
  const ofProvider = shared.get(provider) ?? new Map<string, OpenTelemetryRecorder>()
  shared.set(provider, ofProvider)
  const recorder = ofProvider.get(prefix) ?? new OpenTelemetryRecorder(meter, prefix)
  ofProvider.set(prefix, recorder)
  return recorder
}

/** Two instruments of one name would be two streams of one name, so all daemons of a provider share theirs. */
class OpenTelemetryRecorder implements MetricsRecorder {
  readonly #counters = new Map<CounterName, Counter>()
  readonly #histograms = new Map<HistogramName, Histogram>()
  readonly #gauges = new Map<GaugeName, ObservableGauge>()
  readonly #observers = new GaugeObservers()
  /** Every series that was ever shown: OpenTelemetry cannot withdraw a point, so one that is gone becomes NaN. */
  readonly #known = new Map<string, GaugeReading>()

  constructor(meter: Meter, prefix: string) {
    for (const [name, { kind, help: description, unit, buckets }] of Object.entries(INSTRUMENTS)) {
      const fullName = prefix + name
      if (kind === 'counter')
        this.#counters.set(name as CounterName, meter.createCounter(fullName, { description, unit }))
      else if (kind === 'gauge') {
        this.#gauges.set(name as GaugeName, meter.createObservableGauge(fullName, { description, unit }))
      } else {
        const advice = buckets ? { explicitBucketBoundaries: [...buckets] } : {}
        this.#histograms.set(
          name as HistogramName,
          meter.createHistogram(fullName, { description, unit, advice }),
        )
      }
    }
    meter.addBatchObservableCallback(this.#collect, [...this.#gauges.values()])
  }

  add(counter: CounterName, value: number, labels: Labels): void {
    this.#counters.get(counter)?.add(value, labels)
  }

  record(histogram: HistogramName, value: number, labels: Labels): void {
    this.#histograms.get(histogram)?.record(value, labels)
  }

  observe(collect: () => Iterable<GaugeReading>): () => void {
    return this.#observers.add(collect)
  }

  #collect: BatchObservableCallback = (result) => {
    const now = this.#observers.read()
    for (const [series, reading] of now) this.#known.set(series, reading)
    for (const [series, { gauge, labels }] of this.#known) {
      const instrument = this.#gauges.get(gauge)
      if (instrument) result.observe(instrument, now.get(series)?.value ?? Number.NaN, labels)
    }
  }
}
