import { isReached, laterOf, type PositionOrder } from '../ports/position.ts'
import type { Delivery } from '../ports/subscription-source.ts'
import type { Handled } from './progress.ts'

/** The outcome of consecutive deliveries that have all ended. */
interface Run<P> {
  /** The last before anything failed. */
  readonly through: Delivery<P> | undefined
  readonly failed: Delivery<P> | undefined
  readonly last: Delivery<P>
}

/** A running handler, or several that have ended behind one that still runs. */
interface Entry<P> {
  readonly delivery: Delivery<P>
  /** How often it was delivered. */
  calls: number
  ended: Run<P> | undefined
  isRemoved: boolean
  before: Entry<P> | undefined
  after: Entry<P> | undefined
}

/**
 * Handlers that run at the same time end in any order. The position moves to an event when it and all before it have
 * ended well. Events that failed hold the position until each has been retried with success, or the first of them is
 * delivered again. If an event is delivered again while its handler runs (an old and a new subscription overlap), the
 * last call counts. A handler that hangs does not make the kept state grow.
 */
export class Completions<P> {
  readonly #order: PositionOrder<P>
  #first: Entry<P> | undefined
  #last: Entry<P> | undefined
  /** The furthest that was delivered. */
  #deliveredTo: P | undefined
  /** The first of those that hold the position. */
  #failed: Delivery<P> | undefined
  /** How far all have ended while the position is held. */
  #held: Delivery<P> | undefined
  /** How many have failed, and have not been tried again with success. */
  #failures = 0
  /** If delivery begins again from here, all of them come again. Some may stand behind one that still runs. */
  #lowestFailed: P | undefined
  #highestFailed: P | undefined
  /** Their items. */
  #failedItems = new WeakSet<object>()
  /** The last call with each item whose handler runs. */
  readonly #running = new WeakMap<object, symbol>()

  constructor(order: PositionOrder<P>) {
    this.#order = order
  }

  /** How much is kept. */
  get kept(): number {
    return [...this.#entries()].length
  }

  /** Whether a handler failed at this very item: a call with it is then a retry, not a new delivery. */
  hasFailedAt(item: unknown): boolean {
    return isObject(item) && this.#failedItems.has(item)
  }

  /** Whether a call with this item still runs. Who calls again has given that one up, as after a time limit. */
  isRunningWith(item: unknown): boolean {
    return isObject(item) && this.#running.has(item)
  }

  /**
   * Returns a function to be called once, when the handler has ended. `holds`: whether the position waits for one that
   * failed.
   */
  begin(delivery: Delivery<P>, item?: unknown, holds = true): (outcome: 'done' | 'failed') => Handled<P> {
    const isAgain = holds && this.hasFailedAt(item)
    const end = isAgain ? this.#tryAgain(delivery, item) : this.#beginNew(delivery, item, holds)
    const call = Symbol('call')
    if (isObject(item)) this.#running.set(item, call)
    return (outcome) => {
      const isGivenUp = isObject(item) && this.#running.get(item) !== call
      if (isObject(item) && !isGivenUp) this.#running.delete(item)
      return {
        isGivenUp,
        hasFailed: outcome === 'failed',
        through: end(outcome),
        oldestInHand: this.#failed ?? this.#first?.delivery,
        isHeld: this.#failed !== undefined,
      }
    }
  }

  #beginNew(
    delivery: Delivery<P>,
    item: unknown,
    holds: boolean,
  ): (outcome: 'done' | 'failed') => Delivery<P> | undefined {
    const { position } = delivery
    if (isReachedBy(this.#order, position, this.#lowestFailed)) this.#beginAnew(position)
    const running = isReachedBy(this.#order, position, this.#deliveredTo) && this.#runningAt(position)
    this.#deliveredTo = laterOf(this.#order, this.#deliveredTo, position)
    const entry = running || this.#append(delivery)
    const call = ++entry.calls
    return (outcome) => {
      // It was delivered again since: the outcome of that delivery counts.
      if (entry.isRemoved || entry.calls !== call) return undefined
      if (outcome === 'failed' && isObject(item)) this.#failedItems.add(item)
      if (outcome === 'failed' && holds) this.#noteFailure(delivery)
      return this.#end(entry, holds ? outcome : 'done')
    }
  }

  #append(delivery: Delivery<P>): Entry<P> {
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

  /** What still runs of an earlier delivery of the same event. */
  #runningAt(position: P): Entry<P> | undefined {
    for (const entry of this.#entries()) {
      const at = entry.delivery.position
      if (!entry.ended && at !== undefined && this.#order.compare(at, position) === 0) return entry
    }
    return undefined
  }

  #noteFailure({ position }: Delivery<P>): void {
    this.#failures++
    const isLower = this.#lowestFailed === undefined || isReachedBy(this.#order, position, this.#lowestFailed)
    if (isLower) this.#lowestFailed = position
    this.#highestFailed = laterOf(this.#order, this.#highestFailed, position)
  }

  /** It holds the position, so it need not be among the others. */
  #tryAgain(
    { position }: Delivery<P>,
    item: unknown,
  ): (outcome: 'done' | 'failed') => Delivery<P> | undefined {
    return (outcome) => {
      if (outcome === 'failed' || !isObject(item) || !this.#failedItems.delete(item)) return undefined
      this.#failures--
      if (this.#failures > 0) {
        // Where the others stand is not kept, so that it cannot grow.
        if (isReachedBy(this.#order, position, this.#lowestFailed)) this.#lowestFailed = this.#highestFailed
        return undefined
      }
      const held = this.#held
      this.#forgetFailures()
      return held
    }
  }

  /**
   * Everything from `position` on is delivered again, and with it all that has failed. Only what came before counts.
   */
  #beginAnew(position: P): void {
    this.#forgetFailures()
    for (const entry of this.#entries()) {
      const comesAgain = isReached(this.#order, position, entry.delivery.position)
      if (entry.ended || comesAgain) this.#remove(entry)
    }
  }

  #forgetFailures(): void {
    this.#failed = undefined
    this.#held = undefined
    this.#failures = 0
    this.#lowestFailed = undefined
    this.#highestFailed = undefined
    this.#failedItems = new WeakSet()
  }

  *#entries(): Iterable<Entry<P>> {
    for (let entry = this.#first; entry !== undefined; entry = entry.after) yield entry
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
    // Nothing holds the position any more once every failed event has succeeded.
    if (this.#failures === 0) return last
    this.#failed ??= failed
    if (this.#failed !== undefined) this.#held = last
    return wasHeld ? undefined : through
  }

  #remove(entry: Entry<P>): void {
    const { before, after } = entry
    entry.isRemoved = true
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

/** Unlike `isReached`, both positions are known. */
function isReachedBy<P>(order: PositionOrder<P>, position: P | undefined, by: P | undefined): position is P {
  return position !== undefined && isReached(order, position, by)
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
