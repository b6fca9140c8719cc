import { hasCode } from '../../../kernel/errors.ts'
import type {
  EventSource,
  HighWaterReading,
  OpenedSource,
  Page,
  StoredProgress,
  TailWish,
} from '../../../ports/event-source.ts'
import { isReached, type PositionOrder } from '../../../ports/position.ts'
import { expectEqual, expectThat, until, within } from '../expectations.ts'
import type { EventSourceFixture } from './fixture.ts'

/** One process that polls and reads a store. Whatever a case is about, each poll and each page is checked here too. */
export class Reader<P, E> {
  readonly source: EventSource<P, E>
  readonly order: PositionOrder<P>
  readonly #idOf: (event: E) => string
  #reading: HighWaterReading<P> | undefined
  /** Of each incarnation that was opened here. */
  readonly #opened = new Map<string, OpenedSource>()

  constructor(store: Pick<EventSourceFixture<P, E>, 'open' | 'idOf'>) {
    this.source = store.open()
    this.order = this.source.order
    this.#idOf = store.idOf
  }

  /** The next poll: the first one, or one that goes on from the last. */
  async poll(
    stored: () => Promise<readonly StoredProgress<P>[]> = async () => [],
  ): Promise<HighWaterReading<P>> {
    const reading = await this.pollFrom(this.#reading, stored)
    this.#reading = reading
    return reading
  }

  /** The next poll, along with which rows may come. */
  async pollAlong(tails: readonly TailWish<P>[]): Promise<HighWaterReading<P>> {
    this.#reading = await this.pollFrom(this.#reading, undefined, undefined, tails)
    return this.#reading
  }

  /** A poll that the next one does not go on from. */
  async pollFrom(
    previous: HighWaterReading<P> | undefined,
    stored: () => Promise<readonly StoredProgress<P>[]> = async () => [],
    signal: AbortSignal = new AbortController().signal,
    tails: readonly TailWish<P>[] = [],
  ): Promise<HighWaterReading<P>> {
    const opened = await this.#openedFor(previous, signal)
    const poll = async (given: readonly StoredProgress<P>[] | undefined): Promise<HighWaterReading<P>> => {
      const request = { previous, opened, stored: given, sharesLog: tails.length > 0, tails, signal }
      return await within(this.source.readHighWater(request), 'a poll')
    }
    const reading = await poll(previous ? undefined : await stored()).catch(async (error: unknown) => {
      if (!hasCode(error, 'TIDEMARK_PROGRESS_NEEDED')) throw error
      return await poll(await stored())
    })
    this.#expectSound(reading)
    if (previous?.incarnation === reading.incarnation) this.#expectNotBack(previous, reading)
    return reading
  }

  async #openedFor(previous: HighWaterReading<P> | undefined, signal: AbortSignal): Promise<OpenedSource> {
    const known = previous && this.#opened.get(previous.incarnation)
    if (known) return known
    const opened = await within(this.source.open({ signal }), 'opening a source')
    this.#opened.set(opened.incarnation, opened)
    return opened
  }

  /** Polls until settled has reached what the store had handed out, which may take several polls far behind. */
  async caughtUp(stored?: () => Promise<readonly StoredProgress<P>[]>): Promise<HighWaterReading<P>> {
    return await until(
      () => this.poll(stored),
      ({ head, settled }) => isReached(this.order, head, settled),
      'settled reaches the head, with nothing open',
    )
  }

