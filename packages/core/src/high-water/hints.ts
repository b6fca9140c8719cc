import type { WakeUp } from '../ports/event-source.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'

/** What wake-ups have told, until the polls have heeded it. */
export class Hints<P> {
  #untaken: { readonly wakeUp: WakeUp<P> | undefined } | undefined
  #isTold = false
  #heeded: P | undefined

  /** Whether the source tells of whatever is appended next. */
  get isTold(): boolean {
    return this.#isTold
  }

  add(wakeUp: WakeUp<P> | undefined): void {
    this.#untaken = { wakeUp }
    this.#isTold = wakeUp?.tellsAll ?? false
  }

  /** Whether there is a hint of something that polls up to `head` have not seen. Each hint is heeded once. */
  take(order: PositionOrder<P>, head: P | undefined): boolean {
    const hint = this.#untaken
    this.#untaken = undefined
    if (hint === undefined) return false
    if (hint.wakeUp === undefined) return true
    const { handedOut } = hint.wakeUp
    if (isReached(order, handedOut, head)) return false
    this.#heeded = handedOut
    return true
  }

  /** What the next poll was woken up for, where that is known. One poll is told. */
  takeHeeded(): P | undefined {
    const heeded = this.#heeded
    this.#heeded = undefined
    return heeded
  }

  /** Nothing more is told. Answers whether the polls have relied on it. */
  end(): boolean {
    const wasTold = this.#isTold
    this.#isTold = false
    return wasTold
  }
}
