import { hasCode, InvalidOptionError, LifecycleError } from '../kernel/errors.ts'
import type { SubscriptionSource } from '../ports/subscription-source.ts'
import { instrument, isPersistent, isStream, whileCurrent } from './instrument.ts'
import { Monitor } from './monitor.ts'
import type { SubscriptionMonitor } from './monitor-subscription.ts'
import { monitoredFilter } from './monitored-filter.ts'
import { type MonitorOptions, type ResolvedMonitorOptions, resolveMonitorOptions } from './options.ts'
import { FailureRow, restMs } from './resubscription.ts'
import type { SubscriptionStatus } from './status.ts'

/** A source that tells which errors pass by themselves. */
export type ResubscribableSource<P, Item> = SubscriptionSource<P, Item> &
  Required<Pick<SubscriptionSource<P, Item>, 'isTransient'>>

/** Of `resubscribing`: those of `monitorSubscription`, and when to stop. */
export interface ResubscribingOptions<P, Item> extends Omit<MonitorOptions<P, Item>, 'source' | 'from'> {
  /** What is subscribed to, as an adapter describes it. Not a consumer group: its server redelivers. */
  readonly source: ResubscribableSource<P, Item>
  /**
   * Where the first subscription begins: the stored position, exclusive, or `'start'` or `'end'`. The end is where the
   * leader's head stands when the loop begins: what is appended from then on is not lost, however late a subscription comes
   * about.
   * - Change it when: a position is stored. Without it every start of the process begins with the first event.
   * @default 'start'
   */
  readonly from?: P | 'start' | 'end'
  /**
   * Ends the loop as if the events had ended: at once while it waits, or when it asks for the next.
   * - Change it when: the process is to end the loop from outside, as at SIGTERM.
   * @default none
   */
  readonly signal?: AbortSignal
}

/** Where it stands, besides what is said of one subscription. Totals are of all subscriptions so far. */
export interface ResubscribingStatus<P> extends SubscriptionStatus<P> {
  /** Subscriptions that failed since an event last came, or one was live: 0 while all is well. */
  readonly failuresInARow: number
  /** Milliseconds since the Unix epoch: when the next subscription is made; `undefined` while none is waited for. */
  readonly nextTryAtMs: number | undefined
}

/** The events of subscriptions that follow each other, for one `for await`. */
export interface Resubscribing<P, Item> extends AsyncIterable<Item> {
  /** Where it stands, computed now. While it waits to subscribe again, `error` and `dropReason` say why. */
  status(): ResubscribingStatus<P>
}

/** Where the user makes the next subscription. */
export type Subscribe<P, Item> = (
  /** Exclusive. */
  from: P | 'start',
  /** For a filtered subscription to `$all`: pass its filter through `filter`, anew each time. */
  monitor: Pick<SubscriptionMonitor<P, never>, 'filter'>,
) => AsyncIterable<Item>

/**
 * Monitors a catch-up subscription as `monitorSubscription` does, and makes another one when it was dropped: from the last
 * processed position, after a wait of 1 to 7.5 s that grows while it fails.
 *
 * ```ts
 * const orders = resubscribing((from) => client.subscribeToStream('orders', { fromRevision: from }), {
 *   projection: 'mailer',
 *   source: esdbEvents({ client, stream: 'orders' }),
 *   from: (await storedRevision()) ?? 'start',
 *   metrics,
 * })
 * for await (const { event } of orders) await mail(event)
 * ```
 *
 * - An event is processed when the loop comes back for the next: it does not come again. Each event comes once, in order.
 *   What the loop does with several at the same time is not seen.
 * - It subscribes again after an error that the source knows as passing (`isTransient`), and after an end without one. Every
 *   other error ends the loop, which throws it: access denied, a deleted stream, `CheckpointBeyondHeadError`, what `subscribe`
 *   throws, and what the source does not know.
 * - All is one series: totals go on, each drop is counted, the state is `dropped` until the next subscription is answered,
 *   and then as usual. A try that fails is no drop of its own.
 * - `break`, an error in the loop, `return()` and `signal` leave neither a call to the server nor a timer.
 *
 * Throws `InvalidOptionError`, also in the loop where `subscribe` returns a persistent subscription: its events have to be
 * acknowledged on the very subscription that brought them. A second loop throws a `LifecycleError`.
 */
