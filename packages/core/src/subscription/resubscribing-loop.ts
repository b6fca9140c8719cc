import { hasCode } from '../kernel/errors.ts'
import { Monitor } from './monitor.ts'
import type { ResolvedResubscribingOptions } from './resubscribing-options.ts'
import { FailureRow, restMs } from './resubscription.ts'
import { leaveRound, makeRound, type Round, type Subscribe } from './round.ts'
import type { SubscriptionStatus } from './status.ts'

/** Where it stands, besides what is said of one subscription. Totals are of all subscriptions so far. */
export interface ResubscribingStatus<P> extends SubscriptionStatus<P> {
  /** Subscriptions that failed since an event last came, or one was live: 0 while all is well. */
  readonly failuresInARow: number
  /** Milliseconds since the Unix epoch: when the next subscription is made; `undefined` while none is waited for. */
  readonly nextTryAtMs: number | undefined
}

const END: IteratorReturnResult<undefined> = { done: true, value: undefined }

/** A loop over subscriptions that follow each other, for one `for await`. */
export class ResubscribingLoop<P, Item> implements AsyncIterator<Item> {
  readonly #subscribe: Subscribe<P, Item>
  readonly #options: ResolvedResubscribingOptions<P, Item>
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

  constructor(subscribe: Subscribe<P, Item>, options: ResolvedResubscribingOptions<P, Item>) {
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
    const isCurrent = (subscription: AsyncIterable<Item>) => subscription === this.#round?.subscription
    const round = makeRound(this.#subscribe, from, monitor, isCurrent)
    this.#round = round
    monitor.attach(round.subscription)
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
    if (this.#round) await leaveRound(this.#round, this.#monitor, isWaitedFor)
  }
}
