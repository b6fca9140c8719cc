import { isReached, type PositionOrder } from '../position.ts'
import type { Handled } from './progress.ts'
import type { Delivery } from './subscription-source.ts'

/** What deliveries that have ended, one after the other, come to. */
interface Run<P> {
  /** The last before anything failed. */
  readonly through: Delivery<P> | undefined
  readonly failed: Delivery<P> | undefined
}

/** A handler that runs, or a run of those that have ended behind one that still runs. */
interface Entry<P> {
  readonly delivery: Delivery<P>
  ended: Run<P> | undefined
  before: Entry<P> | undefined
  after: Entry<P> | undefined
}

/**
 * Handlers that run at the same time end in any order: an event is processed through only when all before it are. One
 * that failed holds the position until its event comes again. What is kept does not grow behind a handler that hangs.
 */
export class Completions<P> {
  readonly #order: PositionOrder<P>
  #first: Entry<P> | undefined
  #last: Entry<P> | undefined
  #failed: Delivery<P> | undefined

  constructor(order: PositionOrder<P>) {
    this.#order = order
  }

  /** How much is kept. */
  get kept(): number {
    let count = 0
    for (let entry = this.#first; entry !== undefined; entry = entry.after) count++
    return count
  }

  /** Returns what is to be called once, when the handler has ended. */
  begin(delivery: Delivery<P>): (outcome: 'done' | 'failed') => Handled<P> {
    if (this.#comesAgain(delivery)) this.#failed = undefined
    const entry: Entry<P> = { delivery, ended: undefined, before: this.#last, after: undefined }
    if (this.#last) this.#last.after = entry
    else this.#first = entry
    this.#last = entry
    return (outcome) => {
      const through = this.#end(entry, outcome)
      return {
        hasFailed: outcome === 'failed',
        through,
        oldestInHand: this.#failed ?? this.#first?.delivery,
        isHeld: this.#failed !== undefined,
      }
    }
  }

  #comesAgain({ position }: Delivery<P>): boolean {
    const failedAt = this.#failed?.position
    return failedAt !== undefined && position !== undefined && isReached(this.#order, position, failedAt)
  }

  /** The last delivery that the position may move to now. */
  #end(entry: Entry<P>, outcome: 'done' | 'failed'): Delivery<P> | undefined {
    const { delivery, before, after } = entry
    entry.ended =
      outcome === 'done' ? { through: delivery, failed: undefined } : { through: undefined, failed: delivery }
    if (before?.ended) {
      entry.ended = join(before.ended, entry.ended)
      this.#remove(before)
    }
    if (after?.ended) {
      entry.ended = join(entry.ended, after.ended)
      this.#remove(after)
    }
    if (this.#first !== entry) return undefined
    this.#remove(entry)
    const { through, failed } = entry.ended
    const isHeld = this.#failed !== undefined
    this.#failed ??= failed
    return isHeld ? undefined : through
  }

  #remove({ before, after }: Entry<P>): void {
    if (before) before.after = after
    else this.#first = after
    if (after) after.before = before
    else this.#last = before
  }
}

function join<P>(a: Run<P>, b: Run<P>): Run<P> {
  if (a.failed) return a
  return { through: b.through ?? a.through, failed: b.failed }
}
