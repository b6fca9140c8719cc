import { isPosition } from '../ports/position.ts'
import type { Delivery } from '../ports/subscription-source.ts'
import { Completions } from './completions.ts'
import type { ResolvedMonitorOptions } from './options.ts'
import {
  checkpoint,
  deliver,
  handle,
  type Progress,
  processAll,
  startProgress,
  tryAgain,
} from './progress.ts'
import type { SubscriptionReports } from './reports.ts'
import { runAt, skipAt } from './skips.ts'
import type { Standing } from './standing.ts'
import type { SubscriptionState } from './status.ts'

interface ProgressKeeperParts<P, Item> {
  readonly source: ResolvedMonitorOptions<P, Item>['source']
  readonly reports: SubscriptionReports<P, Item>
  readonly state: () => SubscriptionState
}

/** Moves the progress by what happens to events, and reports it. */
export class ProgressKeeper<P, Item> {
  readonly #parts: ProgressKeeperParts<P, Item>
  readonly #completions: Completions<P>
  #progress: Progress<P> = startProgress<P>(undefined)
  #consumption: Standing<P>['consumption'] = 'unseen'

  constructor(parts: ProgressKeeperParts<P, Item>) {
    this.#parts = parts
    this.#completions = new Completions(parts.source.order)
  }

  get progress(): Progress<P> {
    return this.#progress
  }

  get consumption(): Standing<P>['consumption'] {
    return this.#consumption
  }

  beginAt(from: P | undefined): void {
    this.#progress = startProgress(from)
  }

  delivered(item: Item, isPersistent: boolean): Delivery<P> {
    const { source, reports } = this.#parts
    const delivery = source.describe(item)
    const isGapless = source.yieldsEveryPosition && !isPersistent
    const skips = skipAt(this.#progress, delivery, source.order, isGapless)
    this.#progress = deliver(this.#progress, delivery, source.order)
    for (const run of skips) reports.skippedAt(run, item)
    this.#reportWhenDue()
    return delivery
  }

  iterating(): void {
    if (this.#consumption === 'unseen') this.#consumption = 'iterated'
  }

  /** An iterator came back for the next. */
  cameBack(): void {
    if (this.#consumption !== 'iterated' || this.#progress.inHand === 0) return
    const { source, reports, state } = this.#parts
    reports.processing(this.#progress.inHandAppendedAtMs, state())
    this.#progress = processAll(this.#progress, source.order)
    this.#reportWhenDue()
  }

  /** A handler is about to be called with this item. Returns whether it is new: neither in hand, nor one that it failed at. */
  calling(item: Item): boolean {
    this.#consumption = 'handled'
    if (this.#completions.isRunningWith(item)) return false
    if (!this.#completions.hasFailedAt(item)) return true
    this.#progress = tryAgain(this.#progress)
    return false
  }

  /** Returns what is to be called once, when the handler has ended. */
  handling(item: Item, isPersistent: boolean): (outcome: 'done' | 'failed') => void {
    const { source, reports, state } = this.#parts
    const begun = reports.quietly(() => {
      const delivery = source.describe(item)
      // What comes of an event that a group's consumer failed at, and to whom it comes next, is for the server to say.
      return { delivery, end: this.#completions.begin(delivery, item, !isPersistent) }
    })
    return (outcome) =>
      reports.quietly(() => {
        if (begun === undefined) return
        if (outcome === 'done') reports.processing(begun.delivery.appendedAtMs, state())
        this.#progress = handle(this.#progress, begun.end(outcome), source.order)
        this.#reportWhenDue()
      })
  }

  /**
   * The filter has looked at everything up to `position`, of which `buffered` events have not been handed over. Returns
   * whether that is a position: some servers give one that is none.
   */
  checkpointReached(position: P, buffered: number): boolean {
    const { order } = this.#parts.source
    if (!isPosition(order, position)) return false
    this.#parts.reports.quietly(() => {
      this.#progress = checkpoint(this.#progress, position, buffered, order)
    })
    return true
  }

  /** The consumer has given these up (`nack`). */
  gaveUp(items: readonly Item[]): void {
    const { source, reports } = this.#parts
    for (const item of items) {
      const delivery = source.describe(item)
      // A link without its event was counted when it came.
      if (delivery.hasEvent) reports.skippedAt(runAt(delivery, source.order, 'apply_error'), item)
    }
  }

  #reportWhenDue(): void {
    const { reports } = this.#parts
    if (reports.isDue(this.#progress)) reports.tellProgress(this.#progress)
  }
}
