import { HandlerEndedTransactionError, IncarnationChangedError } from '@tidemark/core'
import { expect, test } from 'vitest'
import { type Failure, onFailure } from '../../packages/core/src/failures/policy.ts'
import { backOffMs } from '../../packages/core/src/kernel/back-off.ts'

const failure: Failure = {
  error: new Error('boom'),
  stage: 'handle',
  transient: false,
  attempt: 1,
  inARow: 1,
  attempts: 5,
  isNarrowable: false,
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
  expect(onFailure({ ...failure, attempts: 1 })).toEqual({ kind: 'pause' })
})

test('a passing fault is tried for ever and does not count as an attempt', () => {
  expect(onFailure({ ...failure, transient: true, attempt: 5, inARow: 10_000 })).toEqual({
    kind: 'retry',
    waitMs: 5_000,
    counted: false,
  })
})

test.each(['read', 'commit'] as const)(
  'what the store throws (%s) is tried for ever, whatever it is',
  (stage) => {
    expect(onFailure({ ...failure, stage, attempt: 5, inARow: 10_000 })).toEqual({
      kind: 'retry',
      waitMs: 5_000,
      counted: false,
    })
  },
)

test('a change of the store drops the page and never counts as an attempt', () => {
  const error = new IncarnationChangedError('a', 'b')
  expect(onFailure({ ...failure, error, attempt: 5, inARow: 2 })).toEqual({ kind: 'drop_page', waitMs: 100 })
})

test('a handler that ended its transaction is paused at once: trying again would repeat what it committed', () => {
  const error = new HandlerEndedTransactionError('balances')
  expect(onFailure({ ...failure, error, isNarrowable: true })).toEqual({ kind: 'pause' })
})

test('waits double from 50 ms and never exceed 5 s', () => {
  expect([1, 2, 3, 4].map(backOffMs)).toEqual([50, 100, 200, 400])
  expect(backOffMs(1_000_000)).toBe(5_000)
})
