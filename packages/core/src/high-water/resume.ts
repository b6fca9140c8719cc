import type { StoredProgress } from '../ports/event-source.ts'
import { laterOf, type PositionOrder } from '../ports/position.ts'

/**
 * The settled position from which the first poll of an incarnation may start. It is the greatest settled position that
 * was proven in this very incarnation. If there is none, it is the greatest checkpoint: a checkpoint rests on a visible
 * event and is settled itself. Settled positions of another incarnation are worth nothing: after a crash, the numbers
 * above the last visible event may be handed out again.
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
