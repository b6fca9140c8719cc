import type { Random } from '../core/model/random.ts'
import { PROJECTIONS, startDaemon } from './daemons.ts'
import { expectExact, untilArrived } from './oracle.ts'
import { chaosStore } from './store.ts'
import { startBystanders, startWriters } from './writers.ts'

/** Shuts the server down at once, twice, under load. */
export async function shutDownInMidRun(
  random: Random,
  { asynchronous }: { asynchronous: boolean },
): Promise<void> {
  const store = await chaosStore()
  startBystanders(store)
  const writers = startWriters(store, { random, asynchronous })
  const daemon = await startDaemon(store)
  for (let crash = 0; crash < 2; crash++) {
    await untilArrived(store, 'slow', 150 + random.below(300))
    await store.server.stop('immediate')
    await store.server.start()
  }
  await untilArrived(store, 'slow', 200)
  await writers.stop()
  await expectExact(PROJECTIONS, store)
  await writers.expectAcknowledged()
  await daemon.waitUntilProjected({ timeoutMs: 10_000 })
}
