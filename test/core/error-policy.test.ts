import { HandlerEndedTransactionError, IncarnationChangedError } from '@tidemark/core'
import { describe, expect, test, vi } from 'vitest'
import { type Failure, onFailure } from '../../packages/core/src/failures/policy.ts'
import { backOffMs } from '../../packages/core/src/kernel/back-off.ts'
import { Random } from './model/random.ts'

const failure: Failure = {
  error: new Error('boom'),
  stage: 'handle',
  transient: false,
  attempt: 1,
  inARow: 1,
  attempts: 5,
  isNarrowable: false,
  triesAtPause: 0,
  decide: () => ({ decision: 'pause' }),
  longestPauseMs: 300_000,
  random: 0.5,
}

test('a failing handler is tried again with growing waits, and paused at the last attempt', () => {
  const actions = [1, 2, 3, 4, 5].map((attempt) => onFailure({ ...failure, attempt, inARow: attempt }))
  expect(actions.map((action) => action.kind)).toEqual(['retry', 'retry', 'retry', 'retry', 'pause'])
  expect(actions.slice(0, 4).map((action) => 'waitMs' in action && action.waitMs)).toEqual([
    200, 400, 800, 1600,
  ])
})

test('a batch that can be parted is parted at once, without an attempt, however often it has failed', () => {
  const narrow = { kind: 'narrow', waitMs: 50 }
  expect(onFailure({ ...failure, isNarrowable: true })).toEqual(narrow)
  expect(onFailure({ ...failure, isNarrowable: true, attempt: 5, inARow: 10_000 })).toEqual(narrow)
  expect(onFailure({ ...failure, isNarrowable: true, transient: true })).toMatchObject({ kind: 'retry' })
  expect(onFailure({ ...failure, isNarrowable: true, stage: 'commit' })).toMatchObject({ kind: 'retry' })
})

test('with one attempt allowed the first failure pauses', () => {
  expect(onFailure({ ...failure, attempts: 1 })).toEqual({ kind: 'pause', waitMs: 5_000 })
})

test('a passing fault is tried for ever and does not count as an attempt', () => {
  expect(onFailure({ ...failure, transient: true, attempt: 5, inARow: 10_000 })).toEqual({
    kind: 'retry',
    waitMs: 2_500,
    counted: false,
  })
})

test.each(['read', 'commit'] as const)(
  'what the store throws (%s) is tried for ever, whatever it is',
  (stage) => {
    expect(onFailure({ ...failure, stage, attempt: 5, inARow: 10_000 })).toEqual({
      kind: 'retry',
      waitMs: 2_500,
      counted: false,
    })
  },
)

describe.each(['handle', 'map'] as const)('of stage %s, once the attempts are used up,', (stage) => {
  test.each([
    ['pause', { kind: 'pause', waitMs: 5_000 }],
    ['skip', { kind: 'bury', waitMs: undefined }],
    ['retry', { kind: 'retry', waitMs: 3_200, counted: true }],
  ] as const)('what the projection decides is done: %s', (decision, action) => {
    const decide = vi.fn(() => ({ decision }))
    expect(onFailure({ ...failure, stage, attempt: 4, decide })).toMatchObject({ kind: 'retry' })
    expect(onFailure({ ...failure, stage, isNarrowable: true, attempt: 5, decide })).toMatchObject({
      kind: 'narrow',
    })
    expect(onFailure({ ...failure, stage, transient: true, attempt: 5, decide })).toMatchObject({
      kind: 'retry',
      counted: false,
    })
    expect(decide, 'asked before').not.toHaveBeenCalled()
    expect(onFailure({ ...failure, stage, attempt: 5, decide })).toEqual(action)
    expect(onFailure({ ...failure, stage, attempt: 50, decide })).toMatchObject({ kind: action.kind })
  })
})

test.each(['read', 'commit'] as const)('nobody decides about what the store throws (%s)', (stage) => {
  const decide = vi.fn(() => ({ decision: 'skip' as const }))
  onFailure({ ...failure, stage, attempt: 5, decide })
  expect(decide).not.toHaveBeenCalled()
})

test('a change of the store drops the page and never counts as an attempt', () => {
  const error = new IncarnationChangedError('a', 'b')
  expect(onFailure({ ...failure, error, attempt: 5, inARow: 2 })).toEqual({ kind: 'drop_page', waitMs: 50 })
})

test('a paused projection is tried again after waits that double from 5 s and, jitter included, never exceed the longest', () => {
  const waits = (random: number, longestPauseMs: number): unknown[] =>
    [0, 1, 2, 3, 6, 7, 1_000_000].map((triesAtPause) => {
      const action = onFailure({ ...failure, attempt: 5, triesAtPause, longestPauseMs, random })
      return action.kind === 'pause' && action.waitMs
    })
  expect(waits(0.5, 300_000)).toEqual([5_000, 10_000, 20_000, 40_000, 240_000, 240_000, 240_000])
  expect(Math.max(...waits(0.999_999, 300_000).map(Number))).toBeLessThanOrEqual(300_000)
  expect(Math.min(...waits(0, 300_000).map(Number))).toBe(3_750)
  expect(waits(0.5, 1_000)).toEqual([800, 800, 800, 800, 800, 800, 800])
})

test.each([
  { ...failure, transient: true },
  { ...failure, attempt: 2 },
  { ...failure, attempt: 5 },
  { ...failure, error: new IncarnationChangedError('a', 'b') },
])('a hundred projections that fail together do not come back together (%#)', (together) => {
  const random = new Random(1)
  const waits = Array.from({ length: 100 }, () => {
    const action = onFailure({ ...together, inARow: 5, random: random.next() })
    return action.kind !== 'pause' && action.kind !== 'retry' && action.kind !== 'drop_page'
      ? Number.NaN
      : (action.waitMs ?? Number.NaN)
  })
  const longest = Math.max(...waits)
  const tenths = new Set(waits.map((ms) => Math.floor((ms / longest) * 10)))
  expect(tenths.size, 'they are spread over the wait').toBeGreaterThanOrEqual(4)
})

test('a handler that ended its transaction is paused at once: trying again would repeat what it committed', () => {
  const error = new HandlerEndedTransactionError('balances')
  for (const decision of ['pause', 'skip', 'retry'] as const) {
    const ended = { ...failure, error, isNarrowable: true, attempt: 5, decide: () => ({ decision }) }
    expect(onFailure(ended)).toEqual({ kind: 'pause', waitMs: undefined })
  }
})

test('waits double from 50 ms and never exceed 5 s', () => {
  expect([1, 2, 3, 4].map(backOffMs)).toEqual([50, 100, 200, 400])
  expect(backOffMs(1_000_000)).toBe(5_000)
})
