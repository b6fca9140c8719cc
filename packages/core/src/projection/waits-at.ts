import type { HighWaterReading } from '../ports/event-source.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'
import type { Standing } from './standing.ts'

/** Where a projection has everything handled, and asks for a page as soon as the mark moves. `undefined`: it does not. Pure. */
export function waitsAt<P>(
  { phase, cursor, cursorIncarnation }: Pick<Standing<P>, 'phase' | 'cursor' | 'cursorIncarnation'>,
  order: PositionOrder<P>,
  reading: HighWaterReading<P> | undefined,
): P | undefined {
  // At work it may take longer than the next poll, and ask for nothing while that one's answer is the newest.
  if (phase !== 'following' || reading === undefined) return undefined
  const hasAll = reading.incarnation === cursorIncarnation && isReached(order, reading.mark, cursor)
  return hasAll ? cursor : undefined
}
