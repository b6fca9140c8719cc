import type { Page } from '../ports/event-source.ts'

/** So small that a page of very large events does no harm: nothing is known of them yet. */
const FIRST_EVENTS = 100
/** Beyond that a replay gets no faster (`bench:replay`). */
export const MOST_EVENTS = 5_000
/** What a transaction may hold its locks for without anybody noticing; its own cost is a few milliseconds. */
const AIM_MS = 100
/** Of a page, as it comes over the network: what is made of it takes more, and one page is read ahead. */
const AIM_BYTES = 2 * 2 ** 20
/** Of the pages of all projections of a daemon, which may all catch up at once. */
const AIM_BYTES_OF_ALL = 64 * 2 ** 20
/** A round trip brings at least that much. */
const LEAST_AIM_BYTES = 64 * 2 ** 10
/** Small events may be followed by large ones: a page that brings that much more than it should is given up, and asked for in parts. */
const MOST_PER_AIM = 4
/** How much larger the next page may be. */
const GROWTH = 4
/** One that would not be larger by that stays as it is. */
const LEAST_GROWTH = 1.25
/** How many of the last pages say what a batch takes. */
const REMEMBERED = 8

/** A page that was handled. */
export interface HandledPage {
  readonly events: number
  /** `undefined`: not known. */
  readonly bytes: number | undefined
  readonly tookMs: number
  /** Whether it could have been larger. */
  readonly isFull: boolean
}

/** About how many bytes a page is to have, in a daemon of so many projections. Pure. */
export function aimBytes(projections: number): number {
  return Math.max(LEAST_AIM_BYTES, Math.min(AIM_BYTES, Math.floor(AIM_BYTES_OF_ALL / projections)))
}

/** How many events a page has: as many as make a batch short enough, and take little memory. */
export class PageSize {
  readonly #aimBytes: number
  readonly #given: number | undefined
  #events: number
  #recent: readonly HandledPage[] = []
  #fixedMs: number | undefined

  /**
   * @param projections - how many there are in the daemon
   * @param given - how many the user wants: fewer only where so many would bring more than a page may
   */
  constructor(projections: number, given?: number) {
    this.#aimBytes = aimBytes(projections)
    this.#given = given
    this.#events = given ?? FIRST_EVENTS
  }

  get events(): number {
    return this.#events
  }

  /** What a page may bring, unless it is one event. */
  get mostBytes(): number {
    return this.#aimBytes * MOST_PER_AIM
  }

  /** Large events are noticed before they are handled, since the next page is read meanwhile. */
  read({ events, bytes }: Pick<Page<unknown, unknown>, 'events' | 'bytes'>): void {
    if (this.#given !== undefined) {
      this.#events = givenSizeAfter(this.#events, this.#given, events.length, bytes, this.mostBytes)
      return
    }
    this.#events = Math.min(this.#events, mostInMemory(events.length, bytes, this.#aimBytes))
  }

  handled(page: HandledPage): void {
    if (this.#given !== undefined) return
    this.#recent = [...this.#recent, page].slice(-REMEMBERED)
    this.#fixedMs = fixedMs(this.#recent, this.#fixedMs)
    this.#events = sizeAfter(this.#events, page, this.#fixedMs, this.#aimBytes)
  }
}

/**
 * The size of the next pages where `given` events are wanted, after one that was read. What was given up since it brought too much
 * counts as brought: pages become smaller at once, and step by step as large again as half of what they may bring. Pure.
 */
export function givenSizeAfter(
  size: number,
  given: number,
  events: number,
  bytes: number | undefined,
  mostBytes: number,
): number {
  if (bytes === undefined || events === 0 || (size === given && bytes <= mostBytes)) return size
  return Math.max(1, Math.min(given, size * GROWTH, Math.floor((events * mostBytes) / 2 / bytes)))
}

/**
 * The size of the next pages, after one that was handled. Pure.
 *
 * @param knownMs - what a batch takes whatever its size, as `fixedMs` has found. While it is not known, each full page has
 * another size than the one before.
 */
export function sizeAfter(
  size: number,
  { events, bytes, tookMs, isFull }: HandledPage,
  knownMs?: number,
  aim: number = AIM_BYTES,
): number {
  const aimMs = Math.max(AIM_MS, 2 * (knownMs ?? 0))
  const share = Math.max(tookMs / aimMs, (bytes ?? 0) / aim)
  const most = mostInMemory(events, bytes, aim)
  // One that took long may have waited for a lock.
  const isTooLong = tookMs > 2 * aimMs || (knownMs === undefined && isFull && tookMs > aimMs)
  if (isTooLong) return Math.max(1, Math.min(Math.floor(size / 2), most))
  if (!isFull || share > (knownMs === undefined ? 1 : 1 / LEAST_GROWTH)) {
    return Math.min(size, most)
  }
  const larger = Math.ceil(events * Math.min(GROWTH, Math.max(1 / share, LEAST_GROWTH)))
  return Math.max(size, Math.min(larger, MOST_EVENTS))
}

/**
 * What a batch takes whatever its size, by a line through the last ones: round trips, a commit. Where the server is far away
 * that is more than all else, and batches of fewer events would take as long. `before` where their sizes are too alike.
 */
function fixedMs(
  pages: readonly Pick<HandledPage, 'events' | 'tookMs'>[],
  before: number | undefined,
): number | undefined {
  const events = mean(pages.map((page) => page.events))
  const ms = mean(pages.map((page) => page.tookMs))
  const variance = mean(pages.map((page) => (page.events - events) ** 2))
  // No batch takes less.
  const least = Math.min(...pages.map((page) => page.tookMs))
  if (variance <= (events / 10) ** 2) return before === undefined ? undefined : Math.min(before, least)
  const covariance = mean(pages.map((page) => (page.events - events) * (page.tookMs - ms)))
  const msAnEvent = Math.max(0, covariance / variance)
  return Math.max(0, Math.min(ms - msAnEvent * events, least))
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** At least one, however large. */
function mostInMemory(events: number, bytes: number | undefined, aim: number): number {
  if (bytes === undefined || bytes <= 2 * aim) return Number.POSITIVE_INFINITY
  return Math.max(1, Math.floor((events * aim) / bytes))
}
