import { median } from '../support/statistics.ts'

/** What one replay took. */
export interface Sample {
  readonly seconds: number
  /** Of this process, all threads: Postgres is not in it, nor is waiting for it. */
  readonly cpuSeconds: number
  readonly batches: number
}

export interface Costs {
  /** Of events a second. */
  readonly ratio: number
  readonly nsPerEvent: number
  readonly usPerBatch: number
  readonly cpuNsPerEvent: number
  readonly cpuUsPerBatch: number
}

/**
 * Against the baseline of the same round, then the median: a slow spell of the machine hits both runs of a round, so
 * this is steadier than a difference of medians.
 */
export function costsAgainst(baseline: readonly Sample[], samples: readonly Sample[], events: number): Costs {
  const medianOf = (cost: (sample: Sample, base: Sample) => number): number =>
    median(samples.flatMap((sample, round) => (baseline[round] ? [cost(sample, baseline[round])] : [])))
  const more = (sample: Sample, base: Sample): number => sample.seconds - base.seconds
  const moreCpu = (sample: Sample, base: Sample): number => sample.cpuSeconds - base.cpuSeconds
  return {
    ratio: medianOf((sample, base) => base.seconds / sample.seconds),
    nsPerEvent: medianOf((sample, base) => (more(sample, base) * 1e9) / events),
    usPerBatch: medianOf((sample, base) => (more(sample, base) * 1e6) / sample.batches),
    cpuNsPerEvent: medianOf((sample, base) => (moreCpu(sample, base) * 1e9) / events),
    cpuUsPerBatch: medianOf((sample, base) => (moreCpu(sample, base) * 1e6) / sample.batches),
  }
}
