import { seeded } from '../../chaos/seed.ts'
import { steered } from '../server-in-use.ts'
import { killInMidBatch } from './kills.ts'
import { randomFaults } from './random-faults.ts'

steered('60 random faults during 30,000 events lose and repeat nothing', async () => {
  await randomFaults(seeded('random faults'), 60, { events: 30_000, checkpoints: 'postgres' })
})

steered('a daemon process killed in mid-batch 10 times loses and repeats nothing', async () => {
  await killInMidBatch(seeded('killed daemon'), 10, { events: 5_000, checkpoints: 'postgres' })
})

steered(
  'with checkpoints in the store of the events, faults lose nothing and repeat what was in flight only',
  async () => {
    const random = seeded('faults and kills, checkpoints in the store')
    await randomFaults(random, 12, { events: 3_000, checkpoints: 'esdb' })
    await killInMidBatch(random, 3, { events: 900, checkpoints: 'esdb' })
  },
)
