import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type AssignableNode, assign, score } from '../../packages/core/src/ownership/assignment.ts'

const node = (id: string, more: Partial<AssignableNode> = {}): AssignableNode => ({
  id,
  has: () => true,
  capacity: 1,
  standing: 'open',
  ...more,
})
const equalNodes = (count: number): readonly AssignableNode[] =>
  Array.from({ length: count }, (_, index) => node(`node ${index}`))
const names = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `unit ${index}`)
const none = new Map<string, string>()

const sizes = (nodes: readonly AssignableNode[], assigned: ReadonlyMap<string, string>): readonly number[] =>
  nodes.map(({ id }) => [...assigned.values()].filter((holder) => holder === id).length)

const moved = (before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): readonly string[] =>
  [...after].filter(([unit, holder]) => before.get(unit) !== holder).map(([unit]) => unit)

/** Units, nodes of every kind, and whatever they hold, also of units and nodes that are gone. */
const situations = fc
  .record({
    units: fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { maxLength: 30 }),
    nodes: fc.uniqueArray(
      fc.record({
        id: fc.string({ minLength: 1, maxLength: 3 }),
        capacity: fc.constantFrom(1, 1, 1, 2, 0.5),
        standing: fc.constantFrom('open' as const, 'open' as const, 'cordoned' as const, 'draining' as const),
        lacks: fc.integer({ min: 0, max: 2 ** 30 - 1 }),
        lacksAny: fc.boolean(),
      }),
      { selector: ({ id }) => id, maxLength: 6 },
    ),
    holders: fc.array(fc.nat(7), { minLength: 30, maxLength: 30 }),
  })
  .map(({ units, nodes: kinds, holders }) => {
    const nodes = kinds.map(({ id, capacity, standing, lacks, lacksAny }) =>
      node(id, {
        capacity,
        standing,
        has: (unit) => !lacksAny || (lacks & (1 << units.indexOf(unit))) === 0,
      }),
    )
    const held = new Map(
      units.flatMap((unit, index): [string, string][] => {
        const holder = holders[index] ?? 0
        return holder === 7 ? [] : [[unit, nodes[holder]?.id ?? 'gone']]
      }),
    )
    return { units, nodes, held }
  })

describe('whatever there is', () => {
  test('a unit goes to a node that has it, and takes it or holds it; it is left out where there is none', () => {
    fc.assert(
      fc.property(situations, ({ units, nodes, held }) => {
        const assigned = assign({ units, nodes, held })
        for (const unit of units) {
          const may = nodes.filter(
            ({ id, has, standing }) =>
              has(unit) && (standing === 'open' || (standing === 'cordoned' && held.get(unit) === id)),
          )
          const to = assigned.get(unit)
          if (to === undefined) expect(may).toEqual([])
          else expect(may.map(({ id }) => id)).toContain(to)
        }
        expect(assigned.size).toBeLessThanOrEqual(units.length)
      }),
    )
  })

  test('no move of one unit would make the nodes more even', () => {
    fc.assert(
      fc.property(situations, (situation) => {
        const assigned = assign(situation)
        const open = situation.nodes.filter(({ standing }) => standing === 'open')
        for (const [unit, holder] of assigned) {
          const from = open.find(({ id }) => id === holder)
          if (from === undefined) continue
          const [load = 0] = sizes([from], assigned)
          for (const to of open.filter(({ has }) => has(unit))) {
            const [other = 0] = sizes([to], assigned)
            expect((other + 1) / to.capacity).toBeGreaterThanOrEqual(to === from ? 0 : load / from.capacity)
          }
        }
      }),
    )
  })

  test('once it is carried out nothing moves any more, and the order of what is told does not count', () => {
    fc.assert(
      fc.property(situations, ({ units, nodes, held }) => {
        const assigned = assign({ units, nodes, held })
        expect(assign({ units, nodes, held: assigned })).toEqual(assigned)
        expect(assign({ units: units.toReversed(), nodes: nodes.toReversed(), held })).toEqual(assigned)
      }),
    )
  })

  test('a cordoned node keeps what it has and may have, and is given nothing', () => {
    fc.assert(
      fc.property(situations, ({ units, nodes, held }) => {
        const assigned = assign({ units, nodes, held })
        for (const { id, has } of nodes.filter(({ standing }) => standing === 'cordoned')) {
          const own = (map: ReadonlyMap<string, string>) => units.filter((unit) => map.get(unit) === id)
          expect(own(assigned)).toEqual(own(held).filter(has))
        }
      }),
    )
  })
})

describe('with equal nodes', () => {
  const counts = { units: fc.nat(60), nodes: fc.integer({ min: 1, max: 9 }) }

  test('largest and smallest differ by one at most', () => {
    fc.assert(
      fc.property(counts.units, counts.nodes, (units, count) => {
        const nodes = equalNodes(count)
        const each = sizes(nodes, assign({ units: names(units), nodes, held: none }))
        expect(Math.max(...each) - Math.min(...each)).toBeLessThanOrEqual(1)
      }),
    )
  })

  test('a node that comes is given its share, and nothing else moves', () => {
    fc.assert(
      fc.property(counts.units, counts.nodes, (count, others) => {
        const units = names(count)
        const before = assign({ units, nodes: equalNodes(others), held: none })
        const nodes = equalNodes(others + 1)
        const after = assign({ units, nodes, held: before })
        expect(moved(before, after)).toHaveLength(Math.floor(count / (others + 1)))
        expect(sizes(nodes, after).at(-1)).toBe(Math.floor(count / (others + 1)))
      }),
    )
  })

  test('what a node had that goes is all that moves, and is spread', () => {
    fc.assert(
      fc.property(counts.units, counts.nodes, (count, left) => {
        const units = names(count)
        const before = assign({ units, nodes: equalNodes(left + 1), held: none })
        const gone = `node ${left}`
        const nodes = equalNodes(left)
        const after = assign({ units, nodes, held: before })
        expect(moved(before, after)).toEqual([...after.keys()].filter((unit) => before.get(unit) === gone))
        const each = sizes(nodes, after)
        expect(Math.max(...each) - Math.min(...each)).toBeLessThanOrEqual(1)
      }),
    )
  })
})

test('a node of twice the capacity is given twice as many units', () => {
  const nodes = [node('small'), node('large', { capacity: 2 })]
  expect(sizes(nodes, assign({ units: names(30), nodes, held: none }))).toEqual([10, 20])
})

test('what only one node has goes there, and the others make up for it', () => {
  const units = names(12)
  const nodes = [node('new'), node('old', { has: (unit) => !['unit 0', 'unit 1'].includes(unit) })]
  const assigned = assign({ units, nodes, held: none })
  expect([assigned.get('unit 0'), assigned.get('unit 1')]).toEqual(['new', 'new'])
  expect(sizes(nodes, assigned)).toEqual([6, 6])
})

test('the score is the same in every release', () => {
  expect(score('1/0-1023/orders', '0')).toBe(3_556_228_466)
  expect(score('1/0-1023/orders', '1')).toBe(3_132_352_177)
  expect(score('1/0-1023/Größe', 'node-2')).toBe(3_177_824_261)
})
