import type { Pulse } from '../kernel/pulse.ts'
import { earlierOf, isReached, type PositionOrder } from '../ports/position.ts'
import type { InputKind } from './commands.ts'
import type { Phase, Standing } from './standing.ts'

/** What the health of a projection is judged by. */
export interface Vitals {
  /** When its checkpoint last moved, or was read first, or it was started, or resumed by an operator. */
  readonly movedAtMs: number
  /** Since when events wait at or below the mark. */
  readonly waitingSinceMs: number | undefined
  readonly pulse: Pulse
}

const FROM_ELSEWHERE: ReadonlySet<InputKind> = new Set(['reading', 'revoked', 'recalled', 'desired', 'stop'])

/** When a projection last showed a sign of life, and when its checkpoint last moved. */
export class VitalSigns<P> {
  readonly #order: PositionOrder<P>
  #steppedAtMs: number
  #movedAtMs: number

  constructor(order: PositionOrder<P>, nowMs: number) {
    this.#order = order
    this.#steppedAtMs = nowMs
    this.#movedAtMs = nowMs
  }

  /** @param by - what it has followed from; `undefined`: its start */
  see(before: Standing<P>, after: Standing<P>, by: InputKind | undefined, nowMs: number): void {
    if (before === after) return
    // What is told from elsewhere is no sign of life as long as it leads to nothing.
    const isTold = by !== undefined && FROM_ELSEWHERE.has(by)
    if (!isTold || before.phase !== after.phase) this.#steppedAtMs = nowMs
    const isFirst = before.phase === 'stopped'
    const isResumed = before.pausedBy !== undefined && after.pausedBy === undefined
    if (isFirst || isResumed || this.#isMoved(before, after)) this.#movedAtMs = nowMs
  }

  /** Up, or by an operator down. */
  #isMoved({ checkpoint: before }: Standing<P>, { checkpoint: after }: Standing<P>): boolean {
    const from = before?.position
    const to = after?.position
    return !isReached(this.#order, to, from) || !isReached(this.#order, from, to)
  }

  tell(
    standing: Standing<P>,
    agent: { readonly mark: P | undefined; firstSeenAboveMs(position: P | undefined): number | undefined },
  ): Vitals {
    const { cursor, bound } = standing
    // What waits behind a bound is not waited for here.
    const end = bound === undefined ? agent.mark : earlierOf(this.#order, agent.mark, bound)
    return {
      movedAtMs: this.#movedAtMs,
      waitingSinceMs: isReached(this.#order, end, cursor) ? undefined : agent.firstSeenAboveMs(cursor),
      pulse: pulseOf(standing, this.#steppedAtMs),
    }
  }
}

function pulseOf({ phase, moving, failure }: Standing<unknown>, sinceMs: number): Pulse {
  const dueMs = failure?.nextTryAtMs
  const isTimed = phase === 'resting' || phase === 'paused'
  // What is paused until a restart waits for nothing.
  if (isTimed)
    return dueMs === undefined ? { waitsFor: 'nothing', sinceMs } : { waitsFor: 'timer', sinceMs, dueMs }
  const isHandled = phase === 'mending' || (phase === 'applying' && moving?.page !== undefined)
  return { waitsFor: isHandled ? 'handler' : WAITS_FOR[phase], sinceMs }
}

const WAITS_FOR: Readonly<Record<Exclude<Phase, 'mending' | 'resting' | 'paused'>, Pulse['waitsFor']>> = {
  // A standby looks at the checkpoint only while events wait.
  unowned: 'events',
  opening: 'answer',
  following: 'events',
  loading: 'answer',
  applying: 'answer',
  fulfilling: 'handler',
  stopped: 'nothing',
}
