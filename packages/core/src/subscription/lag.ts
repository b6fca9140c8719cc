import { isReached, type PositionOrder } from '../ports/position.ts'
import type { HeadHistory } from './head-history.ts'
import type { Progress } from './progress.ts'

export interface LagInput<P> {
  readonly progress: Progress<P>
  readonly head: HeadHistory<P>
  readonly order: PositionOrder<P>
  /** Whether everything up to the head comes to this consumer. */
  readonly isHeadOurs: boolean
  /** Whether the server said that everything older was delivered. */
  readonly isLive: boolean
  readonly startedAtMs: number
  /** How long a reading of the head is good for. */
  readonly headGoodForMs: number
  readonly nowMs: number
}

/** See `SubscriptionStatus.lagMs`. */
export function lagMs<P>(input: LagInput<P>): number | undefined {
  const { progress, head, order, isHeadOurs, isLive, startedAtMs, headGoodForMs, nowMs } = input
  if (progress.inHandAppendedAtMs !== undefined) return sinceMs(progress.inHandAppendedAtMs, nowMs)
  if (!isHeadOurs || head.readAtMs === undefined) return isLive ? 0 : undefined
  if (!isReached(order, head.head, progress.processedTo)) {
    // The oldest unprocessed event has not come yet. It was appended after the last processed event, and after the last
    // moment at which none was waiting. The later of the two times gives the longest that it can have waited.
    const emptyAtMs = head.processedAllAtMs ?? progress.processedAppendedAtMs ?? startedAtMs
    return sinceMs(Math.max(emptyAtMs, progress.processedAppendedAtMs ?? emptyAtMs), nowMs)
  }
  const ageMs = nowMs - head.readAtMs
  return ageMs <= headGoodForMs ? 0 : ageMs
}

/** Head minus position, where every position counts. A head that was read before the position lags behind it. */
export function positionsBehind<P>(
  position: P | undefined,
  head: P | undefined,
  order: PositionOrder<P>,
): bigint | undefined {
  if (!order.distance || position === undefined || head === undefined) return undefined
  const behind = order.distance(position, head)
  return behind > 0n ? behind : 0n
}

/** The store's clock may be ahead of ours. */
function sinceMs(thenMs: number, nowMs: number): number {
  return Math.max(0, nowMs - thenMs)
}
