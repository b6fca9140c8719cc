import { isReached, laterOf, type PositionOrder } from '../ports/position.ts'
import type { Delivery } from '../ports/subscription-source.ts'
import { Deliveries, type Run } from './deliveries.ts'
import type { Handled } from './progress.ts'

/**
 * Handlers that run at the same time end in any order. The position moves to an event when it and all before it have
 * ended well. Events that failed hold the position until each has been retried with success, or the first of them is
 * delivered again. If an event is delivered again while its handler runs (an old and a new subscription overlap), the
 * last call counts. A handler that hangs does not make the kept state grow.
 */
export class Completions<P> {
  readonly #order: PositionOrder<P>
  readonly #deliveries: Deliveries<P>
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
    this.#deliveries = new Deliveries(order)
  }

  /** How much is kept. */
  get kept(): number {
    return this.#deliveries.size
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
        oldestInHand: this.#failed ?? this.#deliveries.oldest,
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
    // What still runs of an earlier delivery of the same event.
    const running =
      isReachedBy(this.#order, position, this.#deliveredTo) && this.#deliveries.runningAt(position)
    this.#deliveredTo = laterOf(this.#order, this.#deliveredTo, position)
    const entry = running || this.#deliveries.append(delivery)
    const call = ++entry.calls
    return (outcome) => {
      // It was delivered again since: the outcome of that delivery counts.
      if (entry.isRemoved || entry.calls !== call) return undefined
      if (outcome === 'failed' && isObject(item)) this.#failedItems.add(item)
      if (outcome === 'failed' && holds) this.#noteFailure(delivery)
      const run = this.#deliveries.end(entry, holds ? outcome : 'done')
      return run && this.#moveTo(run)
    }
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
    this.#deliveries.keepRunningBefore(position)
  }

  #forgetFailures(): void {
    this.#failed = undefined
    this.#held = undefined
    this.#failures = 0
    this.#lowestFailed = undefined
    this.#highestFailed = undefined
    this.#failedItems = new WeakSet()
  }

  #moveTo({ through, failed, last }: Run<P>): Delivery<P> | undefined {
    const wasHeld = this.#failed !== undefined
    // Nothing holds the position any more once every failed event has succeeded.
    if (this.#failures === 0) return last
    this.#failed ??= failed
    if (this.#failed !== undefined) this.#held = last
    return wasHeld ? undefined : through
  }
}

/** Unlike `isReached`, both positions are known. */
function isReachedBy<P>(order: PositionOrder<P>, position: P | undefined, by: P | undefined): position is P {
  return position !== undefined && isReached(order, position, by)
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
