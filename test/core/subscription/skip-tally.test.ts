import type { CrossedRun } from '@tidemark/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { describeSkip, type Skip, SkipTally } from '../../../packages/core/src/subscription/skip-tally.ts'

const run = (reason: CrossedRun['reason'], at: number, count = 1n): CrossedRun => ({
  stored: `${at}`,
  current: `${at + Number(count) - 1}`,
  count,
  reason,
})

describe('a flood of skips', () => {
  const reasons = fc.constantFrom('truncated', 'unknown_event', 'apply_error')
  const steps = fc.array(
    fc.oneof(fc.record({ reason: reasons, count: fc.bigInt(1n, 9n) }), fc.constant('tell')),
  )

  test('is told a few times, and each of it is counted, under its reason', () => {
    fc.assert(
      fc.property(steps, (given) => {
        const tally = new SkipTally<number>()
        const told: Skip<number>[] = []
        const expected: Record<string, bigint> = {}
        let atOnce: string[] = []
        for (const [at, step] of [...given, 'tell' as const].entries()) {
          if (step === 'tell') {
            told.push(...tally.takeUntold())
            atOnce = []
            continue
          }
          const { reason, count } = step
          expected[reason] = (expected[reason] ?? 0n) + count
          const now = tally.add(run(reason, at, count), at)
          expect(now !== undefined, 'the first of each reason, since all was told').toBe(
            !atOnce.includes(reason),
          )
          atOnce.push(reason)
          if (now) told.push(now)
        }
        expect(tally.totals).toEqual(expected)
        const counted: Record<string, bigint> = {}
        for (const { run } of told) counted[run.reason] = (counted[run.reason] ?? 0n) + run.count
        expect(counted).toEqual(expected)
      }),
    )
  })

  test('is one skip from its first to its last, with the first item', () => {
    const tally = new SkipTally<string>()
    tally.add(run('truncated', 1), 'told at once')
    for (const at of [5, 7, 9]) tally.add(run('truncated', at, 2n), `item ${at}`)
    expect(tally.takeUntold()).toEqual([
      {
        run: { stored: '5', current: '10', count: 6n, reason: 'truncated' },
        item: 'item 5',
        isOneRun: false,
      },
    ])
    expect(tally.takeUntold()).toEqual([])
    expect(tally.add(run('truncated', 20, 3n), 'the next')).toMatchObject({ isOneRun: true })
    expect(tally.add(run('unknown_event', 23), 'a link')).toMatchObject({ isOneRun: false })
  })
})

test('the log says what was skipped, where, and why', () => {
  expect(describeSkip({ stored: '4', current: '8', count: 3n, reason: 'truncated' }, 'orders')).toBe(
    'missed 3 events between 4 and 8 of orders: they were truncated before it came to them',
  )
  expect(describeSkip(run('apply_error', 4), 'orders')).toBe('gave up 1 event at 4 of orders (nack)')
  expect(describeSkip(run('unknown_event', 4, 2n), 'orders')).toContain(
    '2 links without an event from 4 to 5',
  )
})
