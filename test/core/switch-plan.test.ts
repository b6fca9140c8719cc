import { denseOrder, wholeUnit } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { planSwitch } from '../../packages/core/src/rebuild/plan.ts'

type Version = Parameters<typeof planSwitch>[1]

function version(number: number, position: number, changes: Partial<Version> = {}): Version {
  const role = number === 1 ? 'live' : 'beside'
  return {
    unit: wholeUnit('orders', number),
    role,
    desired: 'running',
    position: position === 0 ? undefined : String(position),
    ...changes,
  }
}

describe('a version that is to become the live one', () => {
  test.each<[string, Version, Version | undefined, ReturnType<typeof planSwitch<bigint>>]>([
    ['stands where the live one stands', version(2, 7), version(1, 7), { kind: 'switch' }],
    ['has no event yet, as the live one', version(2, 0), version(1, 0), { kind: 'switch' }],
    ['stands behind the live one', version(2, 3), version(1, 7), { kind: 'come_up', to: 7n }],
    ['has not begun', version(2, 0), version(1, 7), { kind: 'come_up', to: 7n }],
    ['stands ahead of the live one', version(2, 9), version(1, 7), { kind: 'wait' }],
    ['has begun before the live one', version(2, 1), version(1, 0), { kind: 'wait' }],
    ['is live already', version(2, 9, { role: 'live' }), undefined, { kind: 'done' }],
    ['finds no live one', version(2, 9), undefined, { kind: 'switch' }],
    [
      'stands behind a live one that is paused',
      version(2, 3),
      version(1, 7, { desired: 'paused' }),
      { kind: 'come_up', to: 7n },
    ],
    [
      'stands ahead of a live one that is paused',
      version(2, 9),
      version(1, 7, { desired: 'paused' }),
      {
        kind: 'refuse',
        why: 'the live version, "orders", is paused at 7, and this one stands at 9; resume that one, or move it there',
      },
    ],
    [
      'is paused',
      version(2, 3, { desired: 'paused' }),
      version(1, 7),
      { kind: 'refuse', why: 'it is paused, at 3; resume it first' },
    ],
    [
      'is retired',
      version(2, 0, { desired: 'paused', role: 'retired' }),
      version(1, 7),
      { kind: 'refuse', why: 'it is retired, at no position yet; resume it first' },
    ],
  ])('that %s', (_, own, live, expected) => {
    expect(planSwitch(denseOrder, own, live)).toEqual(expected)
  })
})

test('whatever happens before: both have handled the same events once, and the live one leads by what was handled in between', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constantFrom('first' as const, 'second' as const), events: fc.nat(5) }),
    fc.record({ kind: fc.constant('switch' as const), events: fc.constant(0) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const positions = { first: 0, second: 0 }
      let live: 'first' | 'second' = 'first'
      // The simpler model: who sends a mail for which event, where only the live one may.
      const mails: number[] = []
      let mailed = 0
      const advance = (which: 'first' | 'second', to: number): void => {
        for (let event = positions[which] + 1; event <= to; event++) if (which === live) mails.push(event)
        positions[which] = to
      }
      for (const { kind, events } of steps) {
        if (kind !== 'switch') {
          advance(kind, positions[kind] + events)
          continue
        }
        const next: 'first' | 'second' = live === 'first' ? 'second' : 'first'
        const own = version(2, positions[next])
        const plan = planSwitch(denseOrder, own, version(1, positions[live]))
        if (plan.kind === 'wait') {
          expect(positions[next]).toBeGreaterThan(positions[live])
          continue
        }
        if (plan.kind === 'come_up') advance(next, Number(plan.to))
        expect(positions.first).toBe(positions.second)
        live = next
        mailed = mails.length
      }
      expect(mails).toEqual(Array.from({ length: mails.length }, (__, index) => index + 1))
      expect(mailed).toBeLessThanOrEqual(mails.length)
    }),
    { numRuns: 1_000 },
  )
})
