import type { GaugeReading, MetricsRecorder } from './metrics.ts'
import { quietly } from './quietly.ts'

/**
 * Stands before every backend. What the backend throws goes to `onError`, and one metric that fails does not keep the others
 * from being reported. What is no number is left out and told: a single NaN can make a collector refuse a whole export.
 */
export function guardRecorder(recorder: MetricsRecorder, onError: (error: unknown) => void): MetricsRecorder {
  return {
    add: (counter, value, labels) =>
      quietly(() => {
        requireNumber(counter, value)
        return recorder.add(counter, value, labels)
      }, onError),
    record: (histogram, value, labels, exemplar) =>
      quietly(() => {
        requireNumber(histogram, value)
        // A clock that was set back: less than nothing is no duration, and OpenTelemetry would leave it out.
        return recorder.record(histogram, Math.max(0, value), labels, exemplar)
      }, onError),
    observe: (collect) =>
      quietly(() => recorder.observe(() => numbersOf(collect, onError)), onError) ?? (() => {}),
  }
}

function numbersOf(
  collect: () => Iterable<GaugeReading>,
  onError: (error: unknown) => void,
): readonly GaugeReading[] {
  // Read in here to the last: what a generator throws, it throws while it is read.
  const readings = quietly(() => [...collect()], onError) ?? []
  return readings.filter(({ gauge, value }) => {
    if (Number.isFinite(value)) return true
    quietly(() => requireNumber(gauge, value), onError)
    return false
  })
}

function requireNumber(name: string, value: number): void {
  if (!Number.isFinite(value)) throw new Error(`the metric ${name} would be ${value}, so it is left out`)
}
