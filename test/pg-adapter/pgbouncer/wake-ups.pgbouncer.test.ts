import type { PostgresEventsOptions } from '@tidemark/pg-adapter'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { hasPgBouncer, startPgBouncer } from '@tidemark-internal/embedded-postgres/pgbouncer'
import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { ownServer } from '../../support/database.ts'
import { agentOver, eventually, fileDatabase } from '../../support/event-table.ts'

/** Far beyond a test's time: what is seen earlier was told by a wake-up. */
const NEVER_MS = 600_000

describe.skipIf(!hasPgBouncer)('wake-ups through PgBouncer in transaction mode', () => {
  let server: EmbeddedPostgres
  beforeAll(async () => {
    server = await ownServer()
  })
  afterAll(() => server.dispose())
  const db = fileDatabase(() => server.url)

  async function pooled(connections: number): Promise<Pool> {
    const pooler = await startPgBouncer(server, { default_pool_size: String(connections) })
    const database = new URL(db.url).pathname.slice(1)
    const pool = new Pool({ connectionString: pooler.connectionString(database) })
    pool.on('error', () => {})
    onTestFinished(async () => {
      await pool.end()
      await pooler.stop()
    })
    return pool
  }

  async function told(pool: Pool, options: Partial<PostgresEventsOptions>, pollIntervalMs: number) {
    const events = await db.events()
    const warnings: string[] = []
    const agent = await agentOver(
      { pool, table: events.name, ...options },
      {
        pollIntervalMs,
        logger: { info: () => {}, warn: (message) => warnings.push(message), error: () => {} },
      },
    )
    return { events, agent, warnings }
  }

  test.each([2, 5])(
    'an append is told of at once, with %i connections to the server',
    async (connections) => {
      const { events, agent, warnings } = await told(await pooled(connections), {}, NEVER_MS)
      for (const position of [1n, 2n]) {
        await events.append()
        await eventually(() => agent.mark).toBe(position)
      }
      expect(warnings).toEqual([])
    },
  )

  test('a pooler with one connection to the server is told of, and polled through', async () => {
    const { events, agent, warnings } = await told(await pooled(1), {}, 50)
    await eventually(() => warnings).toEqual([
      expect.stringContaining('a pooler has no connection to the server left beside it'),
    ])
    await events.append()
    await eventually(() => agent.mark).toBe(1n)
  })

  test('stop disturbs nobody else on the pooler', async () => {
    const pool = await pooled(2)
    let isOver = false
    const errors: unknown[] = []
    const bystander = (async () => {
      while (!isOver) await pool.query('select pg_sleep(0.01)').catch((error: unknown) => errors.push(error))
    })()
    for (let round = 0; round < 3; round++) {
      const { events, agent } = await told(pool, {}, NEVER_MS)
      await events.append()
      await eventually(() => agent.mark).toBe(1n)
      await agent.stop()
    }
    isOver = true
    await bystander
    expect(errors).toEqual([])
  })

  test('a notification that cannot arrive is told of, and polls go on', async () => {
    const pool = await pooled(2)
    // Whoever notifies has another connection to the server.
    let isOver = false
    const others = [1, 2].map(async () => {
      while (!isOver) await pool.query('select 1')
    })
    const { events, agent, warnings } = await told(pool, { wakeUps: { listen: 'news' } }, 50)
    await eventually(() => warnings).toEqual([
      expect.stringMatching(/wakeUps\.listen: a notification of its own did not arrive/),
    ])
    isOver = true
    await Promise.all(others)
    await events.append()
    await eventually(() => agent.mark).toBe(1n)
  })
})
