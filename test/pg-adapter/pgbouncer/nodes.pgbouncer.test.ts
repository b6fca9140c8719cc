import { setTimeout as sleep } from 'node:timers/promises'
import type { Daemon } from '@tidemark/core'
import { postgresEvents } from '@tidemark/pg-adapter'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { hasPgBouncer, type PgBouncer, startPgBouncer } from '@tidemark-internal/embedded-postgres/pgbouncer'
import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { ownServer } from '../../support/database.ts'
import {
  appended,
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../../support/event-table.ts'

const PROJECTIONS = ['a', 'b', 'c', 'd']
const NODES = ['one', 'two']
/** Renewed each third of it: several renewals in a row have to fail before anybody else may take over. */
const LEASE_MS = 9_000
const RENEWALS = 4
const CULLED_EVERY_MS = 1_000

describe.skipIf(!hasPgBouncer)('through PgBouncer in transaction mode', () => {
  let server: EmbeddedPostgres
  let pooler: PgBouncer
  beforeAll(async () => {
    server = await ownServer()
  })
  afterAll(() => server.dispose())
  const db = fileDatabase(() => server.url)
  beforeAll(async () => {
    // Connections of clients that are idle for a second are closed too.
    pooler = await startPgBouncer(server, { default_pool_size: '6', client_idle_timeout: '1' })
  })
  afterAll(() => pooler.stop())

  function start(events: EventTable, name: string): Promise<Daemon<bigint>> {
    const database = new URL(db.url).pathname.slice(1)
    const pool = new Pool({ connectionString: pooler.connectionString(database), application_name: name })
    pool.on('error', () => {})
    onTestFinished(() => pool.end())
    return startDaemon({
      source: postgresEvents({ pool, table: events.name }),
      checkpoints: checkpointsBeside(events, pool),
      nodes: { name, leaseMs: LEASE_MS },
      projections: PROJECTIONS.map((projection) => recorder(events, projection)),
    })
  }

  const ownedBy = (daemon: Daemon<bigint>): number =>
    daemon.status().projections.filter(({ lease, state }) => lease?.isHere && state === 'live').length

  test('connections that are culled every second move no unit', async () => {
    const events = await db.events()
    await events.run(HANDLED)
    const daemons = await Promise.all(NODES.map((name) => start(events, name)))
    await eventually(() => daemons.map(ownedBy)).toEqual([2, 2])
    for (const daemon of daemons) expect(daemon.status().cluster?.seenBy).toBe('expiry')
    const leases = async () => {
      const { rows } = await db.pool.query(
        `select projection, fence, owner from ${events.schema}.checkpoints order by projection`,
      )
      return rows
    }
    const expiries = async (): Promise<readonly number[]> => {
      const { rows } = await db.pool.query(
        `select expires_at from ${events.schema}.nodes where name = any ($1) order by name`,
        [NODES],
      )
      return rows.map(({ expires_at }) => Number(expires_at))
    }
    const before = await leases()
    let culled = 0
    let isOver = false
    const culling = (async () => {
      while (!isOver) {
        culled += await cull()
        await events.append()
        await sleep(CULLED_EVERY_MS)
      }
    })()
    for (let n = 0; n < RENEWALS; n++) {
      const known = await expiries()
      await eventually(async () => (await expiries()).every((at, i) => at > (known[i] ?? 0))).toBe(true)
    }
    isOver = true
    await culling
    expect(culled).toBeGreaterThan(RENEWALS)
    expect(await leases()).toEqual(before)
    for (const daemon of daemons) await daemon.waitUntilProjected({ timeoutMs: 30_000 })
    const everything = await appended(db.pool, events)
    for (const name of PROJECTIONS) expect(await handledBy(db.pool, events, name)).toEqual(everything)
  })

  /** Ends the backends that the pooler has for the nodes; how many they were. */
  async function cull(): Promise<number> {
    const { rowCount } = await db.pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = any ($1)`,
      [NODES],
    )
    return rowCount ?? 0
  }
})