  async page(
    reading: HighWaterReading<P>,
    {
      after,
      upTo = reading.mark,
      limit = 10_000,
      eventTypes,
      mayComeAlong = false,
      signal = new AbortController().signal,
    }: PageRequest<P>,
  ): Promise<Page<P, E> & { readonly ids: readonly string[] }> {
    if (upTo === undefined) throw new TypeError('nothing is loaded before there is a mark')
    const { incarnation, settled, logPosition } = reading
    const evidence = { incarnation, settled, logPosition }
    const loading = this.source.load({ after, upTo, limit, eventTypes, evidence, mayComeAlong, signal })
    const page = await within(loading, 'a page')
    this.#expectSoundPage(page, { after, upTo, limit })
    return { ...page, ids: page.events.map(this.#idOf) }
  }

  /** Everything in `(after, reading.mark]`, read page by page. */
  async pages(
    reading: HighWaterReading<P>,
    { after, limit = 10_000, eventTypes, upTo = reading.mark }: PageRequest<P> = {},
  ): Promise<{ readonly ids: string[]; readonly positions: P[] }> {
    const ids: string[] = []
    const positions: P[] = []
    let cursor = after
    while (upTo !== undefined && !isReached(this.order, upTo, cursor)) {
      const page = await this.page(reading, { after: cursor, upTo, limit, eventTypes })
      ids.push(...page.ids)
      positions.push(...page.positions)
      cursor = page.through
    }
    return { ids, positions }
  }

  text(position: P | undefined): string | undefined {
    return position === undefined ? undefined : this.order.format(position)
  }

  #expectSound(reading: HighWaterReading<P>): void {
    const { head, settled, mark, incarnation } = reading
    const found = { head: this.text(head), settled: this.text(settled), mark: this.text(mark) }
    expectThat(isReached(this.order, mark, settled), 'the mark stands at or below settled', found)
    expectThat(isReached(this.order, settled, head), 'settled stands at or below the head', found)
    expectThat(
      typeof incarnation === 'string' && incarnation !== '',
      'a reading names its incarnation',
      incarnation,
    )
  }

  #expectNotBack(before: HighWaterReading<P>, now: HighWaterReading<P>): void {
    for (const part of ['settled', 'mark'] as const) {
      const found = { before: this.text(before[part]), now: this.text(now[part]) }
      expectThat(
        isReached(this.order, before[part], now[part]),
        `${part} never goes back within an incarnation`,
        found,
      )
    }
  }

  #expectSoundPage(
    { events, positions, types, appendTimesMs, through }: Page<P, E>,
    { after, upTo, limit }: { readonly after: P | undefined; readonly upTo: P; readonly limit: number },
  ): void {
    const { compare, format, parse } = this.order
    const found = positions.map((position) => format(position))
    expectEqual(positions.length, events.length, 'a page has one position for each event')
    if (types) expectEqual(types.length, events.length, 'a page with types has one type for each event')
    if (appendTimesMs) {
      expectEqual(
        appendTimesMs.length,
        events.length,
        'a page with append times has one append time for each event',
      )
    }
    const isAscending = positions.every((position, n) => {
      const before = n === 0 ? after : positions[n - 1]
      // Events of one commit may share a position, but none has the position of `after`.
      return before === undefined || compare(before, position) < (n === 0 ? 0 : 1)
    })
    expectThat(
      isAscending,
      `the positions of a page ascend from above \`after\` (${this.text(after)})`,
      found,
    )
    const last = positions.at(-1)
    expectThat(
      last === undefined || compare(last, upTo) <= 0,
      `no event lies above \`upTo\` (${format(upTo)})`,
      found,
    )
    const atLimit = positions[limit - 1]
    const surplus = positions.slice(limit)
    expectThat(
      surplus.every((position) => atLimit !== undefined && compare(position, atLimit) === 0),
      `a page has at most \`limit\` (${limit}) events, but for those that share the last position`,
      found,
    )
    const isAhead = after === undefined || compare(through, after) > 0
    const coversEvents = last === undefined || compare(through, last) >= 0
    expectThat(
      isAhead && coversEvents && compare(through, upTo) <= 0,
      '`through` is above `after`, at or above the last event, and not above `upTo`',
      { after: this.text(after), last: this.text(last), through: format(through), upTo: format(upTo) },
    )
    for (const position of positions) {
      expectThat(
        compare(parse(format(position)), position) === 0,
        'a position comes back from its text',
        position,
      )
    }
  }
}

export interface PageRequest<P> {
  readonly after?: P | undefined
  readonly upTo?: P | undefined
  readonly limit?: number
  readonly eventTypes?: readonly string[] | undefined
  readonly mayComeAlong?: boolean
  readonly signal?: AbortSignal
}
