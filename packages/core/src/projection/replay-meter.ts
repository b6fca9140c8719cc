import { isReached, laterOf, type PositionOrder } from '../ports/position.ts'
import { type ReplaySample, replaySpeed, withSample } from '../rebuild/progress.ts'
import { isReplaying, type Standing } from './standing.ts'
import type { ReplayStatus } from './status.ts'

/** How far and how fast one projection replays. */
export class ReplayMeter<P> {
  readonly #order: PositionOrder<P>
  #samples: readonly ReplaySample<P>[] = []

  constructor(order: PositionOrder<P>) {
    this.#order = order
  }

  see(standing: Standing<P>, nowMs: number): void {
    if (!isReplaying(standing, this.#order)) {
      if (this.#samples.length > 0) this.#samples = []
      return
    }
    this.#samples = withSample(this.#order, this.#samples, sampleOf(standing, nowMs))
  }

  /** `undefined` where it replays nothing. */
  tell(standing: Standing<P>, mark: P | undefined, nowMs: number): ReplayStatus<P> | undefined {
    const { role, furthest, cursor, right } = standing
    if (right !== 'held' || !isReplaying(standing, this.#order)) return undefined
    const target = role === 'beside' ? laterOf(this.#order, furthest, mark) : furthest
    if (target === undefined || isReached(this.#order, target, cursor)) return undefined
    return { target, ...replaySpeed(this.#order, this.#samples, sampleOf(standing, nowMs), target) }
  }
}

function sampleOf<P>({ cursor, handledEvents }: Standing<P>, atMs: number): ReplaySample<P> {
  return { atMs, position: cursor, events: handledEvents }
}
