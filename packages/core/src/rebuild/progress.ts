import { isReached, type PositionOrder } from '../ports/position.ts'

/** Where a replay stood at a time. */
export interface ReplaySample<P> {
  readonly atMs: number
  /** `undefined` before the first event. */
  readonly position: P | undefined
  /** Events that were handled until then, from whatever beginning. */
  readonly events: number
}

/** How fast a replay is; `undefined` while that is not known. */
export interface ReplaySpeed {
  /** Over the last half minute. */
  readonly eventsPerSecond: number | undefined
  /** At the speed of the last half minute. Not known where the positions of the source are no numbers without holes. */
  readonly secondsLeft: number | undefined
}

const OVER_MS = 30_000
const SAMPLE_EVERY_MS = 1_000

/** The samples that a speed is told by, with one more: of the last half minute, and the last one before that. Pure. */
export function withSample<P>(
  order: PositionOrder<P>,
  samples: readonly ReplaySample<P>[],
  sample: ReplaySample<P>,
): readonly ReplaySample<P>[] {
  if (sample.position === undefined) return []
  const last = samples.at(-1)
  if (last === undefined || !isReached(order, last.position, sample.position)) return [sample]
  if (sample.atMs - last.atMs < SAMPLE_EVERY_MS) return samples
  const all = [...samples, sample]
  return all.slice(
    Math.max(
      0,
      all.findLastIndex(({ atMs }) => atMs <= sample.atMs - OVER_MS),
    ),
  )
}

/** Pure. */
export function replaySpeed<P>(
  order: PositionOrder<P>,
  samples: readonly ReplaySample<P>[],
  now: ReplaySample<P>,
  target: P,
): ReplaySpeed {
  const since = samples.findLast(({ atMs }) => atMs <= now.atMs - OVER_MS) ?? samples[0]
  const forMs = since === undefined ? 0 : now.atMs - since.atMs
  if (since === undefined || forMs < SAMPLE_EVERY_MS) {
    return { eventsPerSecond: undefined, secondsLeft: undefined }
  }
  const eventsPerSecond = ((now.events - since.events) * 1_000) / forMs
  const { distance } = order
  if (distance === undefined || since.position === undefined || now.position === undefined) {
    return { eventsPerSecond, secondsLeft: undefined }
  }
  const moved = Number(distance(since.position, now.position))
  const left = Math.max(0, Number(distance(now.position, target)))
  return { eventsPerSecond, secondsLeft: moved <= 0 ? undefined : (left / moved) * (forMs / 1_000) }
}
