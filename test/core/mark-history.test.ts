import { denseOrder } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MarkHistory } from '../../packages/core/src/high-water/mark-history.ts'

test('an event was first seen with the first mark above the position before it', () => {
  const history = new MarkHistory(denseOrder)
  history.see(10n, 100)
  history.see(10n, 150)
  history.see(25n, 200)
  expect(history.firstAboveMs(undefined)).toBe(100)
  expect(history.firstAboveMs(9n)).toBe(100)
  expect(history.firstAboveMs(10n)).toBe(200)
  expect(history.firstAboveMs(25n)).toBeUndefined()
})

test('a mark that stands lower, in another incarnation, takes back what was above it', () => {
  const history = new MarkHistory(denseOrder)
  for (const [mark, atMs] of [
    [10n, 100],
    [20n, 200],
    [15n, 300],
    [30n, 400],
  ] as const)
    history.see(mark, atMs)
  expect([0n, 10n, 15n, 30n].map((position) => history.firstAboveMs(position))).toEqual([
    100,
    300,
    400,
    undefined,
  ])
})

test('as long as it is short it says what a list of all marks says, and a long one never says older', () => {
  const steps = fc.array(fc.record({ by: fc.bigInt(0n, 5n), ms: fc.nat(50) }), { maxLength: 4_000 })
  fc.assert(
    fc.property(steps, (moves) => {
      const history = new MarkHistory(denseOrder)
      const all: { readonly mark: bigint; readonly atMs: number }[] = []
      let [mark, nowMs] = [0n, 0]
      for (const { by, ms } of moves) {
        mark += by
        nowMs += ms
        history.see(mark, nowMs)
        all.push({ mark, atMs: nowMs })
      }
      for (let position = -1n; position <= mark; position += 1n + mark / 50n) {
        const exact = all.find((seen) => seen.mark > position)?.atMs
        const found = history.firstAboveMs(position)
        if (exact === undefined || found === undefined) expect(found).toBe(exact)
        else if (moves.length < 1_000) expect(found).toBe(exact)
        else expect(found).toBeGreaterThanOrEqual(exact)
      }
    }),
    { numRuns: 50 },
  )
})
