import { setTimeout as delay } from 'node:timers/promises'
import type { EsdbEvent, EsdbSubscription } from './client.ts'
import type { EventLog } from './event-log.ts'
import { isTransientEsdbError } from './transience.ts'

/** A call that brings more than this in a second is ended: the daemon then polls by itself, and all would come twice. */
const MOST_EVENTS_A_SECOND = 100
/** The least time from the beginning of one call to that of the next. */
const BETWEEN_CALLS_MS = 1_000
const LONGEST_BACK_OFF_MS = 5_000

type Log = Pick<EventLog<unknown>, 'isNews' | 'subscribe'>

/**
 * A hint whenever something may have been appended: an event has come, or a subscription begins, before which some may
 * have been missed. One subscription stays open while events come now and then. Neither client subscribes again after a
 * drop: this does, one call at a time, at most one new call a second, and less often where the server does not answer.
 * Ends with the signal; rejects with an error that no retry mends.
 */
export async function* wakeUps(log: Log, signal: AbortSignal): AsyncGenerator<undefined> {
  let failuresInARow = 0
  while (!signal.aborted) {
    const begunMs = performance.now()
    const call = new LiveCall(log, signal)
    try {
      while (await call.next()) yield
    } finally {
      await call.end()
    }
    if (call.error !== undefined && !isTransientEsdbError(call.error)) throw call.error
    failuresInARow = call.wasAnswered ? 0 : failuresInARow + 1
    await rest(begunMs + backOffMs(failuresInARow) - performance.now(), signal)
  }
}

/** Jitter: a restarted server is not asked by everyone at the same moment. */
function backOffMs(failuresInARow: number): number {
  const longest = Math.min(LONGEST_BACK_OFF_MS, BETWEEN_CALLS_MS * 2 ** Math.min(failuresInARow, 30))
  return Math.max(BETWEEN_CALLS_MS, longest * (0.5 + Math.random() / 2))
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await delay(ms, undefined, { signal }).catch(() => {})
}

/** One subscription, until it is dropped, brings too much, or the signal fires. */
class LiveCall {
  error: unknown
  /** Whether it was confirmed, or has brought an event. */
  wasAnswered = false
  readonly #subscription: EsdbSubscription
  readonly #signal: AbortSignal
  #isOver = false
  #isHinted = false
  #changed: () => void = () => {}
  #events = 0
  #countedSinceMs = performance.now()

  constructor(log: Log, signal: AbortSignal) {
    this.#signal = signal
    this.#subscription = log.subscribe()
    this.#subscription.on('confirmation', () => {
      this.wasAnswered = true
      this.#hint()
    })
    this.#subscription.on('data', (data) => {
      this.wasAnswered = true
      const { link, event } = data as EsdbEvent
      const record = link ?? event
      if (record === undefined || log.isNews(record)) this.#hint()
      this.#count()
    })
    // Stays, also after the end: the clients emit errors of the call even then.
    this.#subscription.on('error', (error) => {
      this.error = error
      this.#finish()
    })
    this.#subscription.on('end', this.#finish)
    this.#subscription.on('close', this.#finish)
    signal.addEventListener('abort', this.#finish)
  }

  /** Whether there is a hint; `false` once the call is over. Hints that nobody has waited for are one. */
  async next(): Promise<boolean> {
    while (!this.#isHinted && !this.#isOver) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
    }
    const isHinted = this.#isHinted
    this.#isHinted = false
    return isHinted
  }

  async end(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#finish)
    // What is destroyed alone leaves its call open; what is unsubscribed alone never ends as a stream.
    this.#subscription.destroy()
    await this.#subscription.unsubscribe().catch(() => {})
  }

  #hint(): void {
    this.#isHinted = true
    this.#changed()
  }

  #finish = (): void => {
    this.#isOver = true
    this.#changed()
  }

  #count(): void {
    const nowMs = performance.now()
    if (nowMs - this.#countedSinceMs >= 1_000) {
      this.#countedSinceMs = nowMs
      this.#events = 0
    }
    if (++this.#events > MOST_EVENTS_A_SECOND) this.#finish()
  }
}
