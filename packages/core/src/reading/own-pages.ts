import type { EventSource, Evidence, HighWaterReading, LoadRequest, Page } from '../ports/event-source.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'
import type { PageSize } from './page-size.ts'
import { keySlotsOf, ownEvents, type Part } from './part.ts'

export interface ReadPage<P, E> extends Page<P, E> {
  /** Whether it ends at the mark that it was read up to: nothing was left to read. */
  readonly reachesMark: boolean
  /** The poll that it was read under: a checkpoint moves to its end with this. */
  readonly evidence: Evidence<P>
  /** How many events were read for it, where those of other shards were left out. */
  readonly read?: number
}

/** What a projection is given of the events. */
interface Wanted<E> {
  readonly eventTypes: readonly string[] | undefined
  /** `undefined`: of every slot. */
  readonly part?: Part<E> | undefined
}

/** A page that is asked for: the events after `after` that the reading lets through, at most `limit`. */
export interface PageRequest<P> {
  readonly after: P | undefined
  readonly reading: HighWaterReading<P>
  readonly limit: number
}

/** What a page was fetched for, before it was asked for. */
export interface Fetched<P> {
  readonly after: P
  readonly incarnation: string
  readonly limit: number
}

/** Whether it is the page that is asked for: after the same position, of the same incarnation, and as large. */
export function isFetchedFor<P, F extends Fetched<P>>(
  order: PositionOrder<P>,
  fetched: F | undefined,
  { after, reading, limit }: PageRequest<P>,
): fetched is F {
  if (fetched === undefined || after === undefined) return false
  const isAsLarge = fetched.limit === limit && fetched.incarnation === reading.incarnation
  return isAsLarge && order.compare(fetched.after, after) === 0
}

/** Loads one projection's pages, the next one while the current one is handled. */
export class PageReader<P, E> {
  readonly #source: EventSource<P, E>
  /** What is asked of the source. */
  readonly #wanted: Pick<LoadRequest<P>, 'eventTypes' | 'slots'>
  readonly #part: Part<E> | undefined
  readonly #signal: AbortSignal
  /** How many events of those that are asked for a page has; `undefined`: all. */
  readonly #size: PageSize | undefined
  #fetched: (Fetched<P> & { readonly page: Promise<ReadPage<P, E>> }) | undefined
  /** A page after a later position is asked for for the first time. */
  #askedAfter: P | undefined

  constructor(
    source: EventSource<P, E>,
    { eventTypes, part }: Wanted<E>,
    signal: AbortSignal,
    size?: PageSize,
  ) {
    this.#source = source
    const slots = keySlotsOf(part)
    this.#wanted = { eventTypes, ...(slots === undefined ? {} : { slots }) }
    this.#part = part
    this.#signal = signal
    this.#size = size
  }

  /** The page that is asked for: the prefetched one, if it is that. */
  async next(request: PageRequest<P>): Promise<ReadPage<P, E>> {
    const fetched = this.#fetched
    this.#fetched = undefined
    if (isFetchedFor(this.#source.order, fetched, request)) {
      // It failed before it was needed: of what is over by now, perhaps, as a pool whose last connection a handler had.
      return await fetched.page.catch(() => this.#load(request))
    }
    return await this.#load(request)
  }

  /** The events from `first` to `last` that are still there, whole. */
  async between(
    first: P,
    last: P,
    limit: number,
    { incarnation, settled, logPosition }: HighWaterReading<P>,
  ): Promise<ReadPage<P, E>> {
    const { order } = this.#source
    const evidence = { incarnation, settled, logPosition }
    const asked = { upTo: last, limit, ...this.#wanted, evidence, signal: this.#signal }
    let page = await this.#source.load({ ...asked, after: undefined, from: first })
    while (!isReached(order, last, page.through)) {
      page = joined(page, await this.#source.load({ ...asked, after: page.through }))
    }
    return { ...this.#own(page), evidence, reachesMark: false }
  }

  /** The page after the one that is handled. Beside one that is too large by itself there is none. */
  prefetch(request: PageRequest<P> & { readonly after: P }, { bytes }: Pick<Page<P, E>, 'bytes'> = {}): void {
    const { after, reading, limit } = request
    if (this.#size !== undefined && (bytes ?? 0) > this.#size.mostBytes) return
    if (isReached(this.#source.order, reading.mark, after)) return
    const page = this.#load(request)
    // The step that needs this page asks for it again.
    page.catch(() => {})
    this.#fetched = { after, incarnation: reading.incarnation, limit, page }
  }

  drop(): void {
    this.#fetched = undefined
  }

  /** A page that is asked for again is read anew: somebody may have mended an event that failed. */
  #isFirstOf(after: P | undefined): boolean {
    if (after === undefined || isReached(this.#source.order, after, this.#askedAfter)) return false
    this.#askedAfter = after
    return true
  }

  #own(page: Page<P, E>): Page<P, E> & Pick<ReadPage<P, E>, 'read'> {
    const own = ownEvents(this.#source.order, page, this.#part)
    return own === page ? page : { ...own, read: page.events.length }
  }

  async #load({ after, reading, limit }: PageRequest<P>): Promise<ReadPage<P, E>> {
    const { mark, incarnation, settled, logPosition } = reading
    if (mark === undefined) throw new TypeError('nothing is loaded before there is a mark')
    const evidence = { incarnation, settled, logPosition }
    const request = {
      after,
      upTo: mark,
      limit: Math.min(limit, this.#size?.events ?? limit),
      ...(this.#size === undefined ? {} : { mostBytes: this.#size.mostBytes }),
      ...this.#wanted,
      evidence,
      mayComeAlong: this.#isFirstOf(after),
      signal: this.#signal,
    }
    const page = await this.#source.load(request)
    this.#size?.read(page)
    const reachesMark = isReached(this.#source.order, mark, page.through)
    return { ...this.#own(page), evidence, reachesMark }
  }
}

/** Two pages as one. */
function joined<P, E>(before: Page<P, E>, after: Page<P, E>): Page<P, E> {
  return {
    events: [...before.events, ...after.events],
    positions: [...before.positions, ...after.positions],
    types: before.types && after.types && [...before.types, ...after.types],
    through: after.through,
  }
}
