import { AsyncResource } from 'node:async_hooks'
import { CheckpointBeyondHeadError, hasCode, messageOf } from '../kernel/errors.ts'
import { isPosition } from '../ports/position.ts'
import type { ConsumerGroup } from '../ports/subscription-source.ts'
import { inBackground } from '../telemetry/background.ts'
import { subscriptionGauges } from '../telemetry/gauge-readings.ts'
import { Completions } from './completions.ts'
import {
  type HeadHistory,
  observeHead,
  observeNothingLeft,
  phaseOf,
  resumeHeadHistory,
  startHeadHistory,
} from './head-history.ts'
import { isConfirmed, isPersistent, isStream, type Probe } from './instrument.ts'
import type { ResolvedMonitorOptions } from './options.ts'
import { PeriodicReader } from './periodic-reader.ts'
import {
  checkpoint,
  deliver,
  handle,
  type Progress,
  processAll,
  reachedBy,
  runAt,
  skipAt,
  startProgress,
  tryAgain,
} from './progress.ts'
import { describeDrop, SubscriptionReports } from './reports.ts'
import { StallWarning } from './stall-warning.ts'
import { isHeadOurs, isStalled, lagMsOf, lagPositionsOf, positionOf, type Standing } from './standing.ts'
import { type BeyondHead, describeBeyondHead } from './start-check.ts'
import { StartMonitor } from './start-monitor.ts'
import {
  BEYOND_HEAD,
  nextState,
  SILENT_END,
  type SubscriptionSignal,
  type SubscriptionState,
  type SubscriptionStatus,
} from './status.ts'

/** Counters, and the look for a stall, follow within this time. */
const LOOK_EVERY_MS = 1_000

/** Where a drop is not the end, because another subscription follows: see resubscribing.ts. */
export interface Resubscription {
  /** Whether another one is to follow one that ended with this error; `undefined`: without one. */
  follows(error: unknown): boolean
  failed(reason: string, error: unknown): void
  /** An event has come, or it is live. */
  recovered(): void
}

/**
 * Monitors one subscription, or several that follow each other, from `begin` to the end, which is where its timer ends too.
 * It takes in what the instruments tell it (`Probe`), lets the pure parts decide, and reports. Whatever goes wrong in here
 * stays in here.
 */
export class Monitor<P, Item> implements Probe {
  readonly #options: ResolvedMonitorOptions<P, Item>
  readonly #reports: SubscriptionReports<P, Item>
  readonly #headReader: PeriodicReader<{ readonly head: P | undefined } | 'nothing left'>
  readonly #groupReader: PeriodicReader<ConsumerGroup<P> | undefined>
  readonly #completions: Completions<P>
  readonly #resubscription: Resubscription | undefined
  readonly #over = new AbortController()
  readonly #start: StartMonitor<P>
  /** Of the present subscription: fires when it has been dropped, or all is over. */
  #round = new AbortController()
  #progress: Progress<P>
  #head: HeadHistory<P> = startHeadHistory()
  #stallWarning: StallWarning<P>
  #state: SubscriptionState = 'catching_up'
  #consumption: Standing<P>['consumption'] = 'unseen'
  /** Weak, so that one that nobody holds any more can be collected. */
  #subscription: WeakRef<object> | undefined
  #isPersistent = false
  #group: ConsumerGroup<P> | undefined
  #isFiltered: boolean
  #beganAtEnd: boolean
  /** Since a drop, no event has come, nor was it live. */
  #isFailing = false
  /** Whether the server says itself when everything older was delivered. */
  #serverTells = false
  /** Ends the subscription with that error. Where none is wrapped (`monitorHandler`), it can only be logged. */
  #fail: (error: Error) => void = (error) => this.#options.logger.error(`tidemark: ${error.message}`)
  #failure: Error | undefined
  #rejectWait: (error: Error) => void = () => {}
  #startedAtMs: number | undefined
  #dropReason: string | undefined
  #error: unknown

