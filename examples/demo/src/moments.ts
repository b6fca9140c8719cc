const FIRST_CAPACITY = 65_536

/** A moment for each position, in milliseconds of `performance.now()`: positions are dense, so an array will do. */
export class Moments {
  #moments = new Float64Array(FIRST_CAPACITY).fill(Number.NaN)
  #highest = 0

  /** The highest position that has one. */
  get highest(): number {
    return this.#highest
  }

  set(position: number, atMs: number): void {
    if (position >= this.#moments.length) this.#grow(position)
    this.#moments[position] = atMs
    if (position > this.#highest) this.#highest = position
  }

  get(position: number): number | undefined {
    const atMs = this.#moments[position]
    return atMs === undefined || Number.isNaN(atMs) ? undefined : atMs
  }

  #grow(position: number): void {
    const grown = new Float64Array(Math.max(position + 1, this.#moments.length * 2)).fill(Number.NaN)
    grown.set(this.#moments)
    this.#moments = grown
  }
}
