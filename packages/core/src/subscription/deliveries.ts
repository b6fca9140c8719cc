import { isReached, type PositionOrder } from '../ports/position.ts'
import type { Delivery } from '../ports/subscription-source.ts'

/** The outcome of consecutive deliveries that have all ended. */
export interface Run<P> {
  /** The last before anything failed. */
  readonly through: Delivery<P> | undefined
  readonly failed: Delivery<P> | undefined
  readonly last: Delivery<P>
}

/** A running handler, or several that have ended behind one that still runs. */
export interface Entry<P> {
  readonly delivery: Delivery<P>
  /** How often it was delivered. */
  calls: number
  ended: Run<P> | undefined
  isRemoved: boolean
  before: Entry<P> | undefined
  after: Entry<P> | undefined
}

/**
 * Deliveries in their order, from the oldest whose handler runs. Those that have ended behind it are joined to one entry, so
 * that a handler that hangs does not make this grow.
 */
export class Deliveries<P> {
  readonly #order: PositionOrder<P>
  #first: Entry<P> | undefined
  #last: Entry<P> | undefined

  constructor(order: PositionOrder<P>) {
    this.#order = order
  }

  /** The oldest whose handler runs. */
  get oldest(): Delivery<P> | undefined {
    return this.#first?.delivery
  }

  /** How many entries there are. */
  get size(): number {
    return [...this.#entries()].length
  }

  append(delivery: Delivery<P>): Entry<P> {
    const before = this.#last
    const entry: Entry<P> = {
      delivery,
      calls: 0,
      ended: undefined,
      isRemoved: false,
      before,
      after: undefined,
    }
    if (before) before.after = entry
    else this.#first = entry
    this.#last = entry
    return entry
  }

  /** The entry of that position whose handler still runs. */
  runningAt(position: P): Entry<P> | undefined {
    for (const entry of this.#entries()) {
      const at = entry.delivery.position
      if (!entry.ended && at !== undefined && this.#order.compare(at, position) === 0) return entry
    }
    return undefined
  }

  /** Everything from `position` on is delivered again: only what still runs of before that is kept. */
  keepRunningBefore(position: P): void {
    for (const entry of this.#entries()) {
      const comesAgain = isReached(this.#order, position, entry.delivery.position)
      if (entry.ended || comesAgain) this.#remove(entry)
    }
  }

  /** Its handler has ended. Returns what has ended from the oldest on, where the oldest now has. */
  end(entry: Entry<P>, outcome: 'done' | 'failed'): Run<P> | undefined {
    const { delivery, before, after } = entry
    entry.ended =
      outcome === 'done'
        ? { through: delivery, failed: undefined, last: delivery }
        : { through: undefined, failed: delivery, last: delivery }
    if (before?.ended) {
      entry.ended = this.#join(before.ended, entry.ended)
      this.#remove(before)
    }
    if (after?.ended) {
      entry.ended = this.#join(entry.ended, after.ended)
      this.#remove(after)
    }
    if (this.#first !== entry) return undefined
    this.#remove(entry)
    return entry.ended
  }

  *#entries(): Iterable<Entry<P>> {
    for (let entry = this.#first; entry !== undefined; entry = entry.after) yield entry
  }

  #remove(entry: Entry<P>): void {
    const { before, after } = entry
    entry.isRemoved = true
    if (before) before.after = after
    else this.#first = after
    if (after) after.before = before
    else this.#last = before
  }

  #join(a: Run<P>, b: Run<P>): Run<P> {
    const last = this.#further(a.last, b.last)
    if (a.failed) return { ...a, last }
    return { through: this.#further(a.through, b.through), failed: b.failed, last }
  }

  /** What was delivered later need not be further: it may have been delivered again, behind what still ran. */
  #further<D extends Delivery<P> | undefined>(earlier: D, later: D): D {
    if (later?.position === undefined) return later ?? earlier
    const before = earlier?.position
    return before !== undefined && this.#order.compare(later.position, before) < 0 ? earlier : later
  }
}
