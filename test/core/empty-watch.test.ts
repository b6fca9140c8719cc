import type { Gap } from '@tidemark/core'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { emptyTail, MOST_WATCHED_RUNS, watchEmpty } from '../../packages/core/src/high-water/empty-watch.ts'
import { settle, startSettlement, withMark } from '../../packages/core/src/high-water/settlement.ts'

// How long it takes depends on what else the machine does.
vi.setConfig({ testTimeout: 60_000 })

const run = (from: bigint, to = from): Gap<bigint> => ({ from, to })

describe('the runs that are watched', () => {
  test('are joined where they touch or overlap, and kept apart where a visible event lies between', () => {
    expect(watchEmpty([run(3n), run(8n, 9n)], [run(4n, 6n), run(9n, 12n), run(14n)])).toEqual([
      run(3n, 6n),
      run(8n, 12n),
      run(14n),
    ])
  })

  test('are the newest ones, and never more than so many', () => {
    const many = Array.from({ length: MOST_WATCHED_RUNS + 5 }, (_, n) => run(BigInt(2 * n)))
    const watched = many.reduce<readonly Gap<bigint>[]>((before, next) => watchEmpty(before, [next]), [])
    expect(watched).toEqual(many.slice(5))
  })

  test('take in what lies between the last visible event and settled, or all of it where nothing is visible', () => {
    expect(emptyTail(9n, 6n, 1n)).toEqual([run(7n, 9n)])
    expect(emptyTail(9n, 9n, 1n)).toEqual([])
    expect(emptyTail(9n, undefined, 1n)).toEqual([run(1n, 9n)])
    expect(emptyTail(0n, undefined, 1n)).toEqual([])
  })
})

interface Writer {
  readonly id: string
  readonly numbers: bigint[]
}

/** A table, its writers and one reader that polls, handles what lies up to the mark, and watches what was proven empty. */
class World {
  readonly lost = new Set<bigint>()
  reported: readonly bigint[] = []
  readonly #visible = new Set<bigint>()
  readonly #handled = new Set<bigint>()
  readonly #holders: Writer[] = []
  /** Numbers that were taken outside the transaction that will insert them. */
  readonly #ahead: bigint[] = []
  #writers = 0
  #last = 0n
  #settlement = startSettlement(undefined)
  #watched: readonly Gap<bigint>[] = []
  #cursor = 0n

  step([kind, n]: Step): void {
    if (kind === 'begin') this.#begin(1 + (n % 3))
    if (kind === 'commit') for (const number of this.#end(n)) this.#show(number)
    if (kind === 'roll back') this.#end(n)
    if (kind === 'take ahead') this.#ahead.push(++this.#last)
    if (kind === 'insert what was taken') {
      const [number] = this.#ahead.splice(n % Math.max(1, this.#ahead.length), 1)
      if (number !== undefined) this.#show(number)
    }
    if (kind === 'poll') this.poll(n % 2 === 0)
  }

  poll(readsWindow: boolean): void {
    const watches = (position: bigint) =>
      this.#watched.some(({ from, to }) => from <= position && position <= to)
    this.reported = this.#sorted().filter(watches)
    const { settled: before = 0n } = this.#settlement
    const visible = readsWindow ? this.#sorted().filter((position) => position > before) : []
    const { settlement, provenEmpty, markNeedsLookup } = settle(this.#settlement, {
      lastHandedOut: this.#last,
      holders: this.#holders.map(({ id }) => id),
      visible,
      windowEnd: readsWindow ? this.#last : undefined,
    })
    this.#watched = watchEmpty(this.#watched, provenEmpty)
    const { settled } = settlement
    const lookedUp =
      settled === undefined ? undefined : this.#sorted().findLast((position) => position <= settled)
    this.#settlement = markNeedsLookup ? withMark(settlement, lookedUp) : settlement
    if (markNeedsLookup && settled !== undefined) {
      this.#watched = watchEmpty(this.#watched, emptyTail(settled, lookedUp, 1n))
    }
    this.#handleUpToMark()
  }

  #handleUpToMark(): void {
    const { mark } = this.#settlement
    if (mark === undefined || mark <= this.#cursor) return
    for (const position of this.#visible) {
      if (position > this.#cursor && position <= mark) this.#handled.add(position)
    }
    this.#cursor = mark
  }

  #show(position: bigint): void {
    this.#visible.add(position)
    if (position <= this.#cursor) this.lost.add(position)
  }

  #begin(count: number): void {
    const numbers = Array.from({ length: count }, () => ++this.#last)
    this.#holders.push({ id: `writer/${++this.#writers}`, numbers })
  }

  #end(n: number): readonly bigint[] {
    return this.#holders.splice(n % Math.max(1, this.#holders.length), 1)[0]?.numbers ?? []
  }

  #sorted(): bigint[] {
    return [...this.#visible].toSorted((a, b) => (a < b ? -1 : 1))
  }
}

const HONEST = ['begin', 'commit', 'roll back', 'poll'] as const
const TAKEN_AHEAD = ['take ahead', 'insert what was taken'] as const
type Step = readonly [(typeof HONEST)[number] | (typeof TAKEN_AHEAD)[number], number]

const history = (kinds: readonly Step[0][]): fc.Arbitrary<Step[]> =>
  fc.array(fc.tuple(fc.constantFrom(...kinds), fc.nat(20)), { minLength: 20, maxLength: 60, size: 'max' })

/** Every position that is read is counted, so that one window covers what lies between two polls. */
const readsWindows = (steps: readonly Step[]): Step[] =>
  steps.map(([kind, n]) => (kind === 'poll' ? [kind, 2 * n] : [kind, n]))

describe('watching what was proven empty', () => {
  test('finds nothing, ever, where each number is taken in the transaction that inserts it', () => {
    fc.assert(
      fc.property(history(HONEST), (steps) => {
        const world = new World()
        for (const step of steps) {
          world.step(step)
          if (world.reported.length + world.lost.size > 0)
            throw new Error('found an event that was not there')
        }
      }),
      { numRuns: 500 },
    )
  })

  test('finds every event that was passed, at the poll after it became visible, where numbers are taken ahead', () => {
    let losses = 0
    fc.assert(
      fc.property(history([...HONEST, ...TAKEN_AHEAD]).map(readsWindows), (steps) => {
        const world = new World()
        world.poll(true)
        for (const step of steps) {
          world.step(step)
          if (step[0] !== 'poll' || (world.lost.size === 0 && world.reported.length === 0)) continue
          expect(world.reported).toEqual(expect.arrayContaining([...world.lost]))
          losses += world.lost.size
          return
        }
      }),
      { numRuns: 2_000 },
    )
    expect(losses).toBeGreaterThan(100)
  })
})
