import {
  Counter,
  Gauge,
  Histogram,
  type Metric,
  type OpenMetricsContentType,
  type PrometheusContentType,
  Registry,
} from 'prom-client'
import type { CounterName } from './counters.ts'
import { GaugeObservers } from './gauge-observers.ts'
import type { HistogramName } from './histograms.ts'
import type { Instrument } from './instrument.ts'
import { INSTRUMENTS, type InstrumentName } from './instruments.ts'
import { type Logger, SILENT_LOGGER } from './logger.ts'
import type { Exemplar, GaugeReading, Labels, MetricsRecorder } from './metrics.ts'
import { type SharedInstruments, sharedInstruments } from './shared-instruments.ts'

export type AnyRegistry = Registry<PrometheusContentType> | Registry<OpenMetricsContentType>

const recorders = new WeakMap<SharedInstruments<Made>, Map<string, PromClientRecorder>>()

/** The one of this registry and these names. */
export function recorderOf(registry: AnyRegistry, prefix: string, counterSuffix: string): PromClientRecorder {
  const shared = sharedInstruments<Made>('prom-client', registry, prefix)
  // An OpenMetrics registry appends it by itself.
  const suffix = registry.contentType === Registry.OPENMETRICS_CONTENT_TYPE ? '' : counterSuffix
  const ofShared = recorders.get(shared) ?? new Map<string, PromClientRecorder>()
  recorders.set(shared, ofShared)
  const recorder = ofShared.get(suffix) ?? new PromClientRecorder(registry, shared, prefix, suffix)
  ofShared.set(suffix, recorder)
  return recorder
}

/** A metric that this copy of the package made, or another. */
interface Made {
  readonly metric: Metric
  /** Two versions of this package may differ in these. */
  readonly kind: Instrument['kind']
  readonly labels: readonly string[]
  /** Whether the registry took exemplars when it was made. */
  readonly hasExemplars: boolean
}

interface Named extends Made {
  /** The registered name: prom-client changes `metric.name` at an OpenMetrics scrape. */
  readonly fullName: string
}

/** Records into the metrics of one registry, made by this copy of the package or another. */
export class PromClientRecorder implements MetricsRecorder {
  readonly #registry: AnyRegistry
  readonly #metrics: ReadonlyMap<InstrumentName, Named>
  readonly #gauges: GaugeObservers
  #ofTurn: ReadonlyMap<string, GaugeReading> | undefined
  #logger: Logger = SILENT_LOGGER
  #told: ReadonlySet<string> = new Set()

  constructor(registry: AnyRegistry, shared: SharedInstruments<Made>, prefix: string, counterSuffix: string) {
    this.#registry = registry
    this.#gauges = new GaugeObservers(shared.observers)
    this.#metrics = new Map(
      (Object.keys(INSTRUMENTS) as InstrumentName[]).map((name) => {
        const fullName = prefix + name + (INSTRUMENTS[name].kind === 'counter' ? counterSuffix : '')
        const found = shared.made.get(fullName)
        const made = found !== undefined && isSameKind(found, name) ? found : this.#make(name, fullName)
        if (found === undefined) shared.made.set(fullName, made)
        return [name, { ...made, fullName }]
      }),
    )
  }

  /** Tells each daemon that starts what it has to do without. */
  open(logger: Logger): this {
    this.#logger = logger
    this.#told = new Set()
    this.#register()
    return this
  }

  add(counter: CounterName, value: number, labels: Labels): void {
    ;(this.#registered(counter)?.metric as Counter | undefined)?.inc(labels, value)
  }

  record(histogram: HistogramName, value: number, labels: Labels, exemplar?: Exemplar): void {
    const named = this.#registered(histogram)
    if (named === undefined) return
    const metric = named.metric as Histogram
    if (!named.hasExemplars) metric.observe(labels, value)
    else if (exemplar === undefined) metric.observe({ labels, value })
    else {
      const exemplarLabels = { trace_id: exemplar.traceId, span_id: exemplar.spanId }
      metric.observe({ labels, value, exemplarLabels })
    }
  }

  observe(collect: () => Iterable<GaugeReading>): () => void {
    return this.#gauges.add(collect)
  }

  /** Leaves metrics of others alone, and says once which of ours are therefore not exported. */
  #register(): void {
    const taken: string[] = []
    for (const { fullName, metric } of this.#metrics.values()) {
      const existing: unknown = this.#registry.getSingleMetric(fullName)
      if (existing === undefined) this.#registry.registerMetric(metric as never)
      else if (existing !== metric) taken.push(fullName)
    }
    const news = taken.filter((fullName) => !this.#told.has(fullName))
    this.#told = new Set(taken)
    if (news.length === 0) return
    this.#logger.warn(
      `tidemark: the registry already has ${news.join(', ')} from elsewhere, so Tidemark does not export its own; ` +
        'to export it, give promClientMetrics() another prefix or registry, or rename the other metric',
    )
  }

  /** A registry may be cleared while the daemon runs: then all of them are missing. */
  #registered(name: InstrumentName): Named | undefined {
    const named = this.#metrics.get(name)
    if (named === undefined) return undefined
    if (this.#registry.getSingleMetric(named.fullName) === undefined) this.#register()
    return this.#registry.getSingleMetric(named.fullName) === (named.metric as unknown) ? named : undefined
  }

  /** A registry collects all gauges of a scrape in one turn (15.1: Registry.metrics): they show one moment, read once. */
  #readOfTurn(): ReadonlyMap<string, GaugeReading> {
    if (this.#ofTurn === undefined) {
      this.#ofTurn = this.#gauges.read()
      queueMicrotask(() => {
        this.#ofTurn = undefined
      })
    }
    return this.#ofTurn
  }

  #make(name: InstrumentName, fullName: string): Made {
    const { kind } = INSTRUMENTS[name]
    const hasExemplars = this.#registry.contentType === Registry.OPENMETRICS_CONTENT_TYPE
    const metric = this.#metric(name, fullName, hasExemplars)
    return { metric, kind, labels: labelNamesOf(name), hasExemplars }
  }

  #metric(name: InstrumentName, fullName: string, enableExemplars: boolean): Metric {
    const { kind, help, buckets, aggregator } = INSTRUMENTS[name]
    const labelNames = labelNamesOf(name)
    const common = { name: fullName, help, labelNames, aggregator, registers: [] }
    if (kind === 'counter') return new Counter(common)
    if (kind === 'histogram')
      return new Histogram({ ...common, buckets: [...(buckets ?? [])], enableExemplars })
    const readings = (): Iterable<GaugeReading> => this.#readOfTurn().values()
    return new Gauge({
      ...common,
      collect() {
        this.reset()
        for (const { gauge, labels, value } of readings()) {
          // Another version of this package may show more labels; prom-client would refuse the whole scrape.
          const isKnown = Object.keys(labels).every((label) => labelNames.includes(label))
          if (gauge === name && isKnown) this.set(labels, value)
        }
      },
    })
  }
}

function labelNamesOf(name: InstrumentName): string[] {
  const { labels, isOfShards } = INSTRUMENTS[name]
  return [...Object.keys(labels), ...(isOfShards ? ['shard'] : [])]
}

function isSameKind({ kind, labels }: Made, name: InstrumentName): boolean {
  const wanted = labelNamesOf(name)
  return kind === INSTRUMENTS[name].kind && wanted.join() === labels.join()
}