export function resubscribing<P, Item>(
  subscribe: Subscribe<P, Item>,
  options: ResubscribingOptions<P, Item>,
): Resubscribing<P, Item> {
  if (typeof subscribe !== 'function') {
    throw new InvalidOptionError('subscribe', 'a function that makes a subscription', subscribe)
  }
  const { signal, ...monitoring } = options
  const resolved = resolveMonitorOptions(monitoring)
  requireResubscribable(options.source)
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new InvalidOptionError('signal', 'an AbortSignal', signal)
  }
  const loop = new ResubscribingLoop(subscribe, { ...resolved, source: options.source, signal })
  let isTaken = false
  return {
    status: () => loop.status(),
    [Symbol.asyncIterator]: () => {
      if (isTaken) throw new LifecycleError('this has a loop already; call resubscribing again for another')
      isTaken = true
      loop.begin()
      return loop
    },
  }
}

const CATCH_UP_ONLY =
  '(the server redelivers what a persistent one has not acknowledged: subscribe to it again in a loop of your own, and ' +
  'wrap each)'

function requireResubscribable<P, Item>(source: SubscriptionSource<P, Item>): void {
  if (source.readGroup !== undefined) {
    throw new InvalidOptionError('source', `that of a catch-up subscription ${CATCH_UP_ONLY}`, source)
  }
  if (typeof source.isTransient !== 'function') {
    throw new InvalidOptionError('source', 'a SubscriptionSource with isTransient', source)
  }
}

interface LoopOptions<P, Item> extends ResolvedMonitorOptions<P, Item> {
  readonly source: ResubscribableSource<P, Item>
  readonly signal: AbortSignal | undefined
}

/** One subscription of several. */
interface Round<Item> {
  readonly subscription: AsyncIterable<Item>
  readonly iterator: AsyncIterator<Item>
}

const END: IteratorReturnResult<undefined> = { done: true, value: undefined }

class ResubscribingLoop<P, Item> implements AsyncIterator<Item> {
  readonly #subscribe: Subscribe<P, Item>
  readonly #options: LoopOptions<P, Item>
  readonly #failures: FailureRow
  readonly #monitor: Monitor<P, Item>
  readonly #over = new AbortController()
  /** Whether the end, where it is to begin, is still to be read. */
  #isEndWanted: boolean
  #round: Round<Item> | undefined
  /** Answers the call that waits. */
  #endWait: (() => void) | undefined
  /** Calls are answered one after the other. */
  #lastCall: Promise<unknown> = Promise.resolve()
  #nextTryAtMs: number | undefined
  /** Whether the signal came while an event was handled: who then comes back has processed it. */
  #hasLeftInHand = false

  constructor(subscribe: Subscribe<P, Item>, options: LoopOptions<P, Item>) {
    this.#subscribe = subscribe
    this.#options = options
    this.#failures = new FailureRow(options)
    this.#monitor = new Monitor<P, Item>(options, this.#failures)
    this.#isEndWanted = options.from === 'end'
  }

  status(): ResubscribingStatus<P> {
    return {
      ...this.#monitor.status(),
      failuresInARow: this.#failures.failures,
      nextTryAtMs: this.#nextTryAtMs,
    }
  }

