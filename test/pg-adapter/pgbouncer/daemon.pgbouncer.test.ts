import { createProgressReader } from '@tidemark/core'
import { postgresEvents } from '@tidemark/pg-adapter'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { hasPgBouncer, type PgBouncer, startPgBouncer } from '@tidemark-internal/embedded-postgres/pgbouncer'
import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { ownServer } from '../../support/database.ts'
import {
  agentOver,
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

describe.skipIf(!hasPgBouncer)('through PgBouncer in transaction mode', () => {
  let server: EmbeddedPostgres
  let pooler: PgBouncer
  beforeAll(async () => {
    server = await ownServer()
  })
  afterAll(() => server.dispose())
  const db = fileDatabase(() => server.url)
  // Stopped before the database that it has connections to.
  beforeAll(async () => {
    // Fewer backends than there are connections.
    pooler = await startPgBouncer(server, { default_pool_size: '3' })
  })
  afterAll(() => pooler.stop())

  function pooled(name: string): Pool {
    const database = new URL(db.url).pathname.slice(1)
    const pool = new Pool({ connectionString: pooler.connectionString(database), application_name: name })
    pool.on('error', () => {})
    onTestFinished(() => pool.end())
    return pool
  }

  const startPooledDaemon = (events: EventTable, name: string) => {
    const pool = pooled(name)
    return startDaemon({
      source: postgresEvents({ pool, table: events.name }),
      checkpoints: checkpointsBeside(events, pool),
      projections: ['a', 'b', 'c'].map((projection) => recorder(events, projection, { batchSize: 20 })),
    })
  }

  /** Appends one by one, rolls some back and keeps some open while others go on. */
  async function write(events: EventTable, count: number) {
    const writer = await db.session()
    const other = await db.session()
    const insert = `insert into ${events.name} default values`
    for (let n = 0; n < count; n++) {
      await writer.query('begin')
      await writer.query(insert)
      await other.query(insert)
      await writer.query(n % 4 === 0 ? 'rollback' : 'commit')
    }
  }

  test('a daemon projects everything exactly once, in order, under load', async () => {
    const events = await db.events()
    await events.run(HANDLED)
    const daemon = await startPooledDaemon(events, 'loaded')
    await Promise.all([1, 2, 3].map(() => write(events, 60)))
    await daemon.waitUntilProjected()
    const everything = await appended(db.pool, events)
    expect(everything).toHaveLength(3 * (60 + 45))
    for (const name of ['a', 'b', 'c']) expect(await handledBy(db.pool, events, name)).toEqual(everything)
  })

  test('two daemons through one pooler share the work and repeat nothing', async () => {
    const events = await db.events()
    await events.run(HANDLED)
    const daemons = await Promise.all([startPooledDaemon(events, 'one'), startPooledDaemon(events, 'two')])
    await write(events, 60)
    await daemons[0]?.stop()
    await write(events, 20)
    await daemons[1]?.waitUntilProjected()
    const everything = await appended(db.pool, events)
    for (const name of ['a', 'b', 'c']) expect(await handledBy(db.pool, events, name)).toEqual(everything)
  })

  test('who waits for its own write finds it in the read model, with fewer backends than waits', async () => {
    const events = await db.events()
    await events.run(HANDLED)
    await startPooledDaemon(events, 'projecting')
    const pool = pooled('waiting')
    const reader = createProgressReader({
      checkpoints: checkpointsBeside(events, pool),
      source: postgresEvents({ pool, table: events.name }),
    })
    for (let n = 0; n < 10; n++) {
      const writes = Array.from({ length: 20 }, async () => {
        const position = await events.append()
        await reader.waitFor({ projection: 'a', position })
        expect(await handledBy(db.pool, events, 'a')).toContain(position)
      })
      await Promise.all(writes)
    }
  })

  test('another backend between two polls is compared, and keeps what was settled', async () => {
    const events = await db.events()
    await events.append(2)
    const agent = await agentOver({ pool: pooled('polling'), table: events.name })
    const before = agent.reading?.incarnation
    const holder = await db.session()
    await holder.query('begin')
    await holder.query(`insert into ${events.name} default values`)
    await eventually(() => agent.status()).toMatchObject({ head: 3n, settled: 2n })
    const used = await endBackends()
    await events.append()
    // The holder's number is still known to lie above 2: nothing was dropped.
    await eventually(() => agent.status()).toMatchObject({
      state: 'polling',
      head: 4n,
      settled: 2n,
      mark: 2n,
    })
    expect(used.length).toBeGreaterThan(0)
    expect(agent.reading?.incarnation).toBe(before)
    await holder.query('commit')
    await agent.waitFor(4n)
    expect(agent.mark).toBe(4n)
  })

  test('nothing is prepared on backends that others use too', async () => {
    const events = await db.events()
    const agent = await agentOver({ pool: pooled('unprepared'), table: events.name })
    for (let n = 0; n < 5; n++) await agent.waitFor(await events.append())
    const clients = pooled('looking')
    const look =
      'select name, pg_backend_pid(), pg_sleep(0.2) from pg_sleep(0) left join pg_prepared_statements on true'
    const found = await Promise.all([1, 2, 3].map(() => clients.query(look)))
    expect(new Set(found.map(({ rows }) => rows[0].pg_backend_pid)).size).toBeGreaterThan(1)
    for (const { rows } of found) expect(rows).toMatchObject([{ name: null }])
  })

  test('backends that go while a daemon works are replaced, and nothing is repeated', async () => {
    const events = await db.events()
    await events.run(HANDLED)
    const daemon = await startPooledDaemon(events, 'interrupted')
    const written = write(events, 60)
    for (let ended = 0; ended < 5; ) ended += (await endBackends()).length > 0 ? 1 : 0
    await written
    await daemon.waitUntilProjected()
    const everything = await appended(db.pool, events)
    for (const name of ['a', 'b', 'c']) expect(await handledBy(db.pool, events, name)).toEqual(everything)
  })

  test('a handler that hangs in a statement is cut and tried again, and nobody else behind the pooler is', async () => {
    const events = await db.events()
    await events.run(HANDLED)
    await events.append(3)
    const pool = pooled('hanging')
    const bystander = pooled('bystander')
    let isHanging = true
    let isOver = false
    const asking = (async () => {
      while (!isOver) await bystander.query('select pg_sleep(0.01)')
    })()
    const daemon = await startDaemon({
      source: postgresEvents({ pool, table: events.name }),
      checkpoints: checkpointsBeside(events, pool),
      projections: [
        {
          name: 'hung',
          handlerTimeoutMs: 1_000,
          handle: async (page, context) => {
            if (isHanging) {
              isHanging = false
              await context.tx.query('select pg_sleep(3600)')
            }
            await recorder(events, 'hung').handle(page, context)
          },
        },
      ],
    })
    await daemon.waitUntilProjected().finally(() => {
      isOver = true
    })
    await asking
    expect(await handledBy(db.pool, events, 'hung')).toEqual([1n, 2n, 3n])
  })

  test('a statement of a handler that is given up is ended at once, without a further try', async () => {
    const events = await db.events()
    await events.append(1)
    const pool = pooled('given up')
    let calls = 0
    const daemon = await startDaemon({
      source: postgresEvents({ pool, table: events.name }),
      checkpoints: checkpointsBeside(events, pool),
      drainTimeoutMs: 100,
      projections: [
        {
          name: 'hung',
          handle: async (_, { tx }) => {
            calls++
            await tx.query('select pg_sleep(3601)')
          },
        },
      ],
    })
    const sleeping = async (): Promise<number | null> =>
      (await db.pool.query("select from pg_stat_activity where query = 'select pg_sleep(3601)'")).rowCount
    await eventually(sleeping).toBe(1)
    await daemon.stop()
    await eventually(sleeping).toBe(0)
    expect(calls).toBe(1)
  })

  /** Ends the backends behind the pooler, those of the writers' own connections excepted. */
  async function endBackends(): Promise<number[]> {
    const { rows } = await db.pool.query(
      `select pid, pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name in ('loaded', 'one', 'two', 'polling', 'interrupted')`,
    )
    return rows.map((row) => row.pid)
  }
})
