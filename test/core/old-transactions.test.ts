import { passStaleGaps, type StaleThreshold, startStaleThreshold } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'

vi.setConfig({ testTimeout: 60_000 })

const THRESHOLD_MS = 1_000
const RUNS = Number(process.env.TIDEMARK_RUNS ?? 1_000)

/** What happens in a store whose writers take a number first, and begin the transaction that inserts it later. */
type Step =
  | { readonly kind: 'append' | 'take' | 'open' | 'ask' | 'see' | 'poll' }
  | { readonly kind: 'begin' | 'prepare' | 'commit' | 'rollback'; readonly which: number }
  | { readonly kind: 'wait'; readonly forMs: number }

const which = fc.nat(3)

/** Gaps get stale, and their writers are open by then, in a good part of such histories. */
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom('poll' as const) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('wait' as const), forMs: fc.nat(500) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('begin' as const), which }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('append' as const, 'take' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('open' as const, 'ask' as const, 'see' as const) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('prepare' as const, 'commit' as const, 'rollback' as const),
      which,
    }),
  },
)

interface Writer {
  readonly number: bigint | undefined
  readonly takenAtMs: number
  transaction: string | undefined
}

interface Passing {
  readonly passed: readonly bigint[]
  readonly waitsFor: readonly string[]
}

/** A store, and polls of it that are parted: what is open is asked before what is visible. */
class Store {
  readonly visible = new Set<bigint>()
  readonly passings: Passing[] = []
  readonly #renames: boolean
  #writers: Writer[] = []
  #nowMs = 0
  #handedOut = 0n
  #transactions = 0
  #asked: { readonly atMs: number; readonly open: readonly string[] } | undefined
  #state: StaleThreshold = startStaleThreshold(undefined, 0n)

  /** @param renames - whether a transaction has another name once it is prepared */
  constructor(renames: boolean) {
    this.#renames = renames
  }

  get mark(): bigint | undefined {
    return this.#state.mark
  }

  do(todo: Step): void {
    if ('which' in todo) this.#change(todo.kind, this.#writers[todo.which])
    else if (todo.kind === 'append') this.visible.add(++this.#handedOut)
    else if (todo.kind === 'take') this.#add(++this.#handedOut, undefined)
    // A transaction that is open before its number is taken, or that takes none.
    else if (todo.kind === 'open')
      this.#add(this.#handedOut % 2n === 0n ? ++this.#handedOut : undefined, this.#name())
    else if (todo.kind === 'wait') this.#wait(todo.forMs)
    else if (todo.kind === 'ask') this.#asked = { atMs: this.#nowMs, open: this.#open() }
    else if (todo.kind === 'see') this.#see()
    else this.poll()
  }

  poll(): void {
    this.do({ kind: 'ask' })
    this.do({ kind: 'see' })
  }

  #name(): string {
    return `3/${++this.#transactions}`
  }

  #add(number: bigint | undefined, transaction: string | undefined): void {
    this.#writers.push({ number, takenAtMs: this.#nowMs, transaction })
  }

  #open(): readonly string[] {
    return this.#writers.flatMap(({ transaction }) => transaction ?? [])
  }

  /** A writer that has not begun within the threshold never does: this is what the rule rests on. */
  #wait(forMs: number): void {
    this.#nowMs += forMs
    this.#writers = this.#writers.filter(
      ({ transaction, takenAtMs }) => transaction !== undefined || this.#nowMs - takenAtMs < THRESHOLD_MS,
    )
  }

  #change(kind: 'begin' | 'prepare' | 'commit' | 'rollback', writer: Writer | undefined): void {
    if (writer === undefined) return
    if (kind === 'begin') writer.transaction ??= this.#name()
    else if (writer.transaction === undefined) return
    else if (kind === 'prepare') {
      if (this.#renames && !writer.transaction.startsWith('-1/'))
        writer.transaction = `-1/${++this.#transactions}`
    } else {
      this.#writers = this.#writers.filter((each) => each !== writer)
      if (kind === 'commit' && writer.number !== undefined) this.visible.add(writer.number)
    }
  }

  #see(): void {
    if (this.#asked === undefined) return
    const { atMs: askedAtMs, open } = this.#asked
    this.#asked = undefined
    const ascending = [...this.visible].sort((a, b) => Number(a - b))
    const { mark } = this.#state
    const visible = ascending.filter((position) => mark === undefined || position > mark).slice(0, 20)
    const poll = { head: ascending.at(-1), visible, open, askedAtMs, answeredAtMs: this.#nowMs }
    const { state, skipped, waitsFor } = passStaleGaps(this.#state, poll, THRESHOLD_MS)
    this.#state = state
    const passed = skipped.flatMap(({ stored, count }) =>
      Array.from({ length: Number(count) }, (_, index) => stored + 1n + BigInt(index)),
    )
    this.passings.push({ passed, waitsFor })
    expect(waitsFor.every((transaction) => open.includes(transaction))).toBe(true)
  }
}

const histories = fc.array(step, { maxLength: 60, size: 'max' })

test.each([false, true])(
  'where every writer begins within the threshold, nothing is passed that becomes visible; prepared ones are renamed: %s',
  (renames) => {
    fc.assert(
      fc.property(histories, (steps) => {
        const store = new Store(renames)
        for (const todo of steps) store.do(todo)
        const passed = store.passings.flatMap(({ passed }) => passed)
        // Whoever may still commit does.
        for (let n = 0; n < steps.length; n++) {
          store.do({ kind: 'begin', which: 0 })
          store.do({ kind: 'commit', which: 0 })
        }
        expect(passed.filter((position) => store.visible.has(position))).toEqual([])
      }),
      { numRuns: RUNS },
    )
  },
)

test('what began after a gap was stale never holds it, however much of it there is', () => {
  fc.assert(
    fc.property(histories, fc.boolean(), (steps, renames) => {
      const store = new Store(renames)
      for (const todo of steps) store.do(todo)
      store.do({ kind: 'append' })
      const last = [...store.visible].sort((a, b) => Number(a - b)).at(-1)
      const ended = () => {
        for (let n = 0; n <= steps.length; n++) {
          store.do({ kind: 'begin', which: 0 })
          store.do({ kind: 'rollback', which: 0 })
        }
      }
      // Three thresholds, in which all that was open ends, and something is always open.
      store.poll()
      for (let n = 0; n < 30; n++) {
        store.do({ kind: 'wait', forMs: 100 })
        ended()
        store.do({ kind: 'open' })
        store.do({ kind: 'prepare', which: 0 })
        store.poll()
      }
      expect((store.mark ?? 0n) >= (last ?? 0n)).toBe(true)
    }),
    { numRuns: Math.ceil(RUNS / 10) },
  )
})

test('a stale gap waits for a transaction that is older, says so, and is passed at the first poll after its end', () => {
  const store = new Store(false)
  const openFor = (): readonly string[] => store.passings.at(-1)?.waitsFor ?? []
  for (const kind of ['append', 'take', 'append'] as const) store.do({ kind })
  store.do({ kind: 'begin', which: 0 })
  store.poll()
  expect(openFor()).toEqual([])
  store.do({ kind: 'wait', forMs: THRESHOLD_MS })
  store.poll()
  expect(store.mark).toBe(1n)
  expect(openFor()).toEqual(['3/1'])
  store.do({ kind: 'open' })
  store.poll()
  expect(openFor()).toEqual(['3/1'])
  store.do({ kind: 'rollback', which: 0 })
  store.poll()
  expect(store.mark).toBe(3n)
  expect(store.passings.at(-1)).toEqual({ passed: [2n], waitsFor: [] })
})
