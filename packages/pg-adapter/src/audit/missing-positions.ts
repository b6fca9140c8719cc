/** One look at the table, in one snapshot. */
export interface Look {
  /** Between these two the snapshot was taken, by this process's clock. */
  readonly sentMs: number
  readonly answeredMs: number
  /** What was visible of that which was asked for, ascending. */
  readonly visible: readonly bigint[]
}

/** An event that was not visible when a higher position was. */
export interface CameLate {
  readonly position: bigint
  readonly passedBy: bigint
  /** It was missing for longer than that: from the end of the first look that missed it to the begin of the last one. */
  readonly missingMs: number
}

interface Missing {
  readonly passedBy: bigint
  readonly sinceMs: number
  readonly lastMissedMs: number
}

/** More would make a look slow. The lowest, which are the oldest, are given up first. */
export const MOST_FOLLOWED = 5_000

/**
 * Which positions were missing when a higher one was visible, and for how long. All in a look is of one snapshot: what is not
 * in it was not visible.
 */
export class MissingPositions {
  #highest: bigint | undefined
  readonly #missing = new Map<bigint, Missing>()
  /** Positions that were given up, since there were too many. */
  notFollowed = 0n
  /** Events that became visible after the first look. */
  events = 0
  #isFirst = true

  /** @param from - positions above it are asked for; `undefined`: the first visible one is the first of all */
  constructor(from: bigint | undefined) {
    this.#highest = from
  }

  /** Positions above it are asked for in the next look. */
  get highest(): bigint | undefined {
    return this.#highest
  }

  /** And these. */
  get missing(): readonly bigint[] {
    return [...this.#missing.keys()]
  }

  take({ sentMs, answeredMs, visible }: Look): readonly CameLate[] {
    const cameLate: CameLate[] = []
    for (const position of visible) {
      const missing = this.#missing.get(position)
      if (missing === undefined) continue
      this.#missing.delete(position)
      const missingMs = Math.max(0, missing.lastMissedMs - missing.sinceMs)
      cameLate.push({ position, passedBy: missing.passedBy, missingMs })
    }
    for (const [position, missing] of this.#missing) {
      this.#missing.set(position, { ...missing, lastMissedMs: sentMs })
    }
    if (!this.#isFirst) this.events += visible.length
    this.#isFirst = false
    for (const position of visible) this.#goOnTo(position, { sinceMs: answeredMs, lastMissedMs: sentMs })
    this.#giveUp()
    return cameLate
  }

  #goOnTo(position: bigint, seen: Omit<Missing, 'passedBy'>): void {
    const highest = this.#highest ?? position - 1n
    if (position <= highest) return
    const first = position - BigInt(MOST_FOLLOWED)
    if (first > highest + 1n) this.notFollowed += first - highest - 1n
    for (let below = first > highest + 1n ? first : highest + 1n; below < position; below++) {
      this.#missing.set(below, { ...seen, passedBy: position })
    }
    this.#highest = position
  }

  #giveUp(): void {
    for (const position of this.#missing.keys()) {
      if (this.#missing.size <= MOST_FOLLOWED) return
      this.#missing.delete(position)
      this.notFollowed++
    }
  }
}
