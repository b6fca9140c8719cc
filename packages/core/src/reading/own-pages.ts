import type { EventSource, Evidence, HighWaterReading, Page } from '../ports/event-source.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'

export interface ReadPage<P, E> extends Page<P, E> {
  /** Whether it ends at the mark that it was read up to: nothing was left to read. */
  readonly reachesMark: boolean
  /** The poll that it was read under: a checkpoint moves to its end with this. */
  readonly evidence: Evidence<P>
}

/** What a page of a projection may have. */
interface PageLimits {
  readonly batchSize: number
  readonly eventTypes: readonly string[] | undefined
}

/** What a page was fetched for, before it was asked for. */
export interface Fetched<P> {
  readonly after: P
  readonly incarnation: string
}

/** Whether it is the page after `after`, of the same incarnation as `reading`. */
export function isFetchedFor<P, F extends Fetched<P>>(
  order: PositionOrder<P>,
  fetched: F | undefined,
  after: P | undefined,
  { incarnation }: Pick<HighWaterReading<P>, 'incarnation'>,
): fetched is F {
  if (fetched === undefined || after === undefined) return false
  return order.compare(fetched.after, after) === 0 && fetched.incarnation === incarnation
}

/** Loads one projection's pages, the next one while the current one is handled. */
export class PageReader<P, E> {
  readonly #source: EventSource<P, E>
  readonly #projection: PageLimits
  readonly #signal: AbortSignal
  #fetched: (Fetched<P> & { readonly page: Promise<ReadPage<P, E>> }) | undefined

  constructor(source: EventSource<P, E>, projection: PageLimits, signal: AbortSignal) {
    this.#source = source
    this.#projection = projection
    this.#signal = signal
  }

  /** The page after `after`: the prefetched one, if it is of the same incarnation as `reading`. */
  async next(after: P | undefined, reading: HighWaterReading<P>): Promise<ReadPage<P, E>> {
    const fetched = this.#fetched
    this.#fetched = undefined
    if (isFetchedFor(this.#source.order, fetched, after, reading)) {
      // It failed before it was needed: of what is over by now, perhaps, as a pool whose last connection a handler had.
      return await fetched.page.catch(() => this.#load(after, reading))
    }
    return await this.#load(after, reading)
  }

  prefetch(after: P, reading: HighWaterReading<P>): void {
    if (isReached(this.#source.order, reading.mark, after)) return
    const page = this.#load(after, reading)
    // The step that needs this page asks for it again.
    page.catch(() => {})
    this.#fetched = { after, incarnation: reading.incarnation, page }
  }

  drop(): void {
    this.#fetched = undefined
  }

  async #load(after: P | undefined, reading: HighWaterReading<P>): Promise<ReadPage<P, E>> {
    const { mark, incarnation, settled, logPosition } = reading
    if (mark === undefined) throw new TypeError('nothing is loaded before there is a mark')
    const evidence = { incarnation, settled, logPosition }
    const { batchSize: limit, eventTypes } = this.#projection
    const request = { after, upTo: mark, limit, eventTypes, evidence, signal: this.#signal }
    const page = await this.#source.load(request)
    return { ...page, evidence, reachesMark: isReached(this.#source.order, mark, page.through) }
  }
}
