import { SLOTS, slotOf, slotRanges } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SLOT_VECTORS } from '../support/slot-vectors.ts'

test.each(SLOT_VECTORS)('the slot of %j is %i, for ever', (key, slot) => {
  expect(slotOf(key)).toBe(slot)
})

test('keys that differ in their last characters alone spread over all slots', () => {
  const prefix = 'a stream whose name begins as those of all other streams of this application do, '.repeat(5)
  const perSlot = new Array<number>(SLOTS).fill(0)
  for (let n = 0; n < 64 * SLOTS; n++)
    perSlot[slotOf(`${prefix}${n}`)] = (perSlot[slotOf(`${prefix}${n}`)] ?? 0) + 1
  // Of a binomial distribution around 64, eight standard deviations.
  expect(Math.min(...perSlot)).toBeGreaterThan(0)
  expect(Math.max(...perSlot)).toBeLessThan(128)
})

test('however many shards there are, each slot is in one of them, and they differ by one slot at most', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: SLOTS }), (shards) => {
      const ranges = slotRanges(shards)
      expect(ranges).toHaveLength(shards)
      let next = 0
      for (const { from, to } of ranges) {
        expect(from).toBe(next)
        expect(to).toBeGreaterThanOrEqual(from)
        next = to + 1
      }
      expect(next).toBe(SLOTS)
      const sizes = ranges.map(({ from, to }) => to - from)
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
    }),
  )
})
