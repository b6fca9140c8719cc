import type { Page } from '../ports/event-source.ts'

/** So small that a page of very large events does no harm: nothing is known of them yet. */
const FIRST_EVENTS = 100
/** Beyond that a replay gets no faster (`bench:replay`). */
export const MOST_EVENTS = 5_000
/** What a transaction may hold its locks for without anybody noticing; its own cost is a few milliseconds. */
const AIM_MS = 100
/** Of a page, as it comes over the network: what is made of it takes more, and one page is read ahead. */
const AIM_BYTES = 2 * 2 ** 20
/** How much larger the next page may be. */
const GROWTH = 4

/** A page that was handled. */
export interface HandledPage {
  readonly events: number
  /** `undefined`: not known. */
  readonly bytes: number | undefined
  readonly tookMs: number
  /** Whether it could have been larger. */
  readonly isFull: boolean
}

/** How many events a page has, where nobody has said so: as many as make a batch short enough, and take little memory. */
export class PageSize {
  #events = FIRST_EVENTS

  get events(): number {
    return this.#events
  }

  /** Large events are noticed before they are handled, since the next page is read meanwhile. */
  read({ events, bytes }: Pick<Page<unknown, unknown>, 'events' | 'bytes'>): void {
    this.#events = Math.min(this.#events, mostInMemory(events.length, bytes))
  }

  handled(page: HandledPage): void {
    this.#events = sizeAfter(this.#events, page)
  }
}

/** The size of the next pages, after one that was handled. Pure. */
export function sizeAfter(size: number, { events, bytes, tookMs, isFull }: HandledPage): number {
  const share = Math.max(tookMs / AIM_MS, (bytes ?? 0) / AIM_BYTES)
  // One that took long may have waited for a lock.
  if (tookMs > 2 * AIM_MS) return Math.max(1, Math.min(Math.floor(size / 2), mostInMemory(events, bytes)))
  if (!isFull || share > 0.5) return Math.min(size, mostInMemory(events, bytes))
  const larger = Math.floor(events * Math.min(GROWTH, 1 / share))
  return Math.max(size, Math.min(larger, MOST_EVENTS))
}

/** At least one, however large. */
function mostInMemory(events: number, bytes: number | undefined): number {
  if (bytes === undefined || bytes <= 2 * AIM_BYTES) return Number.POSITIVE_INFINITY
  return Math.max(1, Math.floor((events * AIM_BYTES) / bytes))
}
