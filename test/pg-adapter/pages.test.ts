import { type PostgresEventsOptions, postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { agentOver, asRole, eventually, fileDatabase } from '../support/event-table.ts'

const db = fileDatabase()

/** Positions for which there is no partition: PostgreSQL knows without a look that they have no row. */
const NOWHERE = { after: 2_000n, upTo: 3_000n, limit: 100, eventTypes: undefined }

/** A reader of partitions up to 1000, and what a poll has just seen. */
async function partitioned(highWater: PostgresEventsOptions['highWater'] = { mode: 'proof' }) {
  const events = await db.events(`create sequence numbers;
    create table events (position bigint primary key default nextval('numbers')) partition by range (position);
    create table events_1 partition of events for values from (1) to (1000)`)
  await events.append(3)
  const role = await db.role(`grant usage on schema ${events.schema} to :role;
    grant select on ${events.name}, ${events.schema}.numbers to :role`)
  const pool = db.newPool(asRole(db.url, role))
  const agent = await agentOver({ pool, table: events.name })
  const { incarnation, settled, logPosition } = await agent.freshReading()
  await agent.stop()
  const source = postgresEvents({ pool, table: events.name, highWater })
  const load = (of = incarnation) =>
    source.load({
      ...NOWHERE,
      evidence: { incarnation: of, settled, logPosition },
      signal: new AbortController().signal,
    })
  return { events, incarnation, load }
}

test('a page that the planner knows to be empty is one of its incarnation', async () => {
  const { incarnation, load } = await partitioned()
  const page = await load()
  expect(page).toMatchObject({ events: [], through: NOWHERE.upTo })
  const ofAnotherServer = incarnation.replace(/^\d+/, '1')
  await expect(load(ofAnotherServer)).rejects.toMatchObject({ code: 'TIDEMARK_INCARNATION_CHANGED' })
})

test.each([
  ['proof', { mode: 'proof' } as const],
  ['stale-threshold', { mode: 'stale-threshold' } as const],
])(
  'a page that the planner knows to be empty is refused where row security hides rows, in %s mode',
  async (_, highWater) => {
    const { events, load } = await partitioned(highWater)
    await load()
    await events.run('alter table events enable row level security')
    await expect(load()).rejects.toMatchObject({ condition: 'row_security' })
  },
)

test.each([
  ['proof', { mode: 'proof' } as const],
  ['stale-threshold', { mode: 'stale-threshold' } as const],
])(
  'a page of a locked table fails, and leaves no backend behind that waits, in %s mode',
  async (_, highWater) => {
    const { events, load } = await partitioned(highWater)
    await load()
    const ddl = await db.session()
    await ddl.query('begin')
    await ddl.query(`lock table ${events.name} in access exclusive mode`)
    await expect(load()).rejects.toMatchObject({ code: '55P03' })
    await ddl.query('rollback')
    expect(await load()).toMatchObject({ through: NOWHERE.upTo })
  },
)

test('a poll of stale-threshold mode fails where the table is locked', async () => {
  const events = await db.events()
  const last = await events.append(2)
  const agent = await agentOver({
    pool: db.pool,
    table: events.name,
    highWater: { mode: 'stale-threshold' },
  })
  await agent.waitFor(last)
  const ddl = await db.session()
  await ddl.query('begin')
  await ddl.query(`lock table ${events.name} in access exclusive mode`)
  await eventually(() => agent.status()).toMatchObject({ state: 'failing', error: { code: '55P03' } })
  await ddl.query('rollback')
  await eventually(() => agent.status()).toMatchObject({ state: 'polling' })
})

test('a page that waits while events are moved from the default partition to a new one misses none', async () => {
  const events = await db.events(`create sequence numbers;
    create table events (position bigint primary key default nextval('numbers')) partition by range (position);
    create table events_rest partition of events default`)
  const last = await events.append(4)
  const agent = await agentOver({ pool: db.pool, table: events.name })
  const { incarnation, settled, logPosition } = await agent.freshReading()
  await agent.stop()
  const source = postgresEvents({ pool: db.newPool({ max: 1 }), table: events.name })
  const load = () =>
    source.load({
      after: undefined,
      upTo: last,
      limit: 100,
      eventTypes: undefined,
      evidence: { incarnation, settled, logPosition },
      signal: new AbortController().signal,
    })
  // From here on its backend is known, and one message reads the page.
  await load()

  const session = await db.session()
  await session.query(`begin; set local search_path = ${events.schema};
    create table events_1 (like events including all);
    with moved as (delete from events_rest returning *) insert into events_1 select * from moved;
    alter table events attach partition events_1 for values from (1) to (1000)`)
  const page = load()
  const waiting = `select from pg_locks where relation = '${events.schema}.events_rest'::regclass and not granted`
  await eventually(async () => (await db.pool.query(waiting)).rowCount).toBe(1)
  await session.query('commit')
  expect((await page).positions).toEqual([1n, 2n, 3n, 4n])
})
