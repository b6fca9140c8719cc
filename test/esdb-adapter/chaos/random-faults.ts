import { expect } from 'vitest'
import { untilArrived } from '../../chaos/oracle.ts'
import { branch } from '../../chaos/seed.ts'
import { until } from '../../chaos/until.ts'
import type { Random } from '../../core/model/random.ts'
import { faults } from './faults.ts'
import { expectAtLeastOnce, expectExactlyOnce, hasGot } from './oracle.ts'
import { type ChaosRig, type Checkpoints, chaosRig } from './rig.ts'
import { startWriter } from './writer.ts'

export interface RunOptions {
  readonly events: number
  readonly checkpoints: Checkpoints
}

/** After an unclean end batches have one event each for a while, which on a busy machine takes as long as it takes. */
const LONGEST_BACKLOG_MS = 120_000

/** One fault after another between the daemons of a process and their server, while events flow and while none do. */
export async function randomFaults(
  random: Random,
  rounds: number,
  { events, checkpoints }: RunOptions,
): Promise<void> {
  const rig = await chaosRig(checkpoints)
  const writer = startWriter(rig, branch(random))
  const strike = faults(rig.server, branch(random))
  const daemon = await rig.spawnDaemon({ 'handle-ms': '1' })
  const share = Math.floor(events / rounds)
  for (let round = 1; round <= rounds; round++) {
    const isAtRest = random.chance(0.3)
    const appending = writer.append(isAtRest ? 0 : share)
    appending.catch(() => {})
    if (isAtRest) {
      const last = await writer.appendOne()
      await until('everything has arrived', () => hasGot(rig, 'all', last), LONGEST_BACKLOG_MS)
    } else {
      await untilArrived(rig.pool, 'all', 1 + random.below(share))
    }
    console.info(`${round}/${rounds}: ${await strike(isAtRest)}`)
    await appending
    if (isAtRest) await writer.append(share)
  }
  await until('every source is listened to again', async () => (await listeners(rig)) === 3)
  await expectDelivered(checkpoints)(rig, writer)
  expect(writer.acknowledged.size).toBeGreaterThanOrEqual(share * rounds)
  expect(await daemon.terminate()).toBe(0)
}

export function expectDelivered(checkpoints: Checkpoints): typeof expectExactlyOnce {
  return checkpoints === 'postgres' ? expectExactlyOnce : expectAtLeastOnce
}

/** Open subscriptions: each source has one, at rest. */
async function listeners({ server }: ChaosRig): Promise<number> {
  return (await server.counters()).open.subscription
}
