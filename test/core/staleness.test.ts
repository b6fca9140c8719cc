import type { SkippedRun } from '@tidemark/core'
import { passStaleGaps, startStaleThreshold } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'

vi.setConfig({ testTimeout: 60_000 })

const THRESHOLD_MS = 1_000

/** A store that answers at once. */
const at = (nowMs: number) => ({ askedAtMs: nowMs, answeredAtMs: nowMs })

/** What happens to the numbers 1, 2, 3, ... of a store, one step after the other. */
type Step =
  | { readonly kind: 'append' }
  | { readonly kind: 'open' }
  | { readonly kind: 'commit'; readonly which: number }
  | { readonly kind: 'rollback'; readonly which: number }
  | { readonly kind: 'poll'; readonly afterMs: number; readonly window: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.constant<Step>({ kind: 'append' }),
  fc.constant<Step>({ kind: 'open' }),
  fc.record({ kind: fc.constant('commit' as const), which: fc.nat(5) }),
  fc.record({ kind: fc.constant('rollback' as const), which: fc.nat(5) }),
  fc.record({
    kind: fc.constant('poll' as const),
    afterMs: fc.nat(600),
    window: fc.integer({ min: 1, max: 20 }),
  }),
)

interface Passed {
  readonly at: number
  readonly markBefore: bigint | undefined
  readonly mark: bigint | undefined
  readonly skipped: readonly SkippedRun<bigint>[]
  readonly visible: ReadonlySet<bigint>
}

/** Runs the policy beside a store that remembers when each poll first saw a head at or above a number. */
function run(
  steps: readonly Step[],
  origin: bigint | undefined,
): { passed: Passed[]; headSeen: Map<bigint, number> } {
  const visible = new Set<bigint>()
  const open: bigint[] = []
  const headSeen = new Map<bigint, number>()
  const passed: Passed[] = []
  let handedOut = 0n
  let now = 0
  let state = startStaleThreshold(undefined, origin)
  for (const todo of steps) {
    if (todo.kind === 'append') visible.add(++handedOut)
    else if (todo.kind === 'open') open.push(++handedOut)
    else if (todo.kind === 'commit') for (const number of open.splice(todo.which, 1)) visible.add(number)
    else if (todo.kind === 'rollback') open.splice(todo.which, 1)
    else {
      now += todo.afterMs
      const ascending = [...visible].sort((a, b) => Number(a - b))
      const head = ascending.at(-1)
      for (let n = 1n; head !== undefined && n <= head; n++) if (!headSeen.has(n)) headSeen.set(n, now)
      const markBefore = state.mark
      const window = ascending.filter((p) => markBefore === undefined || p > markBefore).slice(0, todo.window)
      const result = passStaleGaps(state, { head, visible: window, ...at(now) }, THRESHOLD_MS)
      state = result.state
      passed.push({
        at: now,
        markBefore,
        mark: state.mark,
        skipped: result.skipped,
        visible: new Set(visible),
      })
    }
  }
  return { passed, headSeen }
}

const histories = fc.array(step, { maxLength: 120 })

test('the counted skips are exactly the missing numbers that the mark passed, in order and each once', () => {
  fc.assert(
    fc.property(histories, (steps) => {
      for (const { markBefore, mark, skipped, visible } of run(steps, 0n).passed) {
        const missing: bigint[] = []
        for (let n = (markBefore ?? 0n) + 1n; mark !== undefined && n <= mark; n++)
          if (!visible.has(n)) missing.push(n)
        const counted = skipped.flatMap(({ stored, current, count }) => {
          expect(count).toBe(current - stored - 1n)
          expect(visible.has(current)).toBe(true)
          return Array.from({ length: Number(count) }, (_, index) => stored + 1n + BigInt(index))
        })
        expect(counted).toEqual(missing)
      }
    }),
    { numRuns: 2_000 },
  )
})

test('nothing is skipped that a poll has not known to be missing for at least the threshold', () => {
  fc.assert(
    fc.property(histories, (steps) => {
      const { passed, headSeen } = run(steps, 0n)
      for (const { at, skipped } of passed) {
        for (const { current } of skipped) {
          expect(at - (headSeen.get(current) ?? Number.NaN)).toBeGreaterThanOrEqual(THRESHOLD_MS)
        }
      }
    }),
    { numRuns: 2_000 },
  )
})

