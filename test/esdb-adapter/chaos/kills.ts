import { branch } from '../../chaos/seed.ts'
import type { Random } from '../../core/model/random.ts'
import { expectDelivered, type RunOptions } from './random-faults.ts'
import { chaosRig } from './rig.ts'
import { startWriter } from './writer.ts'

/** Kills a process of daemons that many times, before a batch is written or before it is committed, under load. */
export async function killInMidBatch(
  random: Random,
  kills: number,
  { events, checkpoints }: RunOptions,
): Promise<void> {
  const rig = await chaosRig(checkpoints)
  const writer = startWriter(rig, branch(random))
  const share = Math.floor(events / kills)
  for (let kill = 0; kill < kills; kill++) {
    const daemon = await rig.spawnDaemon({ 'handle-ms': '4' })
    let isKilled = false
    const appending = writer.append(share).then(async () => {
      // However slowly it says what it is at, there is a next batch.
      while (!isKilled) await writer.appendOne()
    })
    appending.catch(() => {})
    const moment = random.pick(['handling', 'written']) ?? 'handling'
    for (let batches = random.below(12); batches >= 0; batches--) await daemon.says(moment)
    await daemon.kill()
    isKilled = true
    await appending
  }
  const last = await rig.spawnDaemon({})
  await expectDelivered(checkpoints)(rig, writer)
  await last.terminate()
}
