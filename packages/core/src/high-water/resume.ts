import type { StoredProgress } from '../event-source.ts'
import { laterOf, type PositionOrder } from '../position.ts'

/**
 * The settled position that a new incarnation's first poll may start from, out of what checkpoint stores remember: the
 * greatest settled that was proven in this very incarnation; otherwise the greatest checkpoint, which rests on a
 * visible event and is itself settled. Settled positions of another incarnation are worth nothing: a crash may hand
 * out the numbers above the last visible event again.
 */
export function resumeSettled<P>(
  order: PositionOrder<P>,
  stored: readonly StoredProgress<P>[],
  incarnation: string,
): P | undefined {
  let settled: P | undefined
  for (const progress of stored) {
    settled = laterOf(order, settled, progress.position)
    if (progress.incarnation === incarnation) settled = laterOf(order, settled, progress.settled)
  }
  return settled
}
