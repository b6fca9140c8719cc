import { expect, test } from 'vitest'
import { killBackend } from './backends.ts'
import { PROJECTIONS, startDaemon } from './daemons.ts'
import { append, lastPosition } from './events.ts'
import { expectExact, untilArrived } from './oracle.ts'
import { seeded } from './seed.ts'
import { shutDownInMidRun } from './shutdowns.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { until } from './until.ts'
import { startBystanders, startWriters } from './writers.ts'

test('immediate shutdowns in mid-run under asynchronous commits lose and repeat nothing', async () => {
  await shutDownInMidRun(seeded('immediate shutdown'), { asynchronous: true })
})

test('backends killed with SIGKILL, and with each all the others, lose and repeat nothing', async () => {
  const random = seeded('killed backends')
  const store = await chaosStore()
  startBystanders(store)
  const writers = startWriters(store, { random })
  const daemon = await startDaemon(store)
  for (let kill = 0; kill < 2; kill++) {
    await untilArrived(store, 'slow', 150 + random.below(300))
    await killBackend(store, random.below(1_000))
  }
  await untilArrived(store, 'slow', 200)
  await writers.stop()
  await expectExact(PROJECTIONS, store)
  await writers.expectAcknowledged()
  await daemon.waitUntilProjected({ timeoutMs: 10_000 })
})

test('clean restarts with prepared transactions open, their ids used again by new sessions, lose nothing', async () => {
  const random = seeded('clean restart')
  const store = await chaosStore()
  const daemon = await startDaemon(store)
  for (let restart = 0; restart < 2; restart++) {
    // The first sessions of a server's life, so that those of the next life get the same virtual transaction ids.
    const open = await Promise.all(
      Array.from({ length: 4 }, async (_, n) => {
        const client = await store.connect()
        await client.query('begin')
        await append(client, 1 + n)
        await client.query(`prepare transaction 'open-${restart}-${n}'`)
        return client
      }),
    )
    const writers = startWriters(store, { random, writers: 4 })
    await until('some of them have written', async () => (await lastPosition(store)) > restart * 300 + 200)
    const idsBefore = await holders(store)
    await store.server.stop('fast')
    await Promise.all(open.map((client) => client.end().catch(() => {})))
    await store.server.start()
    await until('a prepared transaction shows as recovered', async () =>
      (await holders(store)).some((holder) => holder.startsWith('-1/')),
    )
    expect(idsBefore.length).toBeGreaterThan(0)
    await until('some have been written since', async () => (await lastPosition(store)) > restart * 300 + 300)
    for (const n of [2, 0, 3, 1]) {
      await store.query(`${n === 3 ? 'rollback' : 'commit'} prepared 'open-${restart}-${n}'`)
    }
    await writers.stop()
    await writers.expectAcknowledged()
    await expectExact(PROJECTIONS, store)
  }
  await daemon.waitUntilProjected({ timeoutMs: 10_000 })
})

async function holders(store: ChaosStore): Promise<string[]> {
  const { rows } = await store.query(
    `select virtualtransaction as holder from pg_locks
     where relation = pg_get_serial_sequence('events', 'position')::regclass and mode = 'RowExclusiveLock'`,
  )
  return rows.map((row) => row.holder)
}
