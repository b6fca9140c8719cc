/** Chance for one who acts: with the same seed it decides the same, in the same order. */
export class Random {
  readonly #next: () => number

  /** @param next - from 0 to below 1 */
  constructor(next: () => number = Math.random) {
    this.#next = next
  }

  static seeded(seed: number): Random {
    return new Random(mulberry32(seed))
  }

  chance(share: number): boolean {
    return this.#next() < share
  }

  /** From 0 to below 1. */
  share(): number {
    return this.#next()
  }

  /** A whole number, both ends included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.#next() * (most - least + 1))
  }

  /** Short ones often, long ones rarely: as likely from 50 to 100 as from 500 to 1000. */
  mostlyShort(least: number, most: number): number {
    return least * (most / least) ** this.#next()
  }

  oneOf<T>(items: readonly [T, ...T[]]): T {
    return items[this.between(0, items.length - 1)] ?? items[0]
  }

  /** As often as its weight says. */
  weighted<T extends { readonly weight: number }>(items: readonly [T, ...T[]]): T {
    let left = this.#next() * items.reduce((sum, { weight }) => sum + weight, 0)
    for (const item of items) {
      left -= item.weight
      if (left < 0) return item
    }
    return items[0]
  }
}

/** A well-known generator of 32 bits of state. */
function mulberry32(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
