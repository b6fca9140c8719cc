import type { Random } from '../core/model/random.ts'
import { expectExact, untilArrived } from './oracle.ts'
import { type DaemonProcess, spawnDaemon } from './processes.ts'
import { chaosStore } from './store.ts'
import { startBystanders, startWriters } from './writers.ts'

const PROCESS_PROJECTIONS = [{ name: 'all' }, { name: 'rare', eventTypes: ['rare'] }, { name: 'second' }]

/** Kills a daemon that many times in the middle of a batch (written, not committed), under load. */
export async function killInMidBatch(random: Random, kills: number): Promise<void> {
  const store = await chaosStore()
  startBystanders(store)
  const writers = startWriters(store, { random, writers: 4 })
  const start = (handleMs: number): Promise<DaemonProcess> =>
    spawnDaemon({
      url: store.url,
      projections: PROCESS_PROJECTIONS.map(({ name }) => name).join(),
      'batch-size': '40',
      'handle-ms': String(handleMs),
    })
  for (let kill = 0; kill < kills; kill++) {
    const daemon = await start(5)
    for (let batches = random.below(12); batches >= 0; batches--) await daemon.says('handling')
    await daemon.kill()
  }
  await writers.stop()
  const last = await start(0)
  await expectExact(PROCESS_PROJECTIONS, store)
  await writers.expectAcknowledged()
  await last.terminate()
}

/** Two daemons on the same projections; each is replaced in turn, under load, that many times. */
export async function rollingRestarts(random: Random, restarts: number): Promise<void> {
  const store = await chaosStore()
  const writers = startWriters(store, { random, writers: 4 })
  const start = (): Promise<DaemonProcess> =>
    spawnDaemon({ url: store.url, projections: PROCESS_PROJECTIONS.map(({ name }) => name).join() })
  const running = [await start(), await start()]
  for (let restart = 0; restart < restarts; restart++) {
    await untilArrived(store, 'all', 200)
    const replaced = running.shift()
    const status = await replaced?.terminate()
    if (status !== 0) throw new Error(`a daemon that was told to stop ended with status ${status}`)
    running.push(await start())
  }
  await untilArrived(store, 'all', 200)
  await writers.stop()
  await expectExact(PROCESS_PROJECTIONS, store)
  await writers.expectAcknowledged()
  const { rows } = await store.query('select count(distinct process)::int as n from handled')
  if (rows[0].n < 2) throw new Error('no daemon took over from another')
  for (const daemon of running) await daemon.terminate()
}
