import { seeded } from '../../chaos/seed.ts'
import { steered } from '../server-in-use.ts'
import { killInMidBatch } from './kills.ts'
import { randomFaults } from './random-faults.ts'

// How long a run takes depends on what else the machine does.
const PATIENT = { timeout: 300_000 }

steered('4 random faults during 1,500 events lose and repeat nothing', PATIENT, async () => {
  await randomFaults(seeded('random faults'), 4, { events: 1_500, checkpoints: 'postgres' })
})

steered(
  'with checkpoints in the store of the events, faults lose nothing and repeat what was in flight only',
  PATIENT,
  async () => {
    const random = seeded('faults and kills, checkpoints in the store')
    await randomFaults(random, 2, { events: 500, checkpoints: 'esdb' })
    await killInMidBatch(random, 1, { events: 300, checkpoints: 'esdb' })
  },
)
