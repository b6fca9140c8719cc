import { type Daemon, hasCode } from '@tidemark/core'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { never } from '../support/never.ts'
import { killBackend } from './backends.ts'
import { eventsOf, PROJECTIONS, projection, replaced, startDaemon } from './daemons.ts'
import { append, flush, lastPosition } from './events.ts'
import { expectExact, untilArrived } from './oracle.ts'
import { seeded } from './seed.ts'
import { ASYNCHRONOUS, type ChaosStore, chaosStore, ONLY_COMMITS_FLUSH } from './store.ts'
import { gate, until } from './until.ts'
import { startBystanders, startWriters } from './writers.ts'

/** Numbers that a sequence takes ahead in the log: a lost number comes back only where its record is lost too. */
const LOGGED_AHEAD = 33

test.each([
  { commits: 'synchronous', asynchronous: false },
  { commits: 'asynchronous', asynchronous: true },
])(
  'immediate shutdowns in mid-run under $commits commits lose and repeat nothing',
  async ({ asynchronous }) => {
    const random = seeded('immediate shutdown')
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
  },
)

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

/**
 * Numbers that come back: what was committed asynchronously is lost in the crash, and other events get its numbers. A
 * runner that comes to its connection, or to its page, sooner than the agent to its next poll still has the old mark.
 */
test.each([
  { what: 'a page loaded before a crash', waitsAt: 'advance' as const },
  { what: 'a mark proven before a crash', waitsAt: 'load' as const },
])('$what is worth nothing after it, when numbers come back', async ({ waitsAt }) => {
  const store = await chaosStore(ONLY_COMMITS_FLUSH)
  // Nothing of the daemon flushes the writers' commits either.
  const source = eventsOf(store.pool(ASYNCHRONOUS))
  const checkpoints = postgresCheckpoints({ pool: store.pool(ASYNCHRONOUS) })
  const runner = gate()
  const polls = gate()
  const daemon = await startDaemon(store, {
    projections: [projection('all', { batchSize: 1_000 })],
    source: replaced(source, {
      readHighWater: async (request) => {
        await polls.pass()
        return source.readHighWater(request)
      },
      load: async (request) => {
        if (waitsAt === 'load') await runner.pass()
        return source.load(request)
      },
    }),
    checkpoints: {
      prepare: () => checkpoints.prepare?.(never()) ?? Promise.resolve(),
      name: checkpoints.name,
      open: (unit, first) => checkpoints.open(unit, first, never()),
      read: (unit) => checkpoints.read(unit, never()),
      list: (filter) => checkpoints.list(filter, never()),
      progress: (of) => checkpoints.progress(of, never()),
      settled: { save: async (of, evidence) => checkpoints.settled?.save(of, evidence, never()) },
      skips: {
        record: async (of, runs) => checkpoints.skips?.record(of, runs, never()),
        list: async () => [],
      },
      sharesLogWith: (incarnation) => checkpoints.sharesLogWith(incarnation, never()),
      isTransient: (error) => checkpoints.isTransient(error),
      advance: async (request, work) => {
        if (waitsAt === 'advance') await runner.pass()
        return checkpoints.advance(request, work)
      },
    },
  })
  const writer = await store.connect()
  await append(writer, 10)
  await daemon.waitUntilProjected({ timeoutMs: 10_000 })
  await flush(store)

  runner.shut()
  await writer.query('set synchronous_commit = off')
  await append(writer, 200)
  daemon.wake()
  await runner.reached
  await until('the mark covers what will be lost', () => daemon.status().highWater.mark === 210n)
  polls.shut()
  await writer.end()
  await store.server.stop('immediate')
  await store.server.start()
  expect(await lastPosition(store)).toBe(10)

  const again = await store.connect()
  await append(again, 20)
  const { rows } = await store.query('select min(position)::int as first from events where position > 10')
  expect(rows[0].first).toBeLessThanOrEqual(10 + LOGGED_AHEAD)

  runner.open()
  await comesToTheNewServer(daemon)
  await append(again, 20)
  await again.end()
  polls.open()
  await expectExact([{ name: 'all' }], store, { timeoutMs: 15_000 })
})

/** It is turned away there; or, where nothing is compared, goes on. */
async function comesToTheNewServer(daemon: Daemon<bigint>): Promise<void> {
  await until('the runner has come to the new server', () => {
    const [status] = daemon.status().projections
    return hasCode(status?.error, 'TIDEMARK_INCARNATION_CHANGED') || status?.position === 210n
  })
}

test('a checkpoint lost with an asynchronous commit is read again, also by a projection that was idle', async () => {
  const store = await chaosStore(ONLY_COMMITS_FLUSH)
  const pool = store.pool(ASYNCHRONOUS)
  const daemon = await startDaemon(store, {
    projections: [projection('all')],
    source: eventsOf(pool),
    checkpoints: postgresCheckpoints({ pool }),
    pollIntervalMs: 50,
  })
  const writer = await store.connect()
  await append(writer, 6)
  await daemon.waitUntilProjected({ timeoutMs: 10_000 })
  await flush(store)
  await writer.query('set synchronous_commit = off')
  await append(writer, 100)
  await daemon.waitUntilProjected({ timeoutMs: 10_000 })
  await writer.end()
  await store.server.stop('immediate')
  await store.server.start()
  expect(await lastPosition(store)).toBe(6)
  const again = await store.connect()
  await append(again, 1)
  await again.end()
  await expectExact([{ name: 'all' }], store, { timeoutMs: 15_000 })
})

async function holders(store: ChaosStore): Promise<string[]> {
  const { rows } = await store.query(
    `select virtualtransaction as holder from pg_locks
     where relation = pg_get_serial_sequence('events', 'position')::regclass and mode = 'RowExclusiveLock'`,
  )
  return rows.map((row) => row.holder)
}
