import type { HighWaterStatus } from '../high-water/status.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'

export interface LagInput<P> {
  readonly order: PositionOrder<P>
  readonly highWater: HighWaterStatus<P>
  /** How far events were looked at. */
  readonly cursor: P | undefined
  /** When the oldest event that is not handled was appended, as far as its page has said. */
  readonly oldestAppendedAtMs: number | undefined
  /** When this process first saw that an event above the cursor is there. */
  readonly firstSeenAtMs: number | undefined
  readonly nowMs: number
}

/** See `ProjectionStatus.lagMs`; asked once a checkpoint was read. */
export function lagMs<P>(input: LagInput<P>): number | undefined {
  const { order, highWater, cursor, oldestAppendedAtMs, firstSeenAtMs, nowMs } = input
  const { mark, settled, head, isCurrent, eventsHeldSinceMs, lastPollAtMs } = highWater
  if (lastPollAtMs === undefined) return undefined
  if (!isReached(order, mark, cursor)) {
    return nowMs - Math.min(oldestAppendedAtMs ?? firstSeenAtMs ?? lastPollAtMs, nowMs)
  }
  if (eventsHeldSinceMs !== undefined) return nowMs - eventsHeldSinceMs
  if (!isCurrent) return nowMs - lastPollAtMs
  // Behind the holders of a first poll nobody knows what there is.
  return settled === undefined && head !== undefined ? undefined : 0
}

/** (head - settled) + (mark - checkpoint); see `ProjectionStatus.lagPositions`. */
export function lagPositions<P>(
  order: PositionOrder<P>,
  { head, settled, mark }: HighWaterStatus<P>,
  checkpoint: P | undefined,
): bigint | undefined {
  if (!order.distance || head === undefined || settled === undefined) return undefined
  if (mark === undefined) return order.distance(settled, head)
  if (checkpoint === undefined) return undefined
  const behindMark = order.distance(checkpoint, mark)
  return order.distance(settled, head) + (behindMark > 0n ? behindMark : 0n)
}
