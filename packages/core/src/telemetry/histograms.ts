import { type Instrument, OUTCOMES, PROJECTION, SOURCE } from './instrument.ts'

/** A poll takes about 1 ms; behind DDL it waits for its lock timeout. */
const POLL_BUCKETS = [
  0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1, 2, 4, 10, 25, 60,
] as const
/** From a commit in the wrong order to a transaction forgotten over lunch. */
const GAP_BUCKETS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300, 600, 1500, 3600,
] as const
const BATCH_BUCKETS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300,
] as const
const BATCH_SIZE_BUCKETS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000] as const
const DELAY_BUCKETS = [
  0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 90, 120, 180, 300, 600, 1500, 3600,
] as const

export type HistogramName =
  | 'poll_duration_seconds'
  | 'gap_duration_seconds'
  | 'batch_duration_seconds'
  | 'batch_size_events'
  | 'event_delay_seconds'

export const HISTOGRAMS: Readonly<Record<HistogramName, Instrument>> = {
  poll_duration_seconds: {
    kind: 'histogram',
    unit: 's',
    scope: 'store',
    aggregator: 'sum',
    labels: SOURCE,
    help: 'How long a poll took.',
    buckets: POLL_BUCKETS,
    usedBy: ['dashboard'],
  },
  gap_duration_seconds: {
    kind: 'histogram',
    unit: 's',
    scope: 'store',
    aggregator: 'sum',
    labels: { ...SOURCE, outcome: OUTCOMES },
    help: 'How long a gap was open.',
    buckets: GAP_BUCKETS,
    usedBy: ['dashboard'],
  },
  batch_duration_seconds: {
    kind: 'histogram',
    unit: 's',
    scope: 'projection',
    aggregator: 'sum',
    labels: PROJECTION,
    help: 'How long a batch took, its transaction included.',
    buckets: BATCH_BUCKETS,
    usedBy: ['dashboard'],
  },
  batch_size_events: {
    kind: 'histogram',
    unit: '{event}',
    scope: 'projection',
    aggregator: 'sum',
    labels: PROJECTION,
    help: 'How many events a batch had.',
    buckets: BATCH_SIZE_BUCKETS,
    usedBy: ['dashboard'],
  },
  event_delay_seconds: {
    kind: 'histogram',
    unit: 's',
    scope: 'projection',
    aggregator: 'sum',
    labels: PROJECTION,
    help: 'From append to handled, of the oldest event of a batch, while the projection is live; of a wrapped subscription, of about one event a second.',
    buckets: DELAY_BUCKETS,
    usedBy: ['dashboard'],
  },
}
