import type { Gap } from '../ports/event-source.ts'

type Run = { from: bigint; to: bigint }

/** Positions that were handed to a handler, as runs: neighbours take no more room than one. */
export class HandedRuns {
  #runs: Run[] = []

  /** How many runs are kept. */
  get size(): number {
    return this.#runs.length
  }

  add(position: bigint): void {
    const next = this.#firstEndingAt(position)
    const run = this.#runs[next]
    if (run !== undefined && run.from <= position) return
    const before = this.#runs[next - 1]
    const joinsBefore = before?.to === position - 1n
    const joinsNext = run?.from === position + 1n
    if (before && run && joinsBefore && joinsNext) {
      before.to = run.to
      this.#runs.splice(next, 1)
    } else if (before && joinsBefore) before.to = position
    else if (run && joinsNext) run.from = position
    else this.#runs.splice(next, 0, { from: position, to: position })
  }

  has(position: bigint): boolean {
    const run = this.#runs[this.#firstEndingAt(position)]
    return run !== undefined && run.from <= position
  }

  /** Forgets what stands neither above the position nor in the runs, which are sorted. */
  keep(above: bigint, within: readonly Gap<bigint>[]): void {
    const kept = within.flatMap(({ from, to }) => this.#part(from, to < above ? to : above))
    const last = this.#runs.at(-1)?.to
    if (last !== undefined && last > above) kept.push(...this.#part(above + 1n, last))
    this.#runs = joined(kept)
  }

  #part(from: bigint, to: bigint): Run[] {
    const part: Run[] = []
    if (from > to) return part
    for (let index = this.#firstEndingAt(from); index < this.#runs.length; index++) {
      const run = this.#runs[index]
      if (run === undefined || run.from > to) break
      part.push({ from: run.from > from ? run.from : from, to: run.to < to ? run.to : to })
    }
    return part
  }

  /** The index of the first run that ends at the position or above it. Most often it is behind the last one. */
  #firstEndingAt(position: bigint): number {
    let high = this.#runs.length
    const last = this.#runs[high - 1]
    if (last === undefined || last.to < position) return high
    let low = 0
    while (low < high) {
      const middle = (low + high) >> 1
      const run = this.#runs[middle]
      if (run !== undefined && run.to < position) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Neighbours that were cut apart are one run again, so that each cut does not leave one more. */
function joined(runs: readonly Run[]): Run[] {
  const joined: Run[] = []
  for (const run of runs) {
    const before = joined.at(-1)
    if (before?.to === run.from - 1n) before.to = run.to
    else joined.push(run)
  }
  return joined
}
