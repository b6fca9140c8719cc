import { seeded } from '../../chaos/seed.ts'
import { steered } from '../server-in-use.ts'
import { killInMidBatch } from './kills.ts'
import { expectExactlyOnce } from './oracle.ts'
import { chaosRig } from './rig.ts'
import { startWriter } from './writer.ts'

// How long a run takes depends on what else the machine does.
const PATIENT = { timeout: 300_000 }

steered('a daemon process killed in mid-batch 3 times loses and repeats nothing', PATIENT, async () => {
  await killInMidBatch(seeded('killed daemon'), 3, { events: 600, checkpoints: 'postgres' })
})

steered(
  'a daemon process killed while it waits for events, and with the next one at hand, loses and repeats nothing',
  PATIENT,
  async () => {
    const rig = await chaosRig('postgres')
    const writer = startWriter(rig, seeded('killed at the tail'))
    const waiting = await rig.spawnDaemon({})
    await writer.append(300)
    await expectExactlyOnce(rig, writer)
    await waiting.kill()

    await writer.append(200)
    const handling = await rig.spawnDaemon({ 'handle-ms': '100' })
    await expectExactlyOnce(rig, writer)
    const next = handling.says('handling')
    await writer.appendOne()
    await next
    await handling.kill()

    const last = await rig.spawnDaemon({})
    await expectExactlyOnce(rig, writer)
    await last.terminate()
  },
)
