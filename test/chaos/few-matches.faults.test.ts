import { inMemoryCheckpoints } from '@tidemark/core/testing'
import { type PostgresEventsOptions, postgresEvents } from '@tidemark/pg-adapter'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../support/database.ts'
import { startDaemon } from '../support/event-table.ts'

const EVENTS = 10_000_000
/** Far less than it takes to look through all of them, far more than a poll takes. */
const SHORT_MS = 300

/** Every millionth event is rare; every second one is of tenant 1, the rare ones too. */
const FILL = `insert into events (type, tenant)
  select case when n % 1000000 = 1 then 'rare' else 'common' end, n % 2 from generate_series(1, ${EVENTS}) n`
const RARE = Array.from({ length: 10 }, (_, n) => BigInt(n * 1_000_000 + 1))

const TABLES = {
  plain:
    'create table events (position bigint generated always as identity primary key, type text, tenant int)',
  parted: `create table events (position bigint generated always as identity, type text, tenant int,
      primary key (position, tenant)) partition by list (tenant);
    create table events_0 partition of events for values in (0);
    create table events_1 partition of events for values in (1)`,
}

describe.each(Object.entries(TABLES))('in ten million events of a table that is %s', (_, ddl) => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await testDatabase()
    await database.pool.query(`${ddl}; ${FILL}`)
    await database.pool.query('vacuum analyze events')
  }, 300_000)
  afterAll(() => database.drop())

  /** What a projection of the rare events is given, and which of its pages have failed. */
  async function projected(options: Partial<PostgresEventsOptions>) {
    const seen: bigint[] = []
    const failures: unknown[] = []
    let pages = 0
    const source = postgresEvents({
      pool: database.pool,
      table: 'public.events',
      eventType: 'type',
      ...options,
    })
    const load = source.load.bind(source)
    const counted: typeof source.load = async (request) => {
      pages++
      return await load(request)
    }
    const daemon = await startDaemon({
      source: Object.assign(source, { load: counted }),
      checkpoints: inMemoryCheckpoints(),
      projections: [
        {
          name: 'rare',
          eventTypes: ['rare'],
          handle: (page) => void seen.push(...page.map(({ position }) => BigInt(String(position)))),
        },
      ],
      telemetry: { storeFailed: ({ error }) => failures.push(error) },
    })
    await daemon.waitUntilProjected({ timeoutMs: 120_000 })
    await daemon.stop()
    const { position } = daemon.status().projections[0] ?? {}
    expect(seen).toEqual(RARE)
    return { failures, pages, position }
  }

  const WHERES: readonly (readonly [string, Partial<PostgresEventsOptions>])[] = [
    ['of a type', {}],
    ['of a type and a tenant', { where: { tenant: 1 } }],
  ]

  test.each(WHERES)(
    'ten %s are found without an index on it, in ranges that come in time',
    async (_, where) => {
      const { failures, position } = await projected({ queryTimeoutMs: SHORT_MS, ...where })
      expect(failures.length).toBeGreaterThan(0)
      for (const error of failures) expect(error).toMatchObject({ code: 'TIDEMARK_QUERY_TIMEOUT' })
      expect(position).toBe(BigInt(EVENTS))
    },
  )

  test.each(WHERES)('ten %s are found by an index on it at once', async (_, where) => {
    await database.pool.query('create index on events (type, position)')
    const { failures, pages } = await projected(where)
    expect(failures).toEqual([])
    expect(pages).toBeLessThanOrEqual(2)
    await database.pool.query('drop index events_type_position_idx')
  })
})
