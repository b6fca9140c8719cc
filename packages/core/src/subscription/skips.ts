import type { CrossedRun } from '../ports/checkpoint-store.ts'
import type { PositionOrder } from '../ports/position.ts'
import type { Delivery } from '../ports/subscription-source.ts'
import type { Progress } from './progress.ts'

/** What this delivery shows as skipped. Called before `deliver`. */
export function skipAt<P>(
  progress: Progress<P>,
  delivery: Delivery<P>,
  order: PositionOrder<P>,
  yieldsEveryPosition: boolean,
): readonly CrossedRun[] {
  const truncated = yieldsEveryPosition ? jumpTo(progress, delivery, order) : NONE
  if (delivery.hasEvent || delivery.isRetry) return truncated
  return [...truncated, runAt(delivery, order, 'unknown_event')]
}

const NONE: readonly CrossedRun[] = []

function jumpTo<P>(
  { deliveredTo }: Progress<P>,
  { position }: Delivery<P>,
  order: PositionOrder<P>,
): readonly CrossedRun[] {
  if (deliveredTo === undefined || position === undefined || !order.distance) return NONE
  const count = order.distance(deliveredTo, position) - 1n
  if (count <= 0n) return NONE
  return [{ stored: order.format(deliveredTo), current: order.format(position), count, reason: 'truncated' }]
}

/** One event that was passed without being handled: no run of positions lies between. */
export function runAt<P>(
  { position }: Delivery<P>,
  order: PositionOrder<P>,
  reason: 'unknown_event' | 'apply_error',
): CrossedRun {
  const at = position === undefined ? 'unknown' : order.format(position)
  return { stored: at, current: at, count: 1n, reason }
}
