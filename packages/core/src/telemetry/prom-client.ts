import {
  Counter,
  Gauge,
  Histogram,
  type Metric,
  type OpenMetricsContentType,
  type PrometheusContentType,
  Registry,
  register,
} from 'prom-client'
import { InvalidOptionError, MetricNameTakenError } from '../errors.ts'
import { requireKnownOptions } from '../known-options.ts'
import { GaugeObservers } from './gauge-observers.ts'
import { type CounterName, type HistogramName, INSTRUMENTS, type InstrumentName } from './instruments.ts'
import type { Exemplar, GaugeReading, Labels, Metrics, MetricsRecorder } from './metrics.ts'

type AnyRegistry = Registry<PrometheusContentType> | Registry<OpenMetricsContentType>

export interface PromClientMetricsOptions {
  /** @default prom-client's global registry */
  readonly registry?: AnyRegistry
  /** Of every metric's name. @default 'martend_async_daemon_', as Marten's published monitoring has it */
  readonly prefix?: string
  /**
   * Appended to the names of counters; `'_total'` pleases `promtool check metrics`. An OpenMetrics registry appends
   * that by itself, whatever stands here. @default ''
   */
  readonly counterSuffix?: '' | '_total'
}

const OPTIONS: Readonly<Record<keyof PromClientMetricsOptions, true>> = {
  registry: true,
  prefix: true,
  counterSuffix: true,
}

/**
 * Metrics through prom-client. Several daemons, and several calls with one registry and prefix, share their metrics. On a
 * registry whose content type is OpenMetrics when the first daemon starts, histograms of batches carry exemplars.
 */
export function promClientMetrics(options: PromClientMetricsOptions = {}): Metrics {
  requireKnownOptions(options, OPTIONS)
  const registry = options.registry ?? register
  const prefix = options.prefix ?? 'martend_async_daemon_'
  const counterSuffix = options.counterSuffix ?? ''
  if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(prefix)) {
    throw new InvalidOptionError('prefix', 'letters, digits and underscores', prefix)
  }
  if (counterSuffix !== '' && counterSuffix !== '_total') {
    throw new InvalidOptionError('counterSuffix', "'' or '_total'", counterSuffix)
  }
  return { open: () => sharedRecorder(registry, prefix, counterSuffix) }
}

const shared = new WeakMap<AnyRegistry, Map<string, PromClientRecorder>>()

function sharedRecorder(registry: AnyRegistry, prefix: string, counterSuffix: string): MetricsRecorder {
  const ofRegistry = shared.get(registry) ?? new Map<string, PromClientRecorder>()
  shared.set(registry, ofRegistry)
  const key = `${prefix} ${counterSuffix}`
  const recorder = ofRegistry.get(key) ?? new PromClientRecorder(registry, prefix, counterSuffix)
  recorder.register()
  ofRegistry.set(key, recorder)
  return recorder
}

interface Named {
  /** Under which it is registered; prom-client changes `metric.name` at an OpenMetrics scrape. */
  readonly fullName: string
  readonly metric: Metric
}

class PromClientRecorder implements MetricsRecorder {
  readonly #registry: AnyRegistry
  readonly #isOpenMetrics: boolean
  readonly #metrics: ReadonlyMap<InstrumentName, Named>
  readonly #gauges = new GaugeObservers()

  constructor(registry: AnyRegistry, prefix: string, counterSuffix: string) {
    this.#registry = registry
    this.#isOpenMetrics = registry.contentType === Registry.OPENMETRICS_CONTENT_TYPE
    this.#metrics = new Map(
      (Object.keys(INSTRUMENTS) as InstrumentName[]).map((name) => {
        const fullName = prefix + name + (INSTRUMENTS[name].kind === 'counter' ? counterSuffix : '')
        return [name, { fullName, metric: this.#make(name, fullName) }]
      }),
    )
  }

  add(counter: CounterName, value: number, labels: Labels): void {
    ;(this.#registered(counter) as Counter).inc(labels, value)
  }

  record(histogram: HistogramName, value: number, labels: Labels, exemplar?: Exemplar): void {
    const metric = this.#registered(histogram) as Histogram
    if (!this.#isOpenMetrics) metric.observe(labels, value)
    else if (exemplar === undefined) metric.observe({ labels, value })
    else {
      const exemplarLabels = { trace_id: exemplar.traceId, span_id: exemplar.spanId }
      metric.observe({ labels, value, exemplarLabels })
    }
  }

  observe(collect: () => Iterable<GaugeReading>): () => void {
    return this.#gauges.add(collect)
  }

  /** All or none. */
  register(): void {
    const missing = [...this.#metrics.values()].filter(({ fullName, metric }) => {
      const existing: unknown = this.#registry.getSingleMetric(fullName)
      if (existing !== undefined && existing !== metric) throw new MetricNameTakenError(fullName)
      return existing === undefined
    })
    for (const { metric } of missing) this.#registry.registerMetric(metric as never)
  }

  /** A registry may be cleared in mid-run: all of them are then missing. */
  #registered(name: InstrumentName): Metric | undefined {
    const named = this.#metrics.get(name)
    if (named && this.#registry.getSingleMetric(named.fullName) === undefined) this.register()
    return named?.metric
  }

  #make(name: InstrumentName, fullName: string): Metric {
    const { kind, help, labels, buckets, aggregator } = INSTRUMENTS[name]
    const common = { name: fullName, help, labelNames: Object.keys(labels), aggregator, registers: [] }
    if (kind === 'counter') return new Counter(common)
    if (kind === 'histogram') {
      return new Histogram({ ...common, buckets: [...(buckets ?? [])], enableExemplars: this.#isOpenMetrics })
    }
    const readings = (): Iterable<GaugeReading> => this.#gauges.read().values()
    return new Gauge({
      ...common,
      collect() {
        this.reset()
        for (const { gauge, labels, value } of readings()) if (gauge === name) this.set(labels, value)
      },
    })
  }
}
