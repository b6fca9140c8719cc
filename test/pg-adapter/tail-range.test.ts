import fc from 'fast-check'
import { expect, test } from 'vitest'
import { eventsOfPage } from '../../packages/pg-adapter/src/load.ts'
import { FIRST_RANGE, positionsAbove, rangeAfterPoll } from '../../packages/pg-adapter/src/tail-range.ts'

test('behind a gap that stays, rows are brought along once, and again when the mark has moved', () => {
  const waiting = { after: 7n, mark: 7n, isUseless: true }
  const held = rangeAfterPoll(FIRST_RANGE, waiting)
  expect(positionsAbove(held, 7n, 1)).toBeUndefined()
  expect(positionsAbove(held, 9n, 1)).toBe(FIRST_RANGE.positions)
  expect(
    positionsAbove(rangeAfterPoll(held, { after: 9n, mark: 10n, isUseless: true }), 10n, 1),
  ).toBeDefined()
})

test('while nothing comes they are asked for again and again, since that costs nothing', () => {
  const quiet = rangeAfterPoll(FIRST_RANGE, { after: 7n, mark: 7n, isUseless: false })
  expect(positionsAbove(quiet, 7n, 1)).toBe(FIRST_RANGE.positions)
})

test('of a store whose mark moves evenly each poll brings all, and little more than twice as much', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 1n, max: 100_000n }), (step) => {
      let range = FIRST_RANGE
      for (let after = 0n; after < step * 5n; after += step) {
        range = rangeAfterPoll(range, { after, mark: after + step, isUseless: true })
      }
      const positions = positionsAbove(range, step * 5n, 1) ?? 0n
      expect(positions).toBeGreaterThanOrEqual(step < 500n ? step : 500n)
      expect(positions).toBeLessThanOrEqual(step * 2n < 20n ? 20n : 500n)
    }),
  )
})

test('a page has the events up to its end, as many as were asked for, and never parts those that share a position', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(20), { maxLength: 40 }),
      fc.nat(22),
      fc.integer({ min: 1, max: 12 }),
      (numbers, upTo, limit) => {
        const positions = numbers.toSorted((a, b) => a - b).map(BigInt)
        const within = positions.filter((position) => position <= upTo)
        const last = within[limit - 1]
        const wanted =
          last === undefined ? within.length : within.filter((position) => position <= last).length
        expect(eventsOfPage(positions, BigInt(upTo), limit)).toBe(wanted)
      },
    ),
  )
})

test('what several want comes as far as it may: what does not costs a page for each of them', () => {
  expect(positionsAbove(FIRST_RANGE, 7n, 2)).toBe(500n)
  expect(positionsAbove({ ...FIRST_RANGE, inVainAbove: 7n }, 7n, 2)).toBeUndefined()
})
