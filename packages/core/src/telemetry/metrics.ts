import type { CounterName } from './counters.ts'
import type { GaugeName } from './gauges.ts'
import type { HistogramName } from './histograms.ts'
import type { Logger } from './logger.ts'

/**
 * The port behind the `metrics` option. `@tidemark/core/prom-client` and `@tidemark/core/opentelemetry` implement it;
 * implement it yourself for another backend. What it throws is caught and counted; it never reaches the work. Every value
 * that it is given is a finite number.
 */
export interface Metrics {
  /**
   * Called at `start()`, not on import, so that an SDK that is set up meanwhile is found. `logger` is for what the user
   * should know of the set-up; it is the daemon's, or the console.
   */
  open(logger: Logger): MetricsRecorder
}

export type Labels = Readonly<Record<string, string>>

export interface MetricsRecorder {
  /** Called a few times a poll or a batch, never once an event; with 0 to make a series exist before its first increase. */
  add(counter: CounterName, value: number, labels: Labels): void
  record(histogram: HistogramName, value: number, labels: Labels, exemplar?: Exemplar): void
  /**
   * Gauges are computed when they are collected: calls `collect` at each scrape, and shows nothing for what it leaves
   * out. Returns what withdraws them.
   */
  observe(collect: () => Iterable<GaugeReading>): () => void
}

export interface GaugeReading {
  readonly gauge: GaugeName
  readonly value: number
  readonly labels: Labels
}

/** The span during which a value was measured. */
export interface Exemplar {
  readonly traceId: string
  readonly spanId: string
}
