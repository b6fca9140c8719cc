import { type Daemon, hasCode } from '@tidemark/core'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { never } from '../support/never.ts'
import { eventsOf, projection, replaced, startDaemon } from './daemons.ts'
import { append, flush, lastPosition } from './events.ts'
import { expectExact } from './oracle.ts'
import { seeded } from './seed.ts'
import { shutDownInMidRun } from './shutdowns.ts'
import { ASYNCHRONOUS, chaosStore, ONLY_COMMITS_FLUSH } from './store.ts'
import { gate, until } from './until.ts'

/** Numbers that a sequence takes ahead in the log: a lost number comes back only where its record is lost too. */
const LOGGED_AHEAD = 33

test('immediate shutdowns in mid-run lose and repeat nothing', async () => {
  await shutDownInMidRun(seeded('immediate shutdown'), { asynchronous: false })
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
