import type { MetricsRecorder } from '../telemetry/metrics.ts'

/** One projection in one backend. */
interface Place {
  readonly live: Set<object>
  /** Withdraws what the last subscription left. */
  left: (() => void) | undefined
}

const places = new WeakMap<MetricsRecorder, Map<string, Place>>()

/**
 * A subscription that has ended goes on showing its last state (that it was dropped) until another subscription of the
 * same projection takes over, in this process and backend. Only one of the two may show a state: a backend shows the
 * worse of two.
 */
export function takeOver(recorder: MetricsRecorder, projection: string): (withdraw: () => void) => void {
  const ofBackend = places.get(recorder) ?? new Map<string, Place>()
  places.set(recorder, ofBackend)
  const place = ofBackend.get(projection) ?? { live: new Set(), left: undefined }
  ofBackend.set(projection, place)
  const token = {}
  place.live.add(token)
  place.left?.()
  place.left = undefined
  return (withdraw) => {
    place.live.delete(token)
    if (place.live.size > 0) return withdraw()
    place.left = withdraw
  }
}
