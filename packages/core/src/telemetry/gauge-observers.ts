import type { GaugeReading } from './metrics.ts'

/** What the gauges of all daemons that share a backend show together. */
export class GaugeObservers {
  readonly #observers: Set<() => Iterable<GaugeReading>>

  constructor(observers: Set<() => Iterable<GaugeReading>>) {
    this.#observers = observers
  }

  /** Returns what withdraws them. */
  add(collect: () => Iterable<GaugeReading>): () => void {
    this.#observers.add(collect)
    return () => void this.#observers.delete(collect)
  }

  /** If two daemons show the same series (an owner and its standby, two agents of one source), the greatest value. */
  read(): ReadonlyMap<string, GaugeReading> {
    const series = new Map<string, GaugeReading>()
    for (const collect of this.#observers) {
      for (const reading of collect()) {
        const key = JSON.stringify([reading.gauge, ...Object.entries(reading.labels).flat()])
        const known = series.get(key)
        if (known === undefined || reading.value > known.value) series.set(key, reading)
      }
    }
    return series
  }
}
