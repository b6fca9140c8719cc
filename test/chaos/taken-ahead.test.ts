import { expect, test } from 'vitest'
import { compareRules } from './ahead.ts'
import { seeded } from './seed.ts'

test('of numbers that are taken ahead nothing is lost untold, and fewer events are passed too early than after the time alone', async () => {
  const { committed, ahead, fixed } = await compareRules({
    random: seeded('taken ahead'),
    thresholdMs: 300,
    writers: 12,
    appends: 8,
    aheadMs: 800,
    heldMs: 1_600,
    restarts: [30],
  })
  expect(committed).toBeGreaterThan(50)
  expect(fixed).toBeGreaterThan(0)
  expect(ahead).toBeLessThanOrEqual(fixed)
})
