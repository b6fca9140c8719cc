import type { LockedUnit } from '../ports/checkpoint-store.ts'
import type { HighWaterReading } from '../ports/event-source.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'

/** A checkpoint was to pass the bound that its row has for now. Nothing was changed: it is read again, and tells the bound. */
export class PastBound extends Error {
  constructor(projection: string, to: string, bound: string) {
    super(
      `projection "${projection}" was to move to ${to}, and is to come to ${bound} for now, where shards of it meet`,
    )
  }
}

/**
 * Throws `PastBound` where a checkpoint is about to move beyond it. Asked with its row locked, before any work, so that no shard passes a
 * bound that was stored before.
 */
export function requireWithinBound<P>(
  order: PositionOrder<P>,
  projection: string,
  { from, to }: { readonly from: P | undefined; readonly to: P },
  locked: LockedUnit | undefined,
): void {
  const bound = locked?.bound
  if (bound === undefined || isReached(order, to, from)) return
  if (!isReached(order, to, order.parse(bound))) throw new PastBound(projection, order.format(to), bound)
}

/** The reading, with no mark beyond `end`. */
export function upTo<P>(
  order: PositionOrder<P>,
  reading: HighWaterReading<P>,
  end: P | undefined,
): HighWaterReading<P> {
  return end === undefined || isReached(order, reading.mark, end) ? reading : { ...reading, mark: end }
}