test('the mark only ever moves up, and stands on a visible event', () => {
  fc.assert(
    fc.property(histories, (steps) => {
      for (const { markBefore, mark, visible } of run(steps, 0n).passed) {
        if (mark === undefined) expect(markBefore).toBeUndefined()
        else {
          expect(mark >= (markBefore ?? mark)).toBe(true)
          expect(mark === markBefore || visible.has(mark)).toBe(true)
        }
      }
    }),
    { numRuns: 1_000 },
  )
})

test('a store that stands still is passed to its last event, however many gaps it has', () => {
  fc.assert(
    fc.property(histories, (steps) => {
      const waiting = Array.from({ length: 150 }, () => ({ kind: 'poll' as const, afterMs: 500, window: 5 }))
      const { passed } = run([...steps, { kind: 'append' }, ...waiting], 0n)
      const last = passed.at(-1)
      expect(last?.mark).toBe([...(last?.visible ?? [])].sort((a, b) => Number(a - b)).at(-1))
    }),
    { numRuns: 100 },
  )
})

test('a gap is skipped at its threshold, not before', () => {
  let state = startStaleThreshold(1n, 0n)
  const pollAt = (nowMs: number) => {
    const result = passStaleGaps(state, { head: 3n, visible: [3n], ...at(nowMs) }, THRESHOLD_MS)
    state = result.state
    return result
  }
  expect(pollAt(0)).toMatchObject({ skipped: [], gaps: [{ from: 2n, to: 2n }] })
  expect(pollAt(999)).toMatchObject({ skipped: [], state: { mark: 1n } })
  expect(pollAt(1_000)).toMatchObject({
    skipped: [{ stored: 1n, current: 3n, count: 1n }],
    gaps: [],
    state: { mark: 3n },
  })
})

test('a gap is as old as the answer that first shows it, at the moment in which the next one is asked for', () => {
  const seen = { head: 3n, visible: [3n] }
  const poll = (state: ReturnType<typeof startStaleThreshold>, askedAtMs: number, answeredAtMs: number) =>
    passStaleGaps(state, { ...seen, askedAtMs, answeredAtMs }, THRESHOLD_MS)
  const { state } = poll(startStaleThreshold(1n, 0n), 0, 500)
  expect(poll(state, 1_000, 1_600).skipped).toEqual([])
  expect(poll(state, 1_500, 1_500).skipped).toEqual([{ stored: 1n, current: 3n, count: 1n }])
})

test('numbers missing before the first visible event are counted from the first number that the store hands out', () => {
  const poll = (state: ReturnType<typeof startStaleThreshold>, nowMs: number) =>
    passStaleGaps(state, { head: 4n, visible: [4n], ...at(nowMs) }, THRESHOLD_MS)
  const { state } = poll(startStaleThreshold(undefined, 0n), 0)
  expect(state.mark).toBeUndefined()
  expect(poll(state, 1_000).skipped).toEqual([{ stored: 0n, current: 4n, count: 3n }])
})

test('with an unknown first number counting starts at the first visible event', () => {
  const { state, skipped } = passStaleGaps(
    startStaleThreshold(undefined, undefined),
    { head: 41n, visible: [40n, 41n], ...at(0) },
    THRESHOLD_MS,
  )
  expect(skipped).toEqual([])
  expect(state.mark).toBe(41n)
})

test('events imported below the first number that the sequence hands out are passed like any others', () => {
  const { state, skipped } = passStaleGaps(
    startStaleThreshold(undefined, 999n),
    { head: 3n, visible: [1n, 2n, 3n], ...at(0) },
    THRESHOLD_MS,
  )
  expect(state.mark).toBe(3n)
  expect(skipped).toEqual([])
})

test('a hot poll keeps a bounded number of head samples', () => {
  let state = startStaleThreshold(0n, 0n)
  for (let now = 0; now < 4_000; now++) {
    const head = BigInt(now) + 2n
    state = passStaleGaps(state, { head, visible: [head], ...at(now) }, THRESHOLD_MS).state
    expect(state.heads.length).toBeLessThanOrEqual(52)
  }
})
