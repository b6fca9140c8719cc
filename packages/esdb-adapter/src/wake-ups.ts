import { setTimeout as delay } from 'node:timers/promises'
import type { EsdbSubscription } from './client.ts'
import { isTransientEsdbError } from './errors.ts'

/**
 * After an event the call is ended, and made anew a little later: while events flow the daemon polls by itself, and
 * everything would come over the network twice.
 */
const REST_MS = 100
const FIRST_BACK_OFF_MS = 50
const LONGEST_BACK_OFF_MS = 5_000

/**
 * A hint whenever something may have been appended: an event has come, or a subscription begins, before which some may
 * have been missed. Neither client subscribes again after a drop: this does, one call at a time, and later each time.
 * Ends with the signal; rejects with an error that no retry mends.
 */
export async function* wakeUps(subscribe: () => EsdbSubscription, signal: AbortSignal): AsyncGenerator<void> {
  let dropsInARow = 0
  while (!signal.aborted) {
    const call = new LiveCall(subscribe, signal)
    try {
      if ((await call.confirmed) === 'yes') yield
      if ((await call.event) === 'yes') {
        dropsInARow = 0
        yield
      } else {
        dropsInARow++
      }
    } finally {
      await call.end()
    }
    if (call.error !== undefined && !isTransientEsdbError(call.error)) throw call.error
    await rest(dropsInARow === 0 ? REST_MS : backOffMs(dropsInARow), signal)
  }
}

/** Jitter: a restarted server is not asked by everyone at the same moment. */
function backOffMs(dropsInARow: number): number {
  const longest = Math.min(LONGEST_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** Math.min(dropsInARow - 1, 30))
  return longest * (0.5 + Math.random() / 2)
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {})
}

type Came = 'yes' | 'no'

/** One subscription, until its first event. */
class LiveCall {
  readonly confirmed: Promise<Came>
  readonly event: Promise<Came>
  error: unknown
  readonly #subscription: EsdbSubscription
  readonly #signal: AbortSignal
  #isOver: () => void = () => {}

  constructor(subscribe: () => EsdbSubscription, signal: AbortSignal) {
    this.#signal = signal
    this.#subscription = subscribe()
    const over = new Promise<Came>((resolve) => {
      this.#isOver = () => resolve('no')
    })
    const confirmed = new Promise<Came>((resolve) => {
      this.#subscription.on('confirmation', () => resolve('yes'))
    })
    const event = new Promise<Came>((resolve) => {
      this.#subscription.on('data', () => resolve('yes'))
    })
    this.confirmed = Promise.race([confirmed, event, over])
    this.event = Promise.race([event, over])
    // Stays, also after the end: the clients emit errors of the call even then.
    this.#subscription.on('error', (error) => {
      this.error = error
      this.#isOver()
    })
    this.#subscription.on('end', this.#isOver)
    this.#subscription.on('close', this.#isOver)
    signal.addEventListener('abort', this.#isOver)
  }

  async end(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#isOver)
    // What is destroyed alone leaves its call open; what is unsubscribed alone never ends as a stream.
    this.#subscription.destroy()
    await this.#subscription.unsubscribe().catch(() => {})
  }
}
