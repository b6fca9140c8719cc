import { type ControlledUnit, SLOTS, slotRanges } from '@tidemark/core/adapter'
import { createOperations } from '@tidemark/core/operations'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { toBeResharded } from '../../packages/core/src/operations/resharding.ts'
import { type Event, projectionOf, recording, rig, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const ada = { who: 'Ada', why: 'a test' }
const keyOf = (event: Event): string => String(event.data)
const numbers = (count: number): bigint[] => Array.from({ length: count }, (_, index) => BigInt(index + 1))

function unitsAt(positions: readonly string[]): readonly ControlledUnit[] {
  return slotRanges(positions.length).map((slots, index) => ({
    unit: { projection: 'orders', version: 1, slots },
    source: 'events',
    position: positions[index],
    skipped: { apply_error: 1n, moved: 5n },
    role: 'live',
    furthest: undefined,
    effects: 'always',
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

test('every slot goes on from where it stood, or nothing is changed', () => {
  fc.assert(
    fc.property(positions, shards, (at, count) => {
      const found = unitsAt(at)
      let change: ReturnType<ReturnType<typeof toBeResharded>>
      try {
        change = toBeResharded(count, ada)(found)
      } catch (error) {
        // Only where one of the shards to be would have to stand at two positions.
        const isApart = slotRanges(count).some(
          (range) =>
            new Set(
              found
                .filter(({ unit }) => unit.slots.from <= range.to && range.from <= unit.slots.to)
                .map(({ position }) => position),
            ).size > 1,
        )
        expect(isApart, String(error)).toBe(true)
        return
      }
      if (change === undefined) {
        expect(count).toBe(found.length)
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
      for (const { from, to, position } of after) {
        for (const { unit, position: before } of found) {
          if (unit.slots.from <= to && from <= unit.slots.to) expect(position).toBe(before)
        }
      }
      expect(after.reduce((sum, { skipped }) => sum + (skipped.apply_error ?? 0n), 0n)).toBe(
        BigInt(found.length),
      )
      for (const { skipped } of after) expect(skipped.moved).toBe(5n)
    }),
  )
})

test('what is asked of a shard is done before it is cut', () => {
  const [unit] = unitsAt(['7'])
  const asked = { id: '1', operation: 'skip', who: 'Bob', why: 'it fails', sinceMs: 0 } as const
  expect(() => toBeResharded(2, ada)(unit ? [{ ...unit, asked }] : [])).toThrow(
    /a skip is pending, which Bob/,
  )
})

test('a daemon that was given the new number goes on once it is stored, and the former one handles nothing more', async () => {
  const parts = rig()
  const former = recording('orders', { keyOf })
  const first = parts.daemon([former])
  for (let n = 0; n < 50; n++) parts.events.append('a', `order ${n % 7}`)
  await first.start()
  await parts.clock.run(first.waitUntilProjected())
  const later = recording('orders', { keyOf, shards: 4 })
  const second = parts.daemon([later])
  await second.start()
  await parts.clock.advance(1_000)
  expect(projectionOf(second, 'orders').error).toMatchObject({ code: 'TIDEMARK_SHARDS_STORED' })
  const operations = createOperations({ checkpoints: parts.checkpoints, source: parts.events })
  await operations.reshard({ projection: 'orders', shards: 4, ...ada })
  for (let n = 0; n < 50; n++) parts.events.append('a', `order ${n % 7}`)
  await parts.clock.advance(30_000)
  await parts.clock.run(second.waitUntilProjected())
  expect(projectionOf(first, 'orders').error).toMatchObject({ code: 'TIDEMARK_SHARDS_STORED' })
  expect(former.seen).toEqual(numbers(50))
  expect([...later.seen].sort((a, b) => Number(a - b))).toEqual(numbers(100).slice(50))
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
