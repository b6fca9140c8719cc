import { auditCommits, diagnose } from '@tidemark/pg-adapter'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { hasPgBouncer, type PgBouncer, startPgBouncer } from '@tidemark-internal/embedded-postgres/pgbouncer'
import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { ownServer } from '../../support/database.ts'
import { fileDatabase } from '../../support/event-table.ts'

describe.skipIf(!hasPgBouncer)('through PgBouncer in transaction mode', () => {
  let server: EmbeddedPostgres
  let pooler: PgBouncer
  beforeAll(async () => {
    server = await ownServer({ settings: { track_commit_timestamp: 'on' } })
  })
  afterAll(() => server.dispose())
  const db = fileDatabase(() => server.url)
  beforeAll(async () => {
    pooler = await startPgBouncer(server, { default_pool_size: '3' })
  })
  afterAll(() => pooler.stop())

  function pooled(): Pool {
    const database = new URL(db.url).pathname.slice(1)
    const pool = new Pool({ connectionString: pooler.connectionString(database) })
    pool.on('error', () => {})
    onTestFinished(() => pool.end())
    return pool
  }

  test('an audit of several pages is the same as without it', async () => {
    const events = await db.events()
    const late = await db.session()
    await late.query(`begin; insert into ${events.name} default values`)
    await events.run(`insert into events (data) select 'x' from generate_series(1, 900)`)
    for (let n = 0; n < 50; n++) await events.run('insert into events select from generate_series(1, 900)')
    await late.query('commit')
    const audit = await auditCommits({ pool: pooled(), table: events.name })
    expect(audit.past).toEqual((await auditCommits({ pool: db.pool, table: events.name })).past)
    expect(audit.past).toMatchObject({ rows: 45_901, inversions: { events: 45_901, inverted: 1 } })
  })
  test('a diagnosis notices the pooler, and reads through it all the same', async () => {
    const events = await db.events()
    const { findings } = await diagnose({
      pool: pooled(),
      table: events.name,
      sampleMs: 20,
      timeoutMs: 120_000,
    })
    expect(findings.find(({ code }) => code === 'pooler')).toMatchObject({ severity: 'note' })
    expect(findings.filter(({ severity }) => severity === 'problem' || severity === 'unknown')).toEqual([])
    const direct = await diagnose({ pool: db.pool, table: events.name, sampleMs: 20, timeoutMs: 120_000 })
    expect(direct.findings.find(({ code }) => code === 'pooler')).toMatchObject({ severity: 'ok' })
  })
})
