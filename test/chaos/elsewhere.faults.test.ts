import { execFile } from 'node:child_process'
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { hasCode } from '@tidemark/core'
import { expect, test } from 'vitest'
import { eventsOf, PROJECTIONS, projection, replaced, startDaemon } from './daemons.ts'
import { append, lastPosition } from './events.ts'
import { arrived, expectExact, untilArrived } from './oracle.ts'
import { seeded } from './seed.ts'
import { type ChaosStore, chaosStore, ONLY_COMMITS_FLUSH } from './store.ts'
import { gate, until } from './until.ts'
import { startBystanders, startWriters } from './writers.ts'

test('checkpoints on another server survive crashes under asynchronous commits: nothing is lost or repeated', async () => {
  const random = seeded('checkpoints elsewhere')
  const [store, elsewhere] = await Promise.all([chaosStore(), chaosStore()])
  startBystanders(store)
  const writers = startWriters(store, { random, asynchronous: true })
  const daemon = await startDaemon(store, { elsewhere })
  for (let crash = 0; crash < 2; crash++) {
    await untilArrived(elsewhere, 'slow', 150 + random.below(300))
    await store.server.stop('immediate')
    await store.server.start()
  }
  await untilArrived(elsewhere, 'slow', 200)
  await elsewhere.server.stop('immediate')
  await elsewhere.server.start()
  await untilArrived(elsewhere, 'slow', 200)
  await writers.stop()
  await expectExact(PROJECTIONS, store, { handled: elsewhere })
  await daemon.waitUntilProjected({ timeoutMs: 10_000 })
})

test('an event is handed over to another server only once a crash can no longer take it back', async () => {
  const [store, elsewhere] = await Promise.all([chaosStore(ONLY_COMMITS_FLUSH), chaosStore()])
  await startDaemon(store, { elsewhere, projections: [projection('all')] })
  for (let crash = 1; crash <= 3; crash++) {
    const writer = await store.connect({ options: '-c synchronous_commit=off' })
    await append(writer, 60)
    // The WAL writer comes round every 10 s only: the flush is forced.
    await until('it has arrived', async () => (await arrived(elsewhere, 'all')) === 60 * crash, 6_000)
    await writer.end()
    await store.server.stop('immediate')
    await store.server.start()
    await expectExact([{ name: 'all' }], store, { handled: elsewhere })
  }
})

test('after a failover that lost events, checkpoints in the same log go on with what is there', async () => {
  const store = await chaosStore()
  await startDaemon(store, { projections: [projection('all')] })
  await append(store, 50)
  await expectExact([{ name: 'all' }], store)
  const failOver = await standby(store)
  await append(store, 60)
  await expectExact([{ name: 'all' }], store)
  await failOver()
  await append(store, 30)
  await expectExact([{ name: 'all' }], store)
  expect(await lastPosition(store)).toBe(80)
})

test('after a failover that lost events, checkpoints elsewhere halt, and a mark from before is not used', async () => {
  const [store, elsewhere] = await Promise.all([chaosStore(), chaosStore()])
  const source = eventsOf(store.pool())
  const loads = gate()
  const polls = gate()
  const daemon = await startDaemon(store, {
    elsewhere,
    projections: [projection('all')],
    source: replaced(source, {
      readHighWater: async (request) => {
        await polls.pass()
        return source.readHighWater(request)
      },
      load: async (request) => {
        await loads.pass()
        return source.load(request)
      },
    }),
  })
  await append(store, 50)
  await expectExact([{ name: 'all' }], store, { handled: elsewhere })
  const failOver = await standby(store)
  await until('it is polled again', () => daemon.status().highWater.state === 'polling')
  loads.shut()
  await append(store, 60)
  await until('the mark covers what will be lost', () => daemon.status().highWater.mark === 110n)
  await loads.reached
  polls.shut()
  await failOver()
  await append(store, 30)
  loads.open()
  await until('the runner is turned away, or has read on', () => {
    const [status] = daemon.status().projections
    return hasCode(status?.error, 'TIDEMARK_INCARNATION_CHANGED') || (status?.handledEvents ?? 0) > 50
  })
  polls.open()
  await until('it halts', () => daemon.status().highWater.state === 'halted')
  expect(hasCode(daemon.status().highWater.error, 'TIDEMARK_STORE_REWOUND')).toBe(true)
  expect(await arrived(elsewhere, 'all')).toBe(50)
})

/** Takes a copy of the server as it is now; what is returned makes that copy the primary, on a timeline of its own. */
async function standby({ server, query }: ChaosStore): Promise<() => Promise<void>> {
  const copy = `${server.dataDir}-standby`
  await server.stop('fast')
  await promisify(execFile)('cp', ['-a', server.dataDir, copy])
  await server.start()
  return async () => {
    await server.stop('immediate')
    await rm(server.dataDir, { recursive: true })
    await rename(copy, server.dataDir)
    await writeFile(join(server.dataDir, 'recovery.signal'), '')
    await server.start({ restore_command: 'false' })
    await until(
      'it is promoted',
      async () => (await query('select not pg_is_in_recovery() as is')).rows[0].is,
    )
  }
}