  constructor(options: ResolvedMonitorOptions<P, Item>, resubscription?: Resubscription) {
    const { source, from } = options
    const start = from === 'start' || from === 'end' ? undefined : from
    this.#options = options
    this.#resubscription = resubscription
    this.#isFiltered = source.isFiltered ?? false
    this.#beganAtEnd = from === 'end'
    this.#completions = new Completions(source.order)
    this.#stallWarning = new StallWarning(options)
    this.#progress = startProgress(start)
    this.#start = this.#startMonitor()
    this.#start.beginAt(start)
    const now = { clock: options.clock, logger: options.logger, intervalMs: options.headIntervalMs }
    this.#headReader = new PeriodicReader({
      ...now,
      read: (signal) =>
        source.readHead(signal).then(
          (head) => ({ head }),
          (error: unknown) => {
            if (hasCode(error, 'TIDEMARK_HEAD_UNKNOWN')) return 'nothing left'
            throw error
          },
        ),
      onRead: (found) => this.#quietly(() => this.#seeHead(found)),
      warning: `the head of ${source.name} cannot be read, so lag and stalls are not known`,
    })
    this.#groupReader = new PeriodicReader({
      ...now,
      read: async (signal) => await source.readGroup?.(signal),
      onRead: (group) =>
        this.#quietly(() => {
          this.#group = group
          if (group) this.#enter(group.isLive ? 'caught_up' : 'fell_behind')
        }),
      warning: `the consumer group of ${source.name} cannot be read, so its position and what is parked are not known`,
    })
    this.#reports = new SubscriptionReports(options, () =>
      subscriptionGauges(this.status(), source.order.approximate),
    )
  }

  attach(subscription: object): void {
    const weakly = new WeakRef(subscription)
    this.#subscription = weakly
    this.#isPersistent = isPersistent(subscription)
    if (this.#isPersistent) {
      this.#progress = startProgress<P>(undefined)
      this.#start.beginAt(undefined)
    }
    if (!isConfirmed(subscription)) this.confirmed()
    if (isStream(subscription)) {
      // Bound to here: who listens to its `error` may subscribe anew, which is the consumer's own work again.
      this.#fail = AsyncResource.bind((error: Error) => {
        const found = weakly.deref() as { destroy?(error: Error): unknown } | undefined
        found?.destroy?.(error)
      })
    } else {
      this.#fail = AsyncResource.bind((error: Error) => {
        this.#failure = error
        this.dropped(error)
        this.#rejectWait(error)
      })
    }
  }

  get isAttached(): boolean {
    return this.#subscription !== undefined
  }

  /** Whether no other subscription is to follow. */
  get isOver(): boolean {
    return this.#over.signal.aborted
  }

  /**
   * The subscription has ended, and another one is to be made, which `attach` is then told of. Returns where
   * it has to begin: what is processed; `undefined` is the start. Whoever asks for the next event has processed all that was
   * handed over, so nothing is in hand.
   */
  nextRound(): P | undefined {
    this.#round = new AbortController()
    this.#subscription = undefined
    this.#serverTells = false
    this.#head = resumeHeadHistory(this.#head)
    this.#stallWarning = new StallWarning(this.#options)
    this.#start.beginAt(this.#progress.processedTo)
    if (this.#startedAtMs !== undefined) inBackground(() => this.#checkStart())
    return this.#progress.processedTo
  }

  /** Of what was to begin at the end: where that was. */
  beginAt(head: P | undefined): void {
    this.#progress = startProgress(head)
    this.#beganAtEnd = false
  }

  expectFilter(): void {
    this.#isFiltered = true
  }

  begin(): void {
    if (this.#startedAtMs !== undefined || this.#over.signal.aborted) return
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
    this.#end('end')
    this.#reports.close()
  }

  /** The consumer leaves: no subscription is to follow. */
  giveUp(): void {
    this.#end('give_up')
  }

  delivered(item: unknown): void {
    try {
      this.#deliver(item as Item)
      if (this.#isFailing) this.#recover()
    } catch (error) {
      this.#reports.failed(error)
    }
  }

  iterating(): void {
    this.begin()
    if (this.#consumption === 'unseen') this.#consumption = 'iterated'
  }

  cameBack(): void {
    if (this.#consumption !== 'iterated' || this.#progress.inHand === 0) return
    try {
      this.#reports.processing(this.#progress.inHandAppendedAtMs, this.#state)
      this.#progress = processAll(this.#progress, this.#options.source.order)
      this.#reportWhenDue()
    } catch (error) {
      this.#reports.failed(error)
    }
  }

  orFailure<T>(coming: Promise<T>): Promise<T> {
    if (this.#failure !== undefined) {
      // Nobody waits for it any more, whatever comes of it.
      Promise.resolve(coming).catch(() => {})
      return Promise.reject(this.#failure)
    }
    if (this.#start.isOver) return coming
    // Only the newest wait is kept, to be rejected. Once the start check is over it cannot fail, and none is kept.
    return new Promise((resolve, reject) => {
      this.#rejectWait = reject
      Promise.resolve(coming).then(resolve, reject)
    })
  }

  /** A handler was called; returns what is to be called once, when it has ended. */
  handling(item: Item): (outcome: 'done' | 'failed') => void {
    const { source } = this.#options
    this.begin()
    this.#consumption = 'handled'
    const isInHand = this.#completions.isRunningWith(item)
    if (!isInHand && this.#completions.hasFailedAt(item)) this.#progress = tryAgain(this.#progress)
    else if (!isInHand && !this.isAttached) this.delivered(item)
    const begun = this.#quietly(() => {
      const delivery = source.describe(item)
      // What comes of an event that a group's consumer failed at, and to whom it comes next, is for the server to say.
      return { delivery, end: this.#completions.begin(delivery, item, !this.#isPersistent) }
    })
    return (outcome) =>
      this.#quietly(() => {
        if (begun === undefined) return
        if (outcome === 'done') this.#reports.processing(begun.delivery.appendedAtMs, this.#state)
        this.#progress = handle(this.#progress, begun.end(outcome), source.order)
        this.#reportWhenDue()
      })
  }

  /**
   * The filter has looked at everything up to `position`, of which `buffered` events have not been handed over. Returns
   * whether that is a position: some servers give one that is none.
   */
  checkpointReached(position: P, buffered: number): boolean {
    const { order } = this.#options.source
    if (!isPosition(order, position)) return false
    this.#quietly(() => {
      this.#progress = checkpoint(this.#progress, position, buffered, order)
    })
    this.confirmed()
    return true
  }

  confirmed(): void {
    if (this.#state !== 'dropped' || this.#round.signal.aborted) return
    this.#error = undefined
    this.#dropReason = undefined
    this.#enter('resume')
  }

  serverSays(phase: 'caught_up' | 'fell_behind'): void {
    this.#serverTells = true
    this.confirmed()
    this.#enter(phase)
  }

  acknowledged(action: string, events: readonly unknown[]): void {
    const { source } = this.#options
    this.#quietly(() => {
      this.#reports.acknowledged(action, events.length)
      if (action === 'skip' || action === 'park') {
        for (const item of events as readonly Item[]) {
          const delivery = source.describe(item)
          // A link without its event was counted when it came.
          if (delivery.hasEvent) this.#reports.skippedAt(runAt(delivery, source.order, 'apply_error'), item)
        }
      }
      if (this.#over.signal.aborted) this.closed()
    })
  }

  dropped(error: unknown): void {
    if (isAbort(error)) this.left()
    else this.#drop(error, () => this.#reasonOf(error))
  }

  ended(): void {
    this.#drop(undefined, () => SILENT_END)
  }

  left(): void {
    if (!this.#round.signal.aborted) this.#end('end')
  }

  closed(): void {
    this.#quietly(() => this.#reports.tell(this.#progress))
  }

  unsubscribeFailed(error: unknown): void {
    // Of a call that never came about there is nothing to end: the clients reject with what that failed with.
    if (error === this.#error) return
    const { logger, projection } = this.#options
    logger.warn(
      `tidemark: projection "${projection}": unsubscribe() failed, its call to the server may stay open: ${messageOf(error)}`,
    )
  }

  status(): SubscriptionStatus<P> {
    const standing = this.#standing()
    const isOver = this.#over.signal.aborted
    return {
      projection: this.#options.projection,
      state: this.#state,
      deliveredEvents: this.#progress.delivered,
      processedEvents: this.#progress.processed,
      position: positionOf(standing),
      head: this.#head.head,
      lagPositions: isOver ? undefined : lagPositionsOf(standing),
      lagMs: isOver ? undefined : lagMsOf(standing),
      isStalled: isOver ? undefined : isStalled(standing),
      group: isOver ? undefined : this.#group,
      skipped: this.#reports.skipped,
      dropReason: this.#dropReason,
      error: this.#error,
    }
  }

  #standing(): Standing<P> {
    const { source, clock, headIntervalMs, stallAfterMs } = this.#options
    return {
      nowMs: clock.nowMs(),
      order: source.order,
      progress: this.#progress,
      head: this.#head,
      group: this.#group,
      state: this.#state,
      consumption: this.#consumption,
      isPersistent: this.#isPersistent,
      isFiltered: this.#isFiltered,
      isBuffered: this.#isBuffered(),
      beganAtEnd: this.#beganAtEnd,
      startedAtMs: this.#startedAtMs,
      headGoodForMs: 2 * headIntervalMs + LOOK_EVERY_MS,
      stallAfterMs,
    }
  }

  #isBuffered(): boolean {
    const { readableLength = 0 } = (this.#subscription?.deref() ?? {}) as { readonly readableLength?: number }
    return readableLength > 0
  }

  #deliver(item: Item): void {
    const { source } = this.#options
    const delivery = source.describe(item)
    const isGapless = source.yieldsEveryPosition && !this.#isPersistent
    const skips = skipAt(this.#progress, delivery, source.order, isGapless)
    this.#progress = deliver(this.#progress, delivery, source.order)
    if (this.isAttached) this.#start.arrived(delivery.position)
    for (const run of skips) this.#reports.skippedAt(run, item)
    this.#reportWhenDue()
  }

  #reportWhenDue(): void {
    if (this.#reports.isDue(this.#progress)) this.#reports.tellProgress(this.#progress)
  }

  #checkStart(): void {
    void this.#start.run(() => this.#isFiltered, this.#round.signal)
  }

  async #lookNowAndThen(): Promise<void> {
    const { clock, headIntervalMs } = this.#options
    const { signal } = this.#over
    while (!signal.aborted) {
      this.#quietly(() => this.#look())
      await clock.sleep(Math.min(LOOK_EVERY_MS, headIntervalMs), signal, { unref: true })
    }
  }

  #look(): void {
    if (this.#subscription !== undefined && this.#subscription.deref() === undefined) this.left()
    this.#reports.tell(this.#progress)
    if (this.#state !== 'dropped') this.#stallWarning.look(this.#standing())
    if (this.#over.signal.aborted) return
    if (isHeadOurs(this.#standing())) this.#headReader.readWhenDue(this.#over.signal)
    if (this.#isPersistent) this.#groupReader.readWhenDue(this.#over.signal)
  }

  #seeHead(found: { readonly head: P | undefined } | 'nothing left'): void {
    const { source, clock } = this.#options
    const { arrivals, processedTo } = this.#progress
    const reached = reachedBy(this.#progress, source.order)
    const nowMs = clock.nowMs()
    this.#head =
      found === 'nothing left'
        ? observeNothingLeft(this.#head, nowMs)
        : observeHead(this.#head, { ...found, nowMs, reached, processedTo, arrivals }, source.order)
    const phase = phaseOf(this.#head)
    if (phase !== undefined && !this.#serverTells && isHeadOurs(this.#standing())) this.#enter(phase)
  }

  #startMonitor(): StartMonitor<P> {
    const { source, projection } = this.#options
    const { format } = source.order
    const onBeyond = (found: BeyondHead<P> & { readonly from: P }): void => {
      const at = found.at === undefined ? undefined : format(found.at)
      const seen = describeBeyondHead({ how: found.how, at }, source.name)
      this.#fail(new CheckpointBeyondHeadError(projection, format(found.from), at, seen))
    }
    return new StartMonitor({ ...this.#options, onBeyond })
  }

  #reasonOf(error: unknown): string {
    if (hasCode(error, 'TIDEMARK_CHECKPOINT_BEYOND_HEAD')) return BEYOND_HEAD
    return this.#options.source.dropReason(error)
  }

  #drop(error: unknown, reason: () => string): void {
    if (this.#round.signal.aborted) return
    this.#round.abort()
    this.#error = error
    const why = this.#quietly(reason) ?? 'unknown'
    this.#dropReason = why
    const follows = this.#quietly(() => this.#resubscription?.follows(error)) ?? false
    // One that was never answered, after a drop, is no drop of its own.
    if (!follows || this.#state !== 'dropped') this.#reports.dropped(why, error)
    this.#enter('drop')
    if (follows) {
      this.#isFailing = true
      this.#resubscription?.failed(why, error)
      return
    }
    const { logger, projection } = this.#options
    logger.error(describeDrop(projection, why, error))
    this.#finish()
  }

  #recover(): void {
    if (this.#round.signal.aborted) return
    this.confirmed()
    this.#isFailing = false
    this.#resubscription?.recovered()
  }

  #enter(signal: SubscriptionSignal): void {
    const state = nextState(this.#state, signal)
    if (state === this.#state) return
    this.#state = state
    this.#reports.entered(state)
    if (state === 'live' && this.#isFailing) this.#recover()
  }

  #end(signal: 'end' | 'give_up'): void {
    if (this.#over.signal.aborted) return
    this.#enter(signal)
    this.#finish()
  }

  #finish(): void {
    this.#round.abort()
    this.#over.abort()
    this.closed()
    this.#reports.leave()
  }

  #quietly<T>(work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      this.#reports.failed(error)
      return undefined
    }
  }
}

/** `await using`, `addAbortSignal` and every API that takes a signal end with it: by the consumer's own wish. */
function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}
