import { errorJson, withJson } from '../kernel/json.ts'
import type { HighWaterReading, Holder, PollWait } from '../ports/event-source.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'
import { type AgedGap, ageGaps, type GapAges, type GapChanges, NO_GAPS } from './gap-ages.ts'
import { MarkHistory } from './mark-history.ts'

export interface HighWaterStatus<P> {
  /**
   * `halted`: the store stands behind what was processed, or events became visible where the mark had passed; the
   * operator decides. `failing`: polls fail and are retried.
   */
  readonly state: 'idle' | 'polling' | 'failing' | 'halted' | 'stopped'
  readonly head: P | undefined
  readonly settled: P | undefined
  readonly mark: P | undefined
  /** When this process first saw this mark. */
  readonly markFirstSeenMs: number | undefined
  readonly stale: boolean
  readonly gaps: readonly (AgedGap<P> & { readonly openForMs: number })[]
  readonly holders: readonly Holder[]
  /** Since when a visible event above an open gap is known to wait for it. */
  readonly eventsHeldSinceMs: number | undefined
  readonly lastPollAtMs: number | undefined
  /** Whether the values above are current: `false` while polls fail, or hang for longer than the threshold. */
  readonly isCurrent: boolean
  /**
   * For how long polls have failed or hung, once that is longer than the threshold, and what the present poll waits
   * for.
   */
  readonly unanswered: { readonly forMs: number; readonly waitsFor: PollWait | undefined } | undefined
  readonly error: unknown
}

/** What operators are told of the polls so far: ages and staleness. Nothing here moves the mark. */
export class HighWaterObservation<P> {
  readonly #order: PositionOrder<P>
  readonly #staleAfterMs: number
  #reading: HighWaterReading<P> | undefined
  #gaps: GapAges<P> = NO_GAPS
  #lastPollAtMs: number | undefined
  /** When the first poll began after the last one that succeeded. */
  #unansweredSinceMs: number | undefined
  #settledMovedAtMs = 0
  readonly #marks: MarkHistory<P>

  constructor(order: PositionOrder<P>, staleAfterMs: number) {
    this.#order = order
    this.#marks = new MarkHistory(order)
    this.#staleAfterMs = staleAfterMs
  }

  /** Whether settled stands below the head. */
  get #isBehind(): boolean {
    const reading = this.#reading
    return reading !== undefined && !isReached(this.#order, reading.head, reading.settled)
  }

  /** When an event above `position` was first seen below a mark; `undefined` where there is none. */
  firstSeenAboveMs(position: P | undefined): number | undefined {
    return this.#marks.firstAboveMs(position)
  }

  begin(nowMs: number): void {
    this.#unansweredSinceMs ??= nowMs
  }

  /** Ends what was begun. */
  answered(): void {
    this.#unansweredSinceMs = undefined
  }

  /** Another incarnation: nothing seen before says anything about it. */
  forget(): void {
    this.#reading = undefined
    this.#gaps = NO_GAPS
  }

  /** Takes in a poll that succeeded; returns the gaps that it closed. */
  succeed(reading: HighWaterReading<P>, nowMs: number): GapChanges<P>['closed'] {
    const wasBehind = this.#isBehind
    const before = this.#reading
    const settledMoved = before === undefined || !isReached(this.#order, reading.settled, before.settled)
    if (settledMoved || !wasBehind) this.#settledMovedAtMs = nowMs
    this.#lastPollAtMs = nowMs
    this.answered()
    this.#marks.see(reading.mark, nowMs)
    this.#reading = reading
    const { closed, ...gaps } = ageGaps(this.#order, this.#gaps, reading, nowMs)
    this.#gaps = gaps
    return closed
  }

  /** `JSON.stringify` writes positions as texts. */
  status(
    state: HighWaterStatus<P>['state'],
    error: unknown,
    nowMs: number,
    waitsFor: PollWait | undefined,
  ): HighWaterStatus<P> {
    const status: HighWaterStatus<P> = {
      state,
      head: this.#reading?.head,
      settled: this.#reading?.settled,
      mark: this.#reading?.mark,
      markFirstSeenMs: this.#reading === undefined ? undefined : this.#marks.newestAtMs,
      stale: state !== 'idle' && state !== 'stopped' && this.#isStale(nowMs),
      gaps: this.#gaps.open.map((gap) => ({ ...gap, openForMs: nowMs - gap.firstSeenMs })),
      holders: this.#reading?.holders ?? [],
      eventsHeldSinceMs: this.#eventsHeldSinceMs(),
      lastPollAtMs: this.#lastPollAtMs,
      isCurrent: state === 'polling' && !this.#isUnanswered(nowMs),
      unanswered: this.#isUnanswered(nowMs) ? { forMs: this.#unansweredForMs(nowMs), waitsFor } : undefined,
      error,
    }
    const { head, settled, mark, gaps } = status
    const text = (position: P | undefined): string | undefined =>
      position === undefined ? undefined : this.#order.format(position)
    return withJson(status, () => ({
      ...status,
      head: text(head),
      settled: text(settled),
      mark: text(mark),
      gaps: gaps.map((gap) => ({ ...gap, from: text(gap.from), to: text(gap.to) })),
      error: error === undefined ? undefined : errorJson(error),
    }))
  }

  /** Right above a gap there is a visible event, unless the gap ends at the head. */
  #eventsHeldSinceMs(): number | undefined {
    const { open, heads } = this.#gaps
    const [lowest] = open
    return lowest && heads.find(({ head }) => this.#order.compare(head, lowest.to) > 0)?.atMs
  }

  #isUnanswered(nowMs: number): boolean {
    return this.#unansweredForMs(nowMs) > this.#staleAfterMs
  }

  #unansweredForMs(nowMs: number): number {
    return this.#unansweredSinceMs === undefined ? 0 : nowMs - this.#unansweredSinceMs
  }

  /** Compares settled, not the mark: an idle store whose last numbers were rolled back is not stale. */
  #isStale(nowMs: number): boolean {
    if (this.#isUnanswered(nowMs)) return true
    if (!this.#isBehind) return false
    const since = this.#gaps.open.reduce(
      (earliest, gap) => Math.min(earliest, gap.firstSeenMs),
      this.#settledMovedAtMs,
    )
    return nowMs - since > this.#staleAfterMs
  }
}
