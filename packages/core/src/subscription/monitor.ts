import { inBackground } from '../telemetry/background.ts'
import { subscriptionGauges } from '../telemetry/gauge-readings.ts'
import { AttachedSubscription } from './attached-subscription.ts'
import { LifecycleKeeper } from './lifecycle-keeper.ts'
import type { ResolvedMonitorOptions } from './options.ts'
import type { Probe } from './probe.ts'
import { ProgressKeeper } from './progress-keeper.ts'
import { SubscriptionReports } from './reports.ts'
import type { FailureRow } from './resubscription.ts'
import { StallWarning } from './stall-warning.ts'
import { type Standing, statusOf } from './standing.ts'
import { StartMonitor } from './start-monitor.ts'
import type { SubscriptionStatus } from './status.ts'
import { StoreReadings } from './store-readings.ts'

/** Counters, and the look for a stall, follow within this time. */
const LOOK_EVERY_MS = 1_000

/**
 * Monitors one subscription, or several that follow each other, from `begin` to the end, which is where its timer ends too.
 * It takes in what the instruments tell it (`Probe`), lets the pure parts decide, and reports. Whatever goes wrong in here
 * stays in here.
 */
export class Monitor<P, Item> implements Probe {
  readonly #options: ResolvedMonitorOptions<P, Item>
  readonly #reports: SubscriptionReports<P, Item>
  readonly #life: LifecycleKeeper
  readonly #events: ProgressKeeper<P, Item>
  readonly #store: StoreReadings<P>
  readonly #start: StartMonitor<P>
  #stallWarning: StallWarning<P>
  #attached: AttachedSubscription | undefined
  #beganAtEnd: boolean
  #startedAtMs: number | undefined

