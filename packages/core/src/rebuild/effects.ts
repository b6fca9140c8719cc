import type { ControlledUnit } from '../ports/control.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'

/** Whether the effects of an event above the checkpoint are to come about now. Pure. */
export function isToTakeEffect<P>(
  order: PositionOrder<P>,
  { role, furthest }: Pick<ControlledUnit, 'role' | 'furthest'>,
  position: P,
): boolean {
  const isReplayed = furthest !== undefined && isReached(order, position, order.parse(furthest))
  return role === 'live' && !isReplayed
}
