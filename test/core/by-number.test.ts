import { unitKey, wholeUnit } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { dealByNumber } from '../../packages/core/src/ownership/by-number.ts'

const projections = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12 }), { maxLength: 60 })
const nodes = fc.integer({ min: 1, max: 12 })
const deal = (names: readonly string[], of: number): ReadonlyMap<string, number> =>
  dealByNumber(
    names.map((name) => wholeUnit(name)),
    of,
  )
const movedBetween = (before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): number =>
  [...before].filter(([unit, node]) => after.get(unit) !== node).length

test('each unit is dealt to exactly one of the nodes, and their shares differ by one at most', () => {
  fc.assert(
    fc.property(projections, nodes, (names, of) => {
      const dealt = deal(names, of)
      expect([...dealt.keys()].toSorted()).toEqual(names.map((name) => unitKey(wholeUnit(name))).toSorted())
      const shares = Array.from(
        { length: of },
        (_, index) => [...dealt.values()].filter((to) => to === index).length,
      )
      expect(shares.reduce((sum, share) => sum + share, 0)).toBe(names.length)
      expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
    }),
  )
})

test('whichever order the projections are named in, every node deals them alike', () => {
  fc.assert(
    fc.property(projections, nodes, (names, of) => {
      expect(deal(names.toReversed(), of)).toEqual(deal(names, of))
    }),
  )
})

test('one node more, or one projection more, moves few', () => {
  const names = Array.from({ length: 40 }, (_, index) => `projection-${index}`)
  for (const of of [1, 2, 3, 4, 5, 7]) {
    const before = deal(names, of)
    const least = Math.floor(names.length / (of + 1))
    expect(movedBetween(before, deal(names, of + 1)), `${of} nodes and one more`).toBeLessThan(2 * least)
    const moves = names.map((name) => movedBetween(before, deal([...names, `${name}-more`], of)))
    const mean = moves.reduce((sum, each) => sum + each, 0) / moves.length
    expect(mean, `one projection more on ${of} nodes`).toBeLessThan(2)
  }
})

test('versions of one projection are dealt each by itself', () => {
  const units = Array.from({ length: 20 }, (_, index) => wholeUnit('orders', index + 1))
  const dealt = dealByNumber(units, 4)
  expect(new Set(dealt.values()).size).toBe(4)
})

test('the deal is the same in every release', () => {
  const names = ['orders', 'stock', 'mails', 'invoices', 'search']
  const dealt = deal(names, 3)
  expect(names.map((name) => dealt.get(unitKey(wholeUnit(name))))).toEqual([2, 1, 0, 1, 0])
})
