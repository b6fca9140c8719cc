import { INSTRUMENTS } from './instruments.ts'
import type { GaugeReading } from './metrics.ts'

const STATES_FROM_BAD_TO_GOOD: readonly string[] = [
  'paused',
  'dropped',
  'stopped',
  'ended',
  'retrying',
  'catching_up',
  'replaying',
  'live',
]

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

  /** If two daemons show the same series (two tenants of one name, an owner and its standby), the worse value. */
  read(): ReadonlyMap<string, GaugeReading> {
    const series = new Map<string, GaugeReading>()
    for (const collect of this.#observers) {
      for (const reading of collect()) {
        // Another version of this package may share these observers, and have more gauges.
        if (!(reading.gauge in INSTRUMENTS)) continue
        const key = JSON.stringify([reading.gauge, ...Object.entries(reading.labels).flat()])
        const known = series.get(key)
        if (known === undefined || isWorse(reading, known)) series.set(key, reading)
      }
    }
    return withOneState(series)
  }
}

function isWorse({ gauge, value }: GaugeReading, known: GaugeReading): boolean {
  return INSTRUMENTS[gauge].worse === 'less' ? value < known.value : value > known.value
}

/** Of a projection that two daemons show in different states, the worst state alone is 1, and that of a standby. */
function withOneState(series: Map<string, GaugeReading>): ReadonlyMap<string, GaugeReading> {
  const worst = new Map<string | undefined, number>()
  for (const { gauge, value, labels } of series.values()) {
    if (INSTRUMENTS[gauge].worse !== 'state' || value === 0 || labels.state === 'standby') continue
    const name = labels.projection_name
    worst.set(name, Math.min(worst.get(name) ?? Number.POSITIVE_INFINITY, badness(labels.state)))
  }
  for (const [key, reading] of series) {
    const { gauge, value, labels } = reading
    if (INSTRUMENTS[gauge].worse !== 'state' || value === 0 || labels.state === 'standby') continue
    if (badness(labels.state) !== worst.get(labels.projection_name)) series.set(key, { ...reading, value: 0 })
  }
  return series
}

function badness(state: string | undefined): number {
  return STATES_FROM_BAD_TO_GOOD.indexOf(state ?? '')
}
