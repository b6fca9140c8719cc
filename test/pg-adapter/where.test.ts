import { type PostgresEventsOptions, postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { Random } from '../core/model/random.ts'
import {
  agentOver,
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  refusal,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()

const EVENTS = `create sequence numbers;
  create table events (position bigint primary key default nextval('numbers'), tenant text, shelf int, type text);
  ${HANDLED}`
/** The sequence of the table is its parent's. */
const PARTED = `create sequence numbers;
  create table events (position bigint not null default nextval('numbers'), tenant text, shelf int, type text)
    partition by list (tenant);
  create index on events (position);
  create table events_a partition of events for values in ('a');
  create table events_rest partition of events default; ${HANDLED}`

const sourceOf = (events: EventTable, more: Partial<PostgresEventsOptions>) =>
  postgresEvents({ pool: db.pool, table: events.name, eventType: 'type', ...more })

const WHERES: readonly (readonly [string, Partial<PostgresEventsOptions>])[] = [
  ['a', { where: { tenant: 'a' } }],
  ['b on shelf 1', { where: { tenant: 'b', shelf: 1 } }],
  ['all', {}],
]

interface Written {
  readonly position: bigint
  readonly tenant: string | undefined
  readonly shelf: number
  readonly type: string
}

/** What a source with these options has to hand over; the model. */
function expected(rows: readonly Written[], { where = {} }: Partial<PostgresEventsOptions>): bigint[] {
  return rows
    .filter((row) => row.type !== 'tombstone')
    .filter((row) => where.tenant === undefined || row.tenant === where.tenant)
    .filter((row) => where.shelf === undefined || row.shelf === where.shelf)
    .map(({ position }) => position)
    .toSorted((a, b) => (a < b ? -1 : 1))
}

const RUNS = Number(process.env.TIDEMARK_WHERE_RUNS ?? 2)

test.each(Array.from({ length: RUNS }, (_, seed) => [seed, seed % 2 === 0 ? EVENTS : PARTED] as const))(
  'hands over exactly the rows of its own, whoever commits when (seed %i)',
  async (seed, ddl) => {
    const random = new Random(seed)
    const events = await db.events(ddl)
    for (const [name, options] of WHERES) {
      await startDaemon({
        source: sourceOf(events, options),
        checkpoints: checkpointsBeside(events, db.pool),
        projections: [recorder(events, name, { batchSize: 3 })],
      })
    }
    const sessions = await Promise.all(Array.from({ length: 4 }, () => db.session()))
    const open = sessions.map((): Written[] | undefined => undefined)
    const committed: Written[] = []
    const end = async (writer: number, how: 'commit' | 'rollback'): Promise<void> => {
      await sessions[writer]?.query(how)
      if (how === 'commit') committed.push(...(open[writer] ?? []))
      open[writer] = undefined
    }
    for (let step = 0; step < 80; step++) {
      const writer = random.below(sessions.length)
      const session = sessions[writer]
      if (open[writer] !== undefined && random.chance(0.3)) {
        await end(writer, random.chance(0.7) ? 'commit' : 'rollback')
        continue
      }
      if (open[writer] === undefined) await session?.query('begin')
      const row = {
        tenant: random.pick(['a', 'b', 'c', undefined]),
        shelf: random.below(2),
        type: random.chance(0.1) ? 'tombstone' : 'happened',
      }
      const { rows } = await (session?.query(
        `insert into ${events.name} (tenant, shelf, type) values ($1, $2, $3) returning position::text`,
        [row.tenant ?? null, row.shelf, row.type],
      ) ?? { rows: [] })
      open[writer] = [...(open[writer] ?? []), { ...row, position: BigInt(rows[0].position) }]
    }
    for (let writer = 0; writer < sessions.length; writer++) await end(writer, 'commit')
    for (const [name, options] of WHERES) {
      await eventually(() => handledBy(db.pool, events, name)).toEqual(expected(committed, options))
    }
  },
)

test("another tenant's row at a position that was proven empty is no late event; one's own is", async () => {
  const events = await db.events(EVENTS)
  const options = { pool: db.pool, table: events.name, eventType: 'type' }
  const own = await agentOver({ ...options, where: { tenant: 'a' } })
  await events.run("select nextval('numbers'), nextval('numbers'); insert into events (tenant) values ('b')")
  await eventually(() => own.status().settled).toBe(3n)
  await events.run("insert into events values (1, 'b'), (2, null)")
  await events.run("insert into events (tenant) values ('a')")
  await own.waitFor(4n)
  expect(own.status().state).toBe('polling')
  await events.run("delete from events where position = 2; insert into events values (2, 'a')")
  await eventually(() => own.status()).toMatchObject({
    state: 'halted',
    error: { events: [{ position: '2' }] },
  })
})

test('a partition that is attached is looked through for rows of its own alone', async () => {
  const events = await db.events(`${PARTED};
    create table other (like events including defaults); create table mine (like events including defaults)`)
  const agent = await agentOver({ pool: db.pool, table: events.name, where: { shelf: 1 } })
  await events.run("insert into events (tenant, shelf) select 'a', 1 from generate_series(1, 5)")
  await agent.waitFor(5n)
  await events.run('delete from events where position < 4')
  await events.run("insert into other values (1, 'c', 0); insert into mine values (2, 'd', 1)")
  await events.run("alter table events attach partition other for values in ('c')")
  await events.run("insert into events (tenant, shelf) values ('a', 1)")
  await agent.waitFor(6n)
  await events.run("alter table events attach partition mine for values in ('d')")
  await eventually(() => agent.status()).toMatchObject({
    state: 'halted',
    error: { events: [{ position: '2' }] },
  })
})

test('a fixed wait passes no position of others, and looks for nothing of theirs', async () => {
  const events = await db.events(EVENTS)
  const daemon = await startDaemon({
    source: sourceOf(events, {
      where: { tenant: 'a' },
      highWater: { mode: 'stale-threshold', thresholdMs: 50 },
    }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'a')],
  })
  await events.run(
    "insert into events (tenant) select 'b' from generate_series(1, 20); insert into events (tenant) values ('a')",
  )
  await daemon.waitUntilProjected()
  expect(daemon.status().projections[0]?.skipped).toEqual({})
  expect(await handledBy(db.pool, events, 'a')).toEqual([21n])
})

test('a checkpoint of other rows of the table is refused, not gone on from', async () => {
  const events = await db.events(EVENTS)
  const daemonOf = (more: Partial<PostgresEventsOptions>) =>
    startDaemon({
      source: sourceOf(events, more),
      checkpoints: checkpointsBeside(events, db.pool),
      projections: [recorder(events, 'all')],
    })
  await events.run("insert into events (tenant) values ('a'), ('b')")
  const first = await daemonOf({ where: { tenant: 'a' } })
  await first.waitUntilProjected()
  await first.stop()
  const { name } = sourceOf(events, { where: { tenant: 'b', shelf: 1 } })
  expect(name).toBe(`${events.name}[shelf=1,tenant=b]`)
  const refused = async (more: Partial<PostgresEventsOptions>): Promise<string> => {
    const daemon = await daemonOf(more)
    await eventually(() => daemon.status().projections[0]?.error).toMatchObject({
      code: 'TIDEMARK_PROJECTION_SOURCE',
    })
    await daemon.stop()
    return String(daemon.status().projections[0]?.error)
  }
  expect(await refused({ where: { tenant: 'b' } })).toContain(
    `has a checkpoint of the source "${events.name}[tenant=a]", and now reads "${events.name}[tenant=b]"`,
  )
  await refused({})
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n])
})

test('refuses a column that is not there, one that may not be read, and a value that no row can have', async () => {
  const events = await db.events(EVENTS)
  const options = { pool: db.pool, table: events.name }
  const missing = await refusal({ ...options, where: { tenant_id: 'a' } })
  expect(missing).toMatchObject({ condition: 'columns_exist' })
  expect(missing.message).toMatch(/no column "tenant_id", which the option where names/)
  const unfit = await refusal({ ...options, where: { shelf: 'first' } })
  expect(unfit).toMatchObject({ condition: 'where' })
  expect(unfit.message).toMatch(/can have none: .*"first"/)
  const role = await db.role(`grant usage on schema ${events.schema} to :role;
    grant select (position, type) on ${events.name} to :role; grant select on ${events.schema}.numbers to :role`)
  const url = new URL(db.url)
  url.username = role
  const pool = db.newPool({ connectionString: url.href })
  const unreadable = await refusal({ ...options, pool, columns: ['type'], where: { tenant: 'a' } })
  expect(unreadable).toMatchObject({ condition: 'table_privilege' })
})
