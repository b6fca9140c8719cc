import { expect, test } from 'vitest'
import { moveBetween } from '../../../packages/core/src/watch/coverage.ts'
import { startMissing } from '../../../packages/core/src/watch/missing.ts'

const gaps = (position: bigint, ...own: bigint[]) => ({ kind: 'gaps', position, gaps: own }) as const

test.each([
  ['stands still', gaps(9n, 4n, 7n), gaps(9n, 7n, 4n), 'none'],
  ['goes on, and keeps a new gap', gaps(9n, 4n), gaps(12n, 4n, 11n), 'forward'],
  ['fills or drops a gap', gaps(9n, 4n, 7n), gaps(9n, 7n), 'forward'],
  ['goes back', gaps(9n), gaps(8n), 'backward'],
  ['keeps again what it had passed', gaps(9n, 7n), gaps(9n, 4n, 7n), 'backward'],
  ['goes on, and keeps again what it had passed', gaps(9n, 7n), gaps(12n, 4n, 7n), 'backward'],
] as const)('a checkpoint with gaps that %s', (_, before, after, move) => {
  expect(moveBetween(before, after)).toBe(move)
})

test('where nothing is settled yet, numbers below the first one are not taken for missing', () => {
  expect(startMissing(undefined, 2n).through).toBe(0n)
  expect(startMissing(undefined, 7_000n).through).toBe(2_000n)
  expect(startMissing(1n, 7_000n).through).toBe(1n)
})
