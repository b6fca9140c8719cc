import type { Clock } from '../kernel/clock.ts'
import { untilAborted } from '../kernel/deferred.ts'
import type { PacedLooks } from '../kernel/paced-looks.ts'
import { earlierOf, isReached, type PositionOrder } from '../ports/position.ts'
import type { AcquireRequest } from './ownership.ts'

export interface StandByParts<P> {
  readonly order: PositionOrder<P>
  /** Says which events wait. */
  readonly agent: { readonly mark: P | undefined; nextChange(): Promise<void> }
  readonly clock: Clock
}

interface StandingBy<P>
  extends StandByParts<P>,
    Pick<AcquireRequest<P>, 'look' | 'bound' | 'isAsked' | 'nextAsked'> {
  readonly pace: PacedLooks
  /**
   * Whether whoever has the checkpoint is taken to be gone, after it stood still for so long. `isIdle`: no events wait, or none that are to
   * be handled for now.
   */
  readonly isGone: (stillMs: number, isIdle: boolean) => boolean
}

/** Of who takes nothing by itself, and does nothing that is asked of the unit. */
export const LOOKS_ONLY: Pick<StandingBy<never>, 'bound' | 'isAsked' | 'nextAsked' | 'isGone'> = {
  bound: () => undefined,
  isAsked: () => false,
  // Another one each time: what waits for it is forgotten with it.
  nextAsked: () => new Promise(() => {}),
  isGone: () => false,
}

/** Looks at a checkpoint that another owner moves, while there is something to see, until that owner is gone or `signal` fires. */
export async function standBy<P>(
  { order, agent, clock, pace, look, bound, isAsked, nextAsked, isGone }: StandingBy<P>,
  signal: AbortSignal,
): Promise<void> {
  let still: { readonly position: P | undefined; readonly sinceMs: number } | undefined
  while (!signal.aborted) {
    const { hurries } = pace
    const position = await look()
    const isAtMark = (): boolean => isReached(order, agent.mark, position)
    // Nobody says when a bound ends: it is looked at again.
    const isIdle = (): boolean => {
      const end = bound()
      return isReached(order, end === undefined ? agent.mark : earlierOf(order, agent.mark, end), position)
    }
    // Whoever waits may be told by one more look that nothing is left, in another incarnation.
    while (!signal.aborted && isAtMark() && !isAsked() && pace.hurries === hurries) {
      still = undefined
      await untilAborted(Promise.race([agent.nextChange(), nextAsked(), pace.nextHurry()]), signal)
    }
    const nowMs = clock.nowMs()
    if (isIdle() && !isAsked()) still = undefined
    else if (!still || !isReached(order, position, still.position)) still = { position, sinceMs: nowMs }
    else if (isGone(nowMs - still.sinceMs, isIdle())) return
    pace.looked()
    await pace.due(signal)
  }
}
