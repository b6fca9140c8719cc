/** An event that was committed after one with a higher position. */
export interface Inversion {
  readonly position: bigint
  /** How long a reader that looks all the time would have had to wait for it at the gap. */
  readonly delayMs: number
  /** The higher position that was there first. */
  readonly passedBy: bigint
}

/** Events that were committed after a higher position, and what that means for readers. */
export interface Inversions {
  /** Of how many events the commit is known. */
  readonly events: number
  /** How many of them were committed after a higher position. */
  readonly inverted: number
  /** Those with the longest delays, the longest first. */
  readonly longest: readonly Inversion[]
  /**
   * For a reader that passes a gap after a fixed wait: the events whose delay is longer. It loses each of them if it looks as
   * soon as the higher position is there.
   */
  readonly fixedWaits: readonly { readonly waitMs: number; readonly lost: number }[]
  /** How many delays lie between two of these waits, and above the longest: `upToMs` is `undefined`. */
  readonly histogram: readonly {
    readonly aboveMs: number
    readonly upToMs: number | undefined
    readonly events: number
  }[]
}

const MOST_LISTED = 10

/** Counts inversions as they are found. */
export class InversionCounts {
  readonly #waitsUs: readonly number[]
  /** How many delays lie between this wait and the next one. */
  readonly #above: number[]
  #longest: { readonly position: string; readonly delayUs: number; readonly passedBy: string }[] = []
  events = 0

  /** @param waitsMs - ascending, 0 first */
  constructor(waitsMs: readonly number[]) {
    this.#waitsUs = waitsMs.map((wait) => wait * 1_000)
    this.#above = waitsMs.map(() => 0)
  }

  add(position: string, delayUs: number, passedBy: string): void {
    const wait = this.#waitsUs.findLastIndex((waitUs) => delayUs > waitUs)
    if (wait >= 0) this.#above[wait] = (this.#above[wait] ?? 0) + 1
    const shortest = this.#longest.at(-1)
    if (this.#longest.length === MOST_LISTED && shortest && shortest.delayUs >= delayUs) return
    const at = this.#longest.findIndex((other) => other.delayUs < delayUs)
    this.#longest.splice(at < 0 ? this.#longest.length : at, 0, { position, delayUs, passedBy })
    this.#longest = this.#longest.slice(0, MOST_LISTED)
  }

  result(): Inversions {
    const waitsMs = this.#waitsUs.map((waitUs) => waitUs / 1_000)
    const lostFrom = (wait: number): number =>
      this.#above.slice(wait).reduce((sum, events) => sum + events, 0)
    return {
      events: this.events,
      inverted: lostFrom(0),
      longest: this.#longest.map(({ position, delayUs, passedBy }) => ({
        position: BigInt(position),
        delayMs: delayUs / 1_000,
        passedBy: BigInt(passedBy),
      })),
      fixedWaits: waitsMs.map((waitMs, wait) => ({ waitMs, lost: lostFrom(wait) })),
      histogram: waitsMs.map((aboveMs, wait) => ({
        aboveMs,
        upToMs: waitsMs[wait + 1],
        events: this.#above[wait] ?? 0,
      })),
    }
  }
}