  begin(): void {
    const { signal } = this.#options
    if (signal?.aborted) this.#leaveWithSignal()
    else signal?.addEventListener('abort', this.#leaveWithSignal)
  }

  next(): Promise<IteratorResult<Item>> {
    const nextOrLeft = () => this.#nextOrLeft()
    const call = this.#lastCall.then(nextOrLeft, nextOrLeft)
    this.#lastCall = call
    return call
  }

  async return(): Promise<IteratorResult<Item>> {
    await this.#leave()
    return END
  }

  async throw(error?: unknown): Promise<IteratorResult<Item>> {
    await this.#leave()
    throw error
  }

  #nextOrLeft(): Promise<IteratorResult<Item>> {
    return new Promise((resolve, reject) => {
      this.#endWait = () => resolve(END)
      this.#next().then(
        (result) => {
          this.#endWait = undefined
          resolve(result)
        },
        (error: unknown) => {
          this.#endWait = undefined
          reject(error)
        },
      )
    })
  }

  async #next(): Promise<IteratorResult<Item>> {
    const monitor = this.#monitor
    while (!this.#over.signal.aborted) {
      try {
        const { iterator } = this.#round ?? (await this.#open())
        const result = await iterator.next()
        if (!result.done) return result
        monitor.ended()
        if (monitor.isOver) {
          this.#finish()
          return END
        }
      } catch (error) {
        if (this.#over.signal.aborted) return END
        // Unless it is known already.
        monitor.dropped(error)
        if (monitor.isOver) {
          this.#finish()
          throw error
        }
      }
      this.#round = undefined
      await this.#rest()
    }
    if (this.#hasLeftInHand) {
      monitor.cameBack()
      monitor.closed()
    }
    return END
  }

  async #open(): Promise<Round<Item>> {
    const monitor = this.#monitor
    let from = monitor.nextRound()
    monitor.iterating()
    if (this.#isEndWanted) {
      from = await this.#readEnd()
      this.#over.signal.throwIfAborted()
      this.#isEndWanted = false
      monitor.beginAtEnd(from)
    }
    let made: AsyncIterable<Item> | undefined
    // Nothing counts that comes of one which another has followed.
    const isCurrent = (): boolean => made !== undefined && made === this.#round?.subscription
    const filter = <F extends object>(given: F): F => {
      monitor.expectFilter()
      return monitoredFilter<P, F>(
        given,
        (position, buffered) => isCurrent() && monitor.checkpointReached(position, buffered),
      )
    }
    const subscription = this.#subscribe(from ?? 'start', { filter })
    made = subscription
    try {
      instrument(subscription, whileCurrent(monitor, isCurrent))
      if (isPersistent(subscription)) {
        const expected = `a function that makes a catch-up subscription ${CATCH_UP_ONLY}`
        throw new InvalidOptionError('subscribe', expected, subscription)
      }
    } catch (error) {
      this.#abandon(subscription)
      throw error
    }
    const round = { subscription, iterator: subscription[Symbol.asyncIterator]() }
    this.#round = round
    monitor.attach(subscription)
    return round
  }

  async #readEnd(): Promise<P | undefined> {
    try {
      return await this.#options.source.readHead(this.#over.signal, { requiresLeader: true })
    } catch (error) {
      // All that was there is gone, so that the start is the end.
      if (hasCode(error, 'TIDEMARK_HEAD_UNKNOWN')) return undefined
      throw error
    }
  }

  async #rest(): Promise<void> {
    const { clock } = this.#options
    const ms = restMs(this.#failures.failures, Math.random())
    this.#nextTryAtMs = clock.nowMs() + ms
    await clock.sleep(ms, this.#over.signal)
    this.#nextTryAtMs = undefined
  }

  #finish(): void {
    this.#options.signal?.removeEventListener('abort', this.#leaveWithSignal)
    this.#over.abort()
  }

  readonly #leaveWithSignal = (): void => {
    this.#leave().catch((error: unknown) => this.#monitor.unsubscribeFailed(error))
  }

  async #leave(): Promise<void> {
    if (this.#over.signal.aborted) return
    const isWaitedFor = this.#endWait !== undefined
    this.#hasLeftInHand = !isWaitedFor
    this.#finish()
    this.#monitor.giveUp()
    this.#endWait?.()
    if (this.#round === undefined) return
    const { subscription, iterator } = this.#round
    // It unsubscribes at once. What is waited for in a stream ends when that is destroyed, and nothing else ends it.
    const left = iterator.return?.()
    if (isStream(subscription)) destroy(subscription)
    else if (isWaitedFor) {
      left?.catch((error: unknown) => this.#monitor.unsubscribeFailed(error))
      return
    }
    await left
  }

  /** What is not monitored is not left open either. */
  #abandon(subscription: unknown): void {
    if (typeof subscription !== 'object' || subscription === null) return
    // The clients emit errors of a call even after its end, which would end the process where nobody listens.
    if (isStream(subscription)) (subscription as NodeJS.EventEmitter).on('error', () => {})
    const { unsubscribe } = subscription as { unsubscribe?(): unknown }
    void (async () => await unsubscribe?.call(subscription))().catch((error: unknown) =>
      this.#monitor.unsubscribeFailed(error),
    )
    destroy(subscription)
  }
}

function destroy(subscription: object): void {
  ;(subscription as { destroy?(): unknown }).destroy?.()
}
