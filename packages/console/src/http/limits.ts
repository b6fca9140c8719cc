import { HttpError } from './http-error.ts'

interface Bucket {
  left: number
  atMs: number
}

const MINUTE_MS = 60_000
/** Viewers of whom anything is remembered. */
const MOST_VIEWERS = 10_000

/** So many requests a minute for each viewer, all at once or one after the other. */
export class RequestLimit {
  readonly #perMinute: number
  readonly #buckets = new Map<string, Bucket>()

  constructor(perMinute: number) {
    this.#perMinute = perMinute
  }

  /** Throws where it is one too many. */
  take(who: string, nowMs: number): void {
    const known = this.#buckets.get(who) ?? { left: this.#perMinute, atMs: nowMs }
    const earned = ((nowMs - known.atMs) / MINUTE_MS) * this.#perMinute
    const left = Math.min(this.#perMinute, known.left + earned)
    // The one who was heard of last stands last.
    this.#buckets.delete(who)
    this.#buckets.set(who, { left: Math.max(0, left - 1), atMs: nowMs })
    if (this.#buckets.size > MOST_VIEWERS) {
      const [oldest] = this.#buckets.keys()
      if (oldest !== undefined) this.#buckets.delete(oldest)
    }
    if (left < 1) {
      throw new HttpError(429, 'TOO_MANY_REQUESTS', `More than ${this.#perMinute} requests a minute.`, [
        'Wait a little.',
      ])
    }
  }
}

/** Of one viewer: a page in each of so many tabs. */
const MOST_OF_VIEWER = 20

/** So many streams at once. */
export class StreamLimit {
  readonly #most: number
  readonly #open = new Map<string, number>()

  constructor(most: number) {
    this.#most = most
  }

  /** Throws where it is one too many; else gives what has to be called at its end. */
  take(who: string): () => void {
    const own = this.#open.get(who) ?? 0
    const all = [...this.#open.values()].reduce((sum, each) => sum + each, 0)
    if (all >= this.#most || own >= MOST_OF_VIEWER) {
      throw new HttpError(503, 'TOO_MANY_STREAMS', 'Too many pages are live.', [
        'Close some; this one asks again and again.',
      ])
    }
    this.#open.set(who, own + 1)
    let isOpen = true
    return () => {
      if (!isOpen) return
      isOpen = false
      const left = (this.#open.get(who) ?? 1) - 1
      if (left <= 0) this.#open.delete(who)
      else this.#open.set(who, left)
    }
  }
}
