import type { CrossedRun } from '../ports/checkpoint-store.ts'
import type { SkipReason, SkipTotals } from '../ports/stored-unit.ts'
import type { GaugeReading } from '../telemetry/metrics.ts'
import { quietly } from '../telemetry/quietly.ts'
import { startSubscriptionAtZero } from '../telemetry/report-metrics.ts'
import { TelemetrySession } from '../telemetry/session.ts'
import { takeOver } from './handover.ts'
import type { ResolvedMonitorOptions } from './options.ts'
import type { Progress } from './progress.ts'
import { describeSkip, type Skip, SkipTally } from './skip-tally.ts'
import { ACKNOWLEDGE_ACTIONS, type SubscriptionState } from './status.ts'

/** Counters are updated when this many events have come, and now and then. */
const MOST_UNREPORTED = 1_000

/**
 * What one wrapped subscription reports. Reports are added up, so that no event costs a call, and wait until telemetry
 * is open.
 */
export class SubscriptionReports<P, Item> {
  readonly #options: ResolvedMonitorOptions<P, Item>
  readonly #session: TelemetrySession<P, Item>
  #isPersistent = false
  #isOpen = false
  #leave: ((withdraw: () => void) => void) | undefined
  #delivered = 0
  #processed = 0
  #delayMs: number | undefined
  #waiting: (() => void)[] = []
  readonly #skips = new SkipTally<Item>()
  readonly #acknowledged = new Map<string, number>()

  constructor(options: ResolvedMonitorOptions<P, Item>, gauges: () => Iterable<GaugeReading>) {
    const { source, projection } = options
    this.#options = options
    this.#session = new TelemetrySession<P, Item>({
      ...options,
      source: source.name,
      order: source.order,
      projections: [projection],
      startAtZero: (recorder) =>
        startSubscriptionAtZero(recorder, projection, {
          skips: this.#possibleSkips(),
          actions: this.#isPersistent ? ACKNOWLEDGE_ACTIONS : [],
        }),
      gauges,
    })
  }

  /** Since the subscription was wrapped. */
  get skipped(): SkipTotals {
    return this.#skips.totals
  }

  async open(isPersistent: boolean): Promise<void> {
    this.#isPersistent = isPersistent
    await this.#session.open(this).catch((error: unknown) => this.#session.onError(error))
    const { recorder } = this.#session
    if (recorder) this.#leave = takeOver(recorder, this.#options.projection)
    this.#isOpen = true
    for (const tell of this.#waiting.splice(0)) tell()
  }

  /** Its gauges stay until another subscription of the projection takes over. */
  leave(): void {
    this.#whenOpen(() => {
      if (this.#leave) this.#leave(() => this.#session.close(this))
      else this.#session.close(this)
    })
  }

  /** Withdraws its gauges. */
  close(): void {
    this.#session.close(this)
  }

  /** What goes wrong there is counted, and goes no further. */
  quietly<T>(work: () => T): T | undefined {
    return quietly(work, this.#session.onError)
  }

  /** Of events that are reported together, reports the delay of the first, while the subscription is live. */
  processing(appendedAtMs: number | undefined, state: SubscriptionState): void {
    if (this.#delayMs !== undefined || appendedAtMs === undefined || state !== 'live') return
    this.#delayMs = Math.max(0, this.#options.clock.nowMs() - appendedAtMs)
  }

  skippedAt(run: CrossedRun, item: Item): void {
    const skip = this.#skips.add(run, item)
    if (skip) this.#tellSkip(skip)
  }

  acknowledged(action: string, events: number): void {
    this.#acknowledged.set(action, (this.#acknowledged.get(action) ?? 0) + events)
  }

  isDue({ delivered, processed }: Progress<P>): boolean {
    return delivered - this.#delivered >= MOST_UNREPORTED || processed - this.#processed >= MOST_UNREPORTED
  }

  /** Tells all that has added up. */
  tell(progress: Progress<P>): void {
    this.tellProgress(progress)
    const { projection } = this.#options
    for (const [action, events] of this.#acknowledged) {
      this.#whenOpen(() => this.#session.telemetry.eventsAcknowledged({ projection, action, events }))
    }
    this.#acknowledged.clear()
    for (const skip of this.#skips.takeUntold()) this.#tellSkip(skip)
  }

  tellProgress({ delivered, processed, processedTo }: Progress<P>): void {
    if (!this.#isOpen || (delivered === this.#delivered && processed === this.#processed)) return
    this.#session.telemetry.subscriptionProgressed({
      projection: this.#options.projection,
      delivered: delivered - this.#delivered,
      processed: processed - this.#processed,
      through: processedTo === undefined ? undefined : this.#options.source.order.format(processedTo),
      delayMs: this.#delayMs,
    })
    this.#delivered = delivered
    this.#processed = processed
    this.#delayMs = undefined
  }

  dropped(reason: string, error: unknown): void {
    const { projection } = this.#options
    this.#whenOpen(() => this.#session.telemetry.subscriptionDropped({ projection, reason, error }))
  }

  entered(state: SubscriptionState): void {
    const { projection } = this.#options
    this.#whenOpen(() => this.#session.telemetry.projectionStateChanged({ projection, state }))
  }

  #tellSkip({ run, item, isOneRun }: Skip<Item>): void {
    const { projection, source, logger } = this.#options
    logger.warn(`tidemark: projection "${projection}" ${describeSkip(run, source.name)}`)
    this.#whenOpen(() => {
      this.#session.telemetry.skipped({ projection, crossed: [run], totals: this.skipped })
      this.#session.tracing.skipped({ projection, run, isCounted: true, isOneRun, nextEvent: item })
    })
  }

  #whenOpen(tell: () => void): void {
    if (this.#isOpen) tell()
    else this.#waiting.push(tell)
  }

  #possibleSkips(): readonly SkipReason[] {
    if (this.#isPersistent) return ['unknown_event', 'apply_error']
    return this.#options.source.yieldsEveryPosition ? ['unknown_event', 'truncated'] : ['unknown_event']
  }
}