  /** `failures`: where other subscriptions follow one that was dropped. */
  constructor(options: ResolvedMonitorOptions<P, Item>, failures?: FailureRow) {
    const { source, from } = options
    this.#options = options
    this.#beganAtEnd = from === 'end'
    this.#stallWarning = new StallWarning(options)
    const reports = new SubscriptionReports(options, () =>
      subscriptionGauges(this.status(), source.order.approximate),
    )
    this.#reports = reports
    this.#life = new LifecycleKeeper({
      ...options,
      reports,
      failures,
      onOver: () => {
        this.closed()
        reports.leave()
      },
    })
    this.#events = new ProgressKeeper({ source, reports, state: () => this.#life.now.state })
    this.#store = new StoreReadings({
      options,
      life: this.#life,
      standing: () => this.#standing(),
      quietly: (work) => reports.quietly(work),
    })
    this.#start = new StartMonitor({ ...options, onBeyond: (error) => this.#fail(error) })
    this.#beginAt(from === 'start' || from === 'end' ? undefined : from)
  }

  get isAttached(): boolean {
    return this.#attached !== undefined
  }

  /** Whether no other subscription is to follow. */
  get isOver(): boolean {
    return this.#life.now.stage === 'over'
  }

  attach(subscription: object): void {
    const attached = new AttachedSubscription(subscription, (error) => this.dropped(error))
    this.#attached = attached
    if (attached.isPersistent) this.#beginAt(undefined)
    if (!attached.isConfirmed) this.confirmed()
  }

  /**
   * The subscription has ended, and another one is to be made, which `attach` is then told of. Returns where
   * it has to begin: what is processed; `undefined` is the start. Whoever asks for the next event has processed all that was
   * handed over, so nothing is in hand.
   */
  nextRound(): P | undefined {
    const { processedTo } = this.#events.progress
    this.#attached = undefined
    this.#life.another()
    this.#store.resume()
    this.#stallWarning = new StallWarning(this.#options)
    this.#start.beginAt(processedTo)
    if (this.#startedAtMs !== undefined) inBackground(() => this.#checkStart())
    return processedTo
  }

  /** Of what was to begin at the end: where that was. */
  beginAtEnd(head: P | undefined): void {
    this.#events.beginAt(head)
    this.#beganAtEnd = false
  }

  expectFilter(): void {
    this.#start.expectFilter()
  }

  begin(): void {
    if (this.#startedAtMs !== undefined || this.isOver) return
    this.#startedAtMs = this.#options.clock.nowMs()
    inBackground(() => {
      // What happened meanwhile was kept back.
      void this.#reports.open(this.#isPersistent).then(() => this.closed())
      this.#checkStart()
      void this.#lookNowAndThen()
    })
  }

  /** Ends it and withdraws what it shows; the subscription goes on. */
  stop(): void {
    this.#life.end('end')
    this.#reports.close()
  }

  /** The consumer leaves: no subscription is to follow. */
  giveUp(): void {
    this.#life.end('give_up')
  }

  delivered(item: unknown): void {
    this.#reports.quietly(() => {
      const { position } = this.#events.delivered(item as Item, this.#isPersistent)
      if (this.isAttached) this.#start.arrived(position)
      this.#life.eventCame()
    })
  }

  iterating(): void {
    this.begin()
    this.#events.iterating()
  }

  cameBack(): void {
    this.#reports.quietly(() => this.#events.cameBack())
  }

  orFailure<T>(coming: Promise<T>): Promise<T> {
    return this.#attached?.orFailure(coming, !this.#start.isOver) ?? coming
  }

  /** A handler was called; returns what is to be called once, when it has ended. */
  handling(item: Item): (outcome: 'done' | 'failed') => void {
    this.begin()
    const isNew = this.#events.calling(item)
    if (isNew && !this.isAttached) this.delivered(item)
    return this.#events.handling(item, this.#isPersistent)
  }

  /** As `ProgressKeeper.checkpointReached`. */
  checkpointReached(position: P, buffered: number): boolean {
    const isPosition = this.#events.checkpointReached(position, buffered)
    if (isPosition) this.confirmed()
    return isPosition
  }

  confirmed(): void {
    this.#life.confirmed()
  }

  serverSays(phase: 'caught_up' | 'fell_behind'): void {
    this.#life.serverSays(phase)
  }

  acknowledged(action: string, events: readonly unknown[]): void {
    this.#reports.quietly(() => {
      this.#reports.acknowledged(action, events.length)
      if (action === 'skip' || action === 'park') this.#events.gaveUp(events as readonly Item[])
      if (this.isOver) this.closed()
    })
  }

  dropped(error: unknown): void {
    this.#life.dropped(error)
  }

  ended(): void {
    this.#life.endedSilently()
  }

  left(): void {
    this.#life.left()
  }

  closed(): void {
    this.#reports.quietly(() => this.#reports.tell(this.#events.progress))
  }

  unsubscribeFailed(error: unknown): void {
    this.#life.unsubscribeFailed(error)
  }

  status(): SubscriptionStatus<P> {
    return statusOf(this.#standing(), {
      projection: this.#options.projection,
      skipped: this.#reports.skipped,
    })
  }

  #standing(): Standing<P> {
    const { source, clock, headIntervalMs, stallAfterMs } = this.#options
    return {
      nowMs: clock.nowMs(),
      order: source.order,
      progress: this.#events.progress,
      head: this.#store.head,
      group: this.#store.group,
      lifecycle: this.#life.now,
      consumption: this.#events.consumption,
      isPersistent: this.#isPersistent,
      isFiltered: this.#start.isFiltered,
      isBuffered: this.#attached?.isBuffered ?? false,
      beganAtEnd: this.#beganAtEnd,
      startedAtMs: this.#startedAtMs,
      headGoodForMs: 2 * headIntervalMs + LOOK_EVERY_MS,
      stallAfterMs,
    }
  }

  get #isPersistent(): boolean {
    return this.#attached?.isPersistent ?? false
  }

  #beginAt(from: P | undefined): void {
    this.#events.beginAt(from)
    this.#start.beginAt(from)
  }

  #checkStart(): void {
    void this.#start.run(this.#life.round)
  }

  async #lookNowAndThen(): Promise<void> {
    const { clock, headIntervalMs } = this.#options
    const { over } = this.#life
    while (!over.aborted) {
      this.#reports.quietly(() => this.#look())
      await clock.sleep(Math.min(LOOK_EVERY_MS, headIntervalMs), over, { unref: true })
    }
  }

  #look(): void {
    if (this.#attached?.isCollected) this.left()
    this.#reports.tell(this.#events.progress)
    if (this.#life.now.state !== 'dropped') this.#stallWarning.look(this.#standing())
    if (!this.isOver) this.#store.readWhenDue()
  }

  /** Where no subscription is wrapped (`monitorHandler`), it can only be logged. */
  #fail(error: Error): void {
    if (this.#attached) this.#attached.fail(error)
    else this.#options.logger.error(`tidemark: ${error.message}`)
  }
}
