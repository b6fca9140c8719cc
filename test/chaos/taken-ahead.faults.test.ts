import { expect, test } from 'vitest'
import { compareRules } from './ahead.ts'
import { seeded } from './seed.ts'

test("Marten's threshold of 3 s, numbers taken 0-8 s ahead, commits of up to 8 s", async () => {
  const { committed, ahead, fixed } = await compareRules({
    random: seeded('taken ahead by seconds'),
    thresholdMs: 3_000,
    writers: 24,
    appends: 12,
    aheadMs: 8_000,
    heldMs: 8_000,
    restarts: [60, 60],
  })
  expect(committed).toBeGreaterThan(100)
  expect(fixed).toBeGreaterThan(0)
  expect(ahead).toBeLessThanOrEqual(fixed)
})
