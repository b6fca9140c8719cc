import { test } from 'vitest'
import { killInMidBatch, rollingRestarts } from './kills.ts'
import { randomFaults } from './random-faults.ts'
import { seeded } from './seed.ts'
import { killInStaleThresholdMode } from './stale.ts'
import { killInSwitch } from './switches.ts'

test('a daemon process killed in mid-batch 12 times loses and repeats nothing', async () => {
  await killInMidBatch(seeded('killed daemon'), 12)
})

test('two daemon processes restarted in turn 8 times under load lose and repeat nothing', async () => {
  await rollingRestarts(seeded('rolling restart'), 8)
})

test.each(['shared', 'elsewhere'] as const)(
  'random faults lose and repeat nothing, with checkpoints in a log that is %s',
  async (placement) => {
    await randomFaults(seeded(`random faults, ${placement}`), 16, placement)
  },
)

test('stale-threshold mode counts each skip once over 10 kills', async () => {
  await killInStaleThresholdMode(seeded('killed in stale-threshold mode'), 10)
})

test('a process killed 15 times while it switches versions leaves all as before, or as after', async () => {
  await killInSwitch(seeded('killed in a switch'), 15)
})
