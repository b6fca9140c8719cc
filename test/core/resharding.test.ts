import { type ControlledUnit, denseOrder, SLOTS, type SlotRange, slotRanges } from '@tidemark/core/adapter'
import { createOperations } from '@tidemark/core/operations'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { halvesOf, joinedTo, ofNumber } from '../../packages/core/src/operations/new-shards.ts'
import { describeApart, toBeResharded } from '../../packages/core/src/operations/resharding.ts'
import { recording, rig, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const ada = { who: 'Ada', why: 'a test' }

function unitsAt(
  positions: readonly string[],
  furthest: readonly (string | undefined)[] = [],
): readonly ControlledUnit[] {
  return slotRanges(positions.length).map((slots, index) => ({
    unit: { projection: 'orders', version: 1, slots },
    source: 'events',
    position: positions[index],
    skipped: { apply_error: 1n, moved: 5n },
    role: 'live',
    furthest: furthest[index],
    effects: 'always',
    bound: undefined,
    desired: 'running',
    decision: undefined,
    isRetryAsked: false,
    asked: undefined,
    answered: undefined,
  }))
}

const shards = fc.oneof(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: SLOTS }))
const positions = fc.oneof(
  fc.array(fc.constant('100'), { minLength: 1, maxLength: 16 }),
  fc.array(fc.constantFrom('40', '100'), { minLength: 1, maxLength: 16 }),
)

const MEETING = { order: denseOrder, forMs: 1_000 }

const isIn = ({ from, to }: SlotRange, range: SlotRange): boolean => from <= range.to && range.from <= to

const furthest = fc.oneof(
  fc.constant([]),
  fc.array(fc.constantFrom(undefined, '30', '70', '120', '150'), { maxLength: 16 }),
)

/** Whether an event of that slot would be replayed, and whether it would come at all: `undefined` below its shard's checkpoint. */
function isReplayed(
  units: readonly Pick<ControlledUnit, 'unit' | 'position' | 'furthest'>[],
  slot: number,
  position: bigint,
): boolean | undefined {
  const own = units.find(({ unit: { slots } }) => slots.from <= slot && slot <= slots.to)
  if (position <= BigInt(own?.position ?? 0)) return undefined
  return position <= BigInt(own?.furthest ?? 0)
}

test('every slot goes on from where it stood, or those that are to be one are to meet at the furthest first', () => {
  fc.assert(
    fc.property(positions, furthest, shards, (at, back, count) => {
      const found = unitsAt(at, back)
      const change = toBeResharded(ofNumber(count), ada, MEETING)(found)
      if (change === undefined) {
        expect(count).toBe(found.length)
        return
      }
      if ('bounds' in change) {
        const boundOf = (range: SlotRange): string | undefined =>
          change.bounds.find(({ slots: { from } }) => from === range.from)?.position
        const { bounds, forMs } = change
        expect(forMs).toBe(1_000)
        expect(bounds.length).toBeGreaterThan(1)
        for (const { unit, position = '' } of found) {
          const bound = boundOf(unit.slots)
          if (bound !== undefined) expect(BigInt(position)).toBeLessThanOrEqual(BigInt(bound))
        }
        // Once they have met, they are replaced.
        const met = found.map((each) => ({ ...each, position: boundOf(each.unit.slots) ?? each.position }))
        expect(toBeResharded(ofNumber(count), ada, MEETING)(met)).toHaveProperty('made')
        expect(describeApart(ofNumber(count), met, denseOrder)).toBeUndefined()
        expect(describeApart(ofNumber(count), found, denseOrder)).toMatch(
          /\d+-\d+ at \d+(?: \(.*?\))?, \d+-\d+ at \d+/,
        )
        return
      }
      const { slots, made } = change
      const kept = found.filter(({ unit }) =>
        slots.some(({ from, to }) => from === unit.slots.from && to === unit.slots.to),
      )
      const after = [
        ...kept.map(({ unit, position, skipped }) => ({ ...unit.slots, position, skipped })),
        ...made.map(({ slots: own, to }) => ({ ...own, position: to.position, skipped: to.skipped })),
      ].sort((a, b) => a.from - b.from)
      expect(after).toMatchObject(slotRanges(count))
      const units = [
        ...kept,
        ...made.map(({ slots: own, to }) => ({
          unit: { projection: 'orders', version: 1, slots: own },
          ...to,
        })),
      ]
      const begin = new Set([...units, ...found].map(({ unit }) => unit.slots.from))
      const others = [...begin].flatMap((slot) =>
        [71n, 101n, 121n, 151n].filter((at) => isReplayed(units, slot, at) !== isReplayed(found, slot, at)),
      )
      expect(others).toEqual([])
      for (const { position, ...range } of after) {
        for (const { unit, position: before } of found) {
          if (isIn(unit.slots, range)) expect(position).toBe(before)
        }
      }
      expect(after.reduce((sum, { skipped }) => sum + (skipped.apply_error ?? 0n), 0n)).toBe(
        BigInt(found.length),
      )
      for (const { skipped } of after) expect(skipped.moved).toBe(5n)
    }),
  )
})

