import { type ControlledUnit, denseOrder, type StoredNode, slotRanges, unitKey } from '@tidemark/core/adapter'
import { expect, test } from 'vitest'
import { lookAtShards, type Places } from '../../packages/core/src/daemon/shard-looks.ts'
import { versionKey } from '../../packages/core/src/ports/unit.ts'

const orders = { projection: 'orders', version: 1 }

function unitOf(projection: string, slots: { from: number; to: number }, position?: string): ControlledUnit {
  return {
    unit: { projection, version: 1, slots },
    source: 'events',
    position,
    skipped: {},
    role: 'live',
    furthest: undefined,
    effects: 'always',
    bound: undefined,
    desired: 'running',
    decision: undefined,
    isRetryAsked: false,
    asked: undefined,
    answered: undefined,
  }
}

const [low, high] = slotRanges(2)
if (low === undefined || high === undefined) throw new TypeError('there are two')
const stored = [
  unitOf('orders', high, '100'),
  unitOf('orders', low, '40'),
  unitOf('mails', { from: 0, to: 1_023 }, '99'),
]

/** The mark is 100, and each position was seen as many seconds ago as it lies below it. */
const look = (units: readonly ControlledUnit[], places: Places = { by: 'conflict' }) =>
  lookAtShards(orders, units, {
    order: denseOrder,
    mark: 100n,
    origin: 90n,
    firstSeenAboveMs: (position) => 1_000 * Number(position),
    places,
    busyShare: 0.3,
    nowMs: 100_000,
  })

test('says how far each shard is behind, the lowest slots first', () => {
  expect(look(stored)).toEqual({
    atMs: 100_000,
    mark: 10,
    shards: [
      { slots: low, behind: 60, lagMs: 60_000 },
      { slots: high, behind: 0, lagMs: 0 },
    ],
    nodes: [{ isOwn: true, lagging: 1 }],
    busyShare: 0.3,
    isHeld: false,
  })
})

test('a shard that has come further than the mark which this process knows is not behind', () => {
  expect(look([unitOf('orders', { from: 0, to: 1_023 }, '140')])?.shards).toMatchObject([
    { behind: 0, lagMs: 0 },
  ])
})

test.each([
  ['nothing is stored of it', []],
  ['a shard has no position yet', [unitOf('orders', low), unitOf('orders', high, '7')]],
  ['shards are missing', [unitOf('orders', low, '7')]],
])('says nothing where %s', (_, units) => {
  expect(look(units)).toBeUndefined()
})

const asked = { id: 'x', operation: 'skip', ...{ who: 'Ada', why: 'a test', sinceMs: 0 } } as const

test.each<[string, readonly ControlledUnit[]]>([
  ['a shard is paused', stored.map((unit, index) => (index === 0 ? { ...unit, desired: 'paused' } : unit))],
  ['something is asked of a shard', stored.map((unit, index) => (index === 0 ? { ...unit, asked } : unit))],
  ['shards are to meet', stored.map((unit) => ({ ...unit, bound: '120' }))],
  ['it is retired', stored.map((unit) => ({ ...unit, role: 'retired' }))],
  [
    'there is another version',
    [...stored, { ...unitOf('orders', low), unit: { ...orders, version: 2, slots: low } }],
  ],
])('holds still where %s', (_, units) => {
  expect(look(units)).toMatchObject({ isHeld: true })
})

test('of nodes with leases it counts what lags on those that may be given a shard', () => {
  const node = (id: string, more: Partial<StoredNode> = {}): StoredNode => ({
    id,
    name: id,
    source: 'events',
    capacity: 1,
    units: [versionKey(orders)],
    unable: [],
    isLeaving: false,
    desired: 'open',
    isAlive: true,
    presence: { is: 'here' },
    ...more,
  })
  const nodes = [
    node('a'),
    node('b'),
    node('without its handler', { units: [unitKey({ projection: 'mails', version: 1, slots: low })] }),
    node('gone', { isAlive: false }),
    node('leaving', { isLeaving: true }),
    node('cordoned', { desired: 'cordoned' }),
  ]
  const leases = stored.map(({ unit }, index) => ({ unit, owner: index === 1 ? 'a' : 'b', fence: 1n }))
  expect(look(stored, { by: 'leases', own: 'b', cluster: { nodes, leases } })?.nodes).toEqual([
    { isOwn: false, lagging: 1 },
    { isOwn: true, lagging: 0 },
  ])
  expect(look(stored, { by: 'leases', own: 'b', cluster: undefined })?.nodes).toEqual([])
})

test('so it does of nodes that are numbered, also of one to which nothing is dealt', () => {
  const units = stored.map(({ unit }, index) => ({
    unit,
    dealtTo: { index: index % 2, of: 3, isHere: index % 2 === 1 },
  }))
  expect(look(stored, { by: 'number', units })?.nodes).toEqual([
    { isOwn: false, lagging: 0 },
    { isOwn: true, lagging: 1 },
    { isOwn: false, lagging: 0 },
  ])
})
