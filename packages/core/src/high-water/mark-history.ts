import { isReached, type PositionOrder } from '../ports/position.ts'

/** Beyond this every second mark is dropped: what is long past is then known less exactly than what is not. */
const MOST_MARKS = 1_024

/**
 * When the marks of this process were first seen. The first event above a position was first seen with the first mark
 * above that position, however far behind a projection stands, and wherever its batches end.
 */
export class MarkHistory<P> {
  readonly #order: PositionOrder<P>
  /** Ascending, in marks and in time. */
  #seen: { readonly mark: P; readonly atMs: number }[] = []

  constructor(order: PositionOrder<P>) {
    this.#order = order
  }

  see(mark: P | undefined, nowMs: number): void {
    // In another incarnation the mark may stand lower, and what lies above it may be handed out again.
    while (this.#seen.length > 0 && !isReached(this.#order, this.#seen.at(-1)?.mark, mark)) this.#seen.pop()
    if (mark === undefined || isReached(this.#order, mark, this.#seen.at(-1)?.mark)) return
    this.#seen.push({ mark, atMs: nowMs })
    // Of two neighbours the later mark stays: nothing comes out older than it is.
    if (this.#seen.length > MOST_MARKS) this.#seen = this.#seen.filter((_, index) => index % 2 === 0)
  }

  /** When the newest mark was first seen. */
  get newestAtMs(): number | undefined {
    return this.#seen.at(-1)?.atMs
  }

  /** When an event above `position` was first seen; `undefined` where there is none. */
  firstAboveMs(position: P | undefined): number | undefined {
    return this.#seen.find(({ mark }) => !isReached(this.#order, mark, position))?.atMs
  }
}