test('shards that are cut, and not joined, wait for nobody', () => {
  expect(toBeResharded(ofNumber(4), ada, MEETING)(unitsAt(['100', '40']))).toHaveProperty('made')
})

test('only those that are to be one are bound', () => {
  const change = toBeResharded(ofNumber(2), ada, MEETING)(unitsAt(['100', '40', '70', '70']))
  expect(change).toEqual({
    bounds: slotRanges(4)
      .slice(0, 2)
      .map((slots) => ({ slots, position: '100' })),
    forMs: 1_000,
  })
})

test('those that stand apart do not meet where positions cannot be compared, or they are paused', () => {
  const apart = unitsAt(['100', '40'])
  expect(() => toBeResharded(ofNumber(1), ada, { ...MEETING, order: undefined })(apart)).toThrow(
    /0-511 at 100, 512-1023 at 40; give createOperations the source/,
  )
  const paused = apart.map((unit) => ({ ...unit, desired: 'paused' as const }))
  expect(() => toBeResharded(ofNumber(1), ada, MEETING)(paused)).toThrow(/it is paused; resume it/)
  expect(
    toBeResharded(ofNumber(1), ada, MEETING)(paused.map((unit) => ({ ...unit, position: '7' }))),
  ).toHaveProperty('made')
})

test('what a shard has passed since it was moved back tells it from no other, and stays the furthest', () => {
  const change = toBeResharded(ofNumber(1), ada, MEETING)(unitsAt(['100', '100'], ['70', '100']))
  expect(change).toMatchObject({ made: [{ to: { position: '100', furthest: '100' } }] })
})

test('those that replay up to different positions meet where the last of them has done so', () => {
  const found = unitsAt(['40', '40'], ['70', '100'])
  expect(toBeResharded(ofNumber(1), ada, MEETING)(found)).toEqual({
    bounds: slotRanges(2).map((slots) => ({ slots, position: '100' })),
    forMs: 1_000,
  })
  expect(describeApart(ofNumber(1), found, denseOrder)).toBe(
    '0-511 at 40 (moved back from 70), 512-1023 at 40 (moved back from 100)',
  )
  expect(toBeResharded(ofNumber(1), ada, MEETING)(unitsAt(['40', '40'], ['70', '70']))).toMatchObject({
    made: [{ to: { position: '40', furthest: '70' } }],
  })
  expect(() => toBeResharded(ofNumber(1), ada, { ...MEETING, order: undefined })(found)).toThrow(
    /give createOperations the source/,
  )
})

test('one shard is cut into halves, and several become one, while the others stay as they are', () => {
  const found = unitsAt(['7', '7', '7', '7'])
  const [a, b, c, d] = slotRanges(4)
  const second = { from: 256, to: 511 }
  expect(halvesOf(second)(found)).toEqual([a, { from: 256, to: 383 }, { from: 384, to: 511 }, c, d])
  expect(halvesOf({ from: 0, to: 511 })(found)).toEqual([a, b, c, d])
  expect(() => halvesOf({ from: 1, to: 511 })(found)).toThrow(
    /no shard of it is that of the slots 1-511; there are 0-255, /,
  )
  expect(joinedTo({ from: 256, to: 767 })(found)).toEqual([a, d, { from: 256, to: 767 }])
  expect(joinedTo(second)(found)).toHaveLength(4)
  expect(() => joinedTo({ from: 256, to: 700 })(found)).toThrow(/or none ends at 700/)
  expect(toBeResharded(joinedTo(second), ada, MEETING)(found)).toBeUndefined()
  expect(toBeResharded(joinedTo({ from: 256, to: 767 }), ada, MEETING)(found)).toMatchObject({
    made: [{ slots: { from: 256, to: 767 }, heirOf: b }],
  })
})

test('what is asked of a shard is done before it is cut', () => {
  const [unit] = unitsAt(['7'])
  const asked = { id: '1', operation: 'skip', who: 'Bob', why: 'it fails', sinceMs: 0 } as const
  expect(() => toBeResharded(ofNumber(2), ada, MEETING)(unit ? [{ ...unit, asked }] : [])).toThrow(
    /a skip is pending, which Bob/,
  )
})

test('of several versions none is cut', async () => {
  const parts = rig()
  const daemon = parts.daemon([recording('orders'), recording('orders', { version: 2 })])
  parts.events.append('a', 1)
  await daemon.start()
  await parts.clock.run(daemon.waitUntilProjected())
  const operations = createOperations({ checkpoints: parts.checkpoints, source: parts.events })
  await expect(
    operations.reshard({ projection: 'orders', version: 1, shards: 2, ...ada }),
  ).rejects.toMatchObject({
    code: 'TIDEMARK_OPERATION_REFUSED',
  })
})
