import { execFile } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { kill } from 'node:process'
import { promisify } from 'node:util'
import { type Claim, type Leases, type NodeReport, unitKey, wholeUnit } from '@tidemark/core/adapter'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import type { Pool } from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { ownServer } from '../support/database.ts'
import { checkpointsBeside, type EventTable, eventually, fileDatabase } from '../support/event-table.ts'
import { never } from '../support/never.ts'

let server: EmbeddedPostgres
beforeAll(async () => {
  server = await ownServer()
})
afterAll(() => server.dispose())
const db = fileDatabase(() => server.url)

const ORDERS = wholeUnit('orders')
const LONG_MS = 3_600_000

const leasesOn = (events: EventTable, pool: Pool): Leases =>
  checkpointsBeside(events, pool).leases ?? expect.fail('Postgres has leases')

const renew = (leases: Leases, id: string) => {
  const node: NodeReport = {
    id,
    name: id,
    source: 'events',
    capacity: 1,
    units: [unitKey(ORDERS)],
    unable: [],
    isLeaving: false,
  }
  return leases.renew({ node, leaseMs: LONG_MS, signal: never() })
}

/** Kept until the test ends. */
async function present(leases: Leases, node: string) {
  const over = new AbortController()
  onTestFinished(() => over.abort())
  await leases.presence?.({ node, source: 'events', onHint: () => {}, signal: over.signal })
  return () => over.abort(new Error('the process ends'))
}

const presenceSeenBy = async (leases: Leases, reader: string, id: string) =>
  (await renew(leases, reader)).nodes.find((node) => node.id === id)?.presence

const untilItAnswers = (pool: Pool) =>
  eventually(() =>
    pool.query('select').then(
      () => true,
      () => false,
    ),
  ).toBe(true)

/** One that is present and has a unit, and which presence that is. */
async function presentOn(pool: Pool) {
  const events = await db.events()
  const store = checkpointsBeside(events, pool)
  await store.prepare?.(never())
  await store.open(ORDERS, { source: 'events', head: undefined }, never())
  const leases = leasesOn(events, pool)
  await renew(leases, 'first')
  await present(leases, 'first')
  const claims = [{ unit: ORDERS, fence: 0n, gone: undefined }]
  const [lease] = await leases.claim({ node: 'first', claims, signal: never() })
  const { rows } = await pool.query(
    `select presence_pid || '/' || (extract(epoch from presence_start) * 1000000)::bigint as which from ${events.schema}.nodes`,
  )
  const gone = { unit: ORDERS, fence: lease?.fence ?? 0n, gone: String(rows[0]?.which) }
  return { events, leases, gone }
}

/** Until its lease has expired, or it has come back and gone again. */
async function expectNotGone(leases: Leases, gone: Claim): Promise<void> {
  expect(await presenceSeenBy(leases, 'second', 'first')).toEqual({ is: 'unknown' })
  expect(await leases.missing?.('events', never())).toBe(false)
  expect(await leases.claim({ node: 'second', claims: [gone], signal: never() })).toEqual([])
  const seen = () => presenceSeenBy(leases, 'second', 'first')
  // After a crash the statistics of 14 begin a moment after the first connections do: one of these is not known either.
  await eventually(async () => {
    const end = await present(leases, 'first')
    expect(await seen()).not.toMatchObject({ is: 'gone' })
    end()
    await eventually(seen).not.toEqual({ is: 'here' })
    return await seen()
  }).toMatchObject({ is: 'gone' })
}

test.each<[string, () => Promise<void>]>([
  ['was restarted', () => server.stop('fast').then(() => server.start())],
  ['was stopped at once and started again', () => server.stop('immediate').then(() => server.start())],
  [
    'has recovered from a crash',
    async () => {
      const recoveredAt = () =>
        db.pool.query('select pg_stat_get_bgwriter_stat_reset_time()::text as at').then(
          ({ rows }) => rows[0]?.at,
          () => before,
        )
      let before: unknown
      before = await recoveredAt()
      const victim = await db.session()
      const { rows } = await victim.query('select pg_backend_pid() as pid')
      kill(rows[0].pid, 'SIGKILL')
      await eventually(recoveredAt).not.toBe(before)
    },
  ],
])('after the server %s, nobody who was present before is gone: their leases expire', async (_, restart) => {
  const { leases, gone } = await presentOn(db.pool)
  await restart()
  await untilItAnswers(db.pool)
  await expectNotGone(leases, gone)
})

test('nor is anybody after a standby, which has been there for longer, has become the primary', async () => {
  const standby = await ownServer()
  onTestFinished(() => standby.dispose())
  await Promise.all([standby.stop(), server.stop()])
  await rm(standby.dataDir, { recursive: true })
  await promisify(execFile)('cp', ['-a', server.dataDir, standby.dataDir])
  await writeFile(join(standby.dataDir, 'standby.signal'), '', { mode: 0o666 })
  await server.start()
  await standby.start({ primary_conninfo: `host=${server.host} port=${server.port} user=postgres` })
  await untilItAnswers(db.pool)
  const { events, gone } = await presentOn(db.pool)
  const url = new URL(db.url)
  url.port = String(standby.port)
  const pool = db.newPool({ connectionString: url.href })
  const replayed = () =>
    pool.query(`select owner from ${events.schema}.checkpoints`).then(
      ({ rows }) => rows[0]?.owner,
      () => undefined,
    )
  await eventually(replayed).toBe('first')
  await server.stop()
  onTestFinished(() => server.start())
  await pool.query('select pg_promote()')
  await expectNotGone(leasesOn(events, pool), gone)
})
