import { isReached, type PositionOrder } from '../position.ts'
import type { Handled } from './progress.ts'
import type { Delivery } from './subscription-source.ts'

/** What the outcomes of consecutive deliveries, all ended, come to. */
interface Run<P> {
  /** The last before anything failed. */
  readonly through: Delivery<P> | undefined
  readonly failed: Delivery<P> | undefined
  readonly last: Delivery<P>
}

/** A handler that runs, or a run of those that have ended behind one that still runs. */
interface Entry<P> {
  readonly delivery: Delivery<P>
  ended: Run<P> | undefined
  before: Entry<P> | undefined
  after: Entry<P> | undefined
}

/**
 * Handlers that run at the same time end in any order: an event is processed through only when all before it are. Those
 * that failed hold the position until each has been tried again with success, or the first of them is delivered anew. What
 * is kept does not grow behind a handler that hangs.
 */
export class Completions<P> {
  readonly #order: PositionOrder<P>
  #first: Entry<P> | undefined
  #last: Entry<P> | undefined
  /** The first of those that hold the position. */
  #failed: Delivery<P> | undefined
  /** How far all have ended while the position is held. */
  #held: Delivery<P> | undefined
  /** How many have failed, and have not been tried again with success. */
  #failures = 0
  /** Their items. */
  #failedItems = new WeakSet<object>()

  constructor(order: PositionOrder<P>) {
    this.#order = order
  }

  /** How much is kept. */
  get kept(): number {
    let count = 0
    for (let entry = this.#first; entry !== undefined; entry = entry.after) count++
    return count
  }

  /** Whether a handler has failed at this very item, so that it is tried again and not delivered anew. */
  hasFailedAt(item: unknown): boolean {
    return isObject(item) && this.#failedItems.has(item)
  }

  /** Returns what is to be called once, when the handler has ended. */
  begin(delivery: Delivery<P>, item?: unknown): (outcome: 'done' | 'failed') => Handled<P> {
    const end = this.hasFailedAt(item) ? this.#tryAgain(item) : this.#beginNew(delivery, item)
    return (outcome) => ({
      hasFailed: outcome === 'failed',
      through: end(outcome),
      oldestInHand: this.#failed ?? this.#first?.delivery,
      isHeld: this.#failed !== undefined,
    })
  }

  #beginNew(delivery: Delivery<P>, item: unknown): (outcome: 'done' | 'failed') => Delivery<P> | undefined {
    if (this.#comesAgain(delivery)) this.#beginAnew()
    const failedItems = this.#failedItems
    const entry: Entry<P> = { delivery, ended: undefined, before: this.#last, after: undefined }
    if (this.#last) this.#last.after = entry
    else this.#first = entry
    this.#last = entry
    return (outcome) => {
      // Everything from the failed one on has been delivered anew since: what becomes of that is what counts.
      if (failedItems !== this.#failedItems) return undefined
      if (outcome === 'failed') {
        this.#failures++
        if (isObject(item)) failedItems.add(item)
      }
      return this.#end(entry, outcome)
    }
  }

  /** It holds the position meanwhile, so that it need not stand among the others. */
  #tryAgain(item: unknown): (outcome: 'done' | 'failed') => Delivery<P> | undefined {
    return (outcome) => {
      if (outcome === 'failed' || !isObject(item) || !this.#failedItems.delete(item)) return undefined
      this.#failures--
      if (this.#failures > 0) return undefined
      const held = this.#held
      this.#failed = undefined
      this.#held = undefined
      return held
    }
  }

  #comesAgain({ position }: Delivery<P>): boolean {
    const failedAt = this.#failed?.position
    return failedAt !== undefined && position !== undefined && isReached(this.#order, position, failedAt)
  }

  /** All that is kept came after the one that failed. */
  #beginAnew(): void {
    this.#first = undefined
    this.#last = undefined
    this.#failed = undefined
    this.#held = undefined
    this.#failures = 0
    this.#failedItems = new WeakSet()
  }

  /** The last delivery that the position may move to now. */
  #end(entry: Entry<P>, outcome: 'done' | 'failed'): Delivery<P> | undefined {
    const { delivery, before, after } = entry
    entry.ended =
      outcome === 'done'
        ? { through: delivery, failed: undefined, last: delivery }
        : { through: undefined, failed: delivery, last: delivery }
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
    return this.#moveTo(entry.ended)
  }

  #moveTo({ through, failed, last }: Run<P>): Delivery<P> | undefined {
    const wasHeld = this.#failed !== undefined
    // Where all that had failed has meanwhile been mended, nothing holds.
    if (this.#failures === 0) return last
    this.#failed ??= failed
    if (this.#failed !== undefined) this.#held = last
    return wasHeld ? undefined : through
  }

  #remove({ before, after }: Entry<P>): void {
    if (before) before.after = after
    else this.#first = after
    if (after) after.before = before
    else this.#last = before
  }
}

function join<P>(a: Run<P>, b: Run<P>): Run<P> {
  if (a.failed) return { ...a, last: b.last }
  return { through: b.through ?? a.through, failed: b.failed, last: b.last }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
