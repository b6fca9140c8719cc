import { postgresEvents } from '@tidemark/pg-adapter'
import { describe, expect, test } from 'vitest'
import { testedMajor } from '../support/database.ts'
import {
  agentOver,
  asRole,
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()

const NEW_IDENTITY = `alter table events alter position drop identity;
  alter table events alter position add generated always as identity (start 100)`
const NEW_DEFAULT = `create sequence numbers start 100;
  alter table events alter position drop identity, alter position set default nextval('numbers')`

test.each([
  ['an identity dropped and added anew', NEW_IDENTITY],
  ['a default of another sequence', NEW_DEFAULT],
  ['a restart further up', 'alter table events alter position restart with 100'],
  ['another type of the column', 'alter table events alter position type integer'],
])('goes on over %s under the idle agent', async (_, change) => {
  const events = await db.events()
  await events.append(3)
  const agent = await agentOver({ pool: db.pool, table: events.name })
  expect(agent.mark).toBe(3n)
  await events.run(change)
  const last = await events.append(2)
  await eventually(() => agent.status()).toMatchObject({
    state: 'polling',
    mark: last,
    settled: last,
    head: last,
  })
})

test('the very next poll of an idle agent sees that another sequence fills the column', async () => {
  const events = await db.events(
    `create sequence numbers; create sequence others start 100;
     create table events (position bigint primary key default nextval('numbers'))`,
  )
  await events.append(3)
  // One backend, which is known from the first poll on: nothing but the probe is asked.
  const agent = await agentOver({ pool: db.newPool({ max: 1 }), table: events.name })
  await agent.freshReading()
  await events.run("alter table events alter position set default nextval('others')")
  const last = await events.append(2)
  const { head, mark } = await agent.freshReading()
  expect({ head, mark }).toEqual({ head: last, mark: last })
})

test('goes on over a sequence that was replaced while another transaction holds it', async () => {
  const events = await db.events(
    `create sequence numbers; create sequence others start 100;
     create table events (position bigint primary key default nextval('numbers'))`,
  )
  await events.append(3)
  const holder = await db.session()
  await holder.query(`begin; insert into ${events.name} default values`)
  const agent = await agentOver({ pool: db.pool, table: events.name })
  const changed = events.run("alter table events alter position set default nextval('others')")
  await holder.query('commit')
  await changed
  const last = await events.append(2)
  await eventually(() => agent.mark).toBe(last)
})

describe('a transaction that took its number before the default moved to another sequence', () => {
  const SWITCHED = `create sequence numbers; create sequence others start 1000;
    create table events (position bigint primary key default nextval('numbers'), type text); ${HANDLED}`
  const SWITCH = "alter table events alter position set default nextval('others')"

  /** Two statements of one transaction, as an ORM makes them: it has not touched the table when the default moves. */
  async function takeNumber(events: EventTable) {
    const holder = await db.session()
    await holder.query('begin')
    const { rows } = await holder.query(`select nextval('${events.schema}.numbers')::text as number`)
    const insert = async () => {
      await holder.query(`insert into ${events.name} (position) values ($1)`, [rows[0].number])
      await holder.query('commit')
    }
    return { number: BigInt(rows[0].number), insert }
  }

  const projecting = (events: EventTable) => ({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all')],
  })

  test('is waited for by a running daemon, by name', async () => {
    const events = await db.events(SWITCHED)
    await events.append(2)
    const daemon = await startDaemon(projecting(events))
    await daemon.waitUntilProjected()
    const taken = await takeNumber(events)
    await events.append()
    await daemon.waitUntilProjected({ timeoutMs: 100 }).catch(() => {})
    await events.run(SWITCH)
    await events.append(2)
    await eventually(() => daemon.status().highWater).toMatchObject({
      state: 'polling',
      head: 1001n,
      settled: 2n,
      holders: [{ pid: expect.any(Number) }],
    })
    // One that comes later to the old sequence is in nobody's way.
    const later = await takeNumber(events)
    await taken.insert()
    await daemon.waitUntilProjected()
    expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n, 4n, 1000n, 1001n])
    expect(daemon.status().highWater).toMatchObject({ settled: 1001n, holders: [] })
    expect(later.number).toBe(5n)
  })

  test('is waited for by a daemon that was not running meanwhile', async () => {
    const events = await db.events(SWITCHED)
    await events.append(2)
    const before = await startDaemon(projecting(events))
    await before.waitUntilProjected()
    await before.stop()
    const taken = await takeNumber(events)
    await events.run(SWITCH)
    await events.append(2)
    const daemon = await startDaemon(projecting(events))
    expect(daemon.status().highWater).toMatchObject({ settled: 2n, mark: 2n })
    await taken.insert()
    await daemon.waitUntilProjected()
    expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n, 1000n, 1001n])
  })
})

test('a sequence dropped under the running agent is an error that names the column, until there is one again', async () => {
  const events = await db.events(
    `create sequence numbers; create table events (position bigint primary key default nextval('numbers'))`,
  )
  await events.append(2)
  const agent = await agentOver({ pool: db.pool, table: events.name })
  await events.run('drop sequence numbers cascade')
  await eventually(() => agent.status()).toMatchObject({
    state: 'failing',
    mark: 2n,
    error: { condition: 'sequence_found' },
  })
  await events.run(
    "create sequence again start 3; alter table events alter position set default nextval('again')",
  )
  await agent.waitFor(await events.append())
  expect(agent.status()).toMatchObject({ state: 'polling', mark: 3n, error: undefined })
})

test('another identity column that takes over the name of the position, and stands below what was projected, halts', async () => {
  const events = await db.events(
    `create table events (position bigint generated always as identity); create index on events (position); ${HANDLED}`,
  )
  await events.append(2)
  await db.pool.query(`begin; insert into ${events.name} default values; rollback`)
  await events.append()
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all')],
  })
  await daemon.waitUntilProjected()
  await events.run(`alter table events rename position to old;
    alter table events add position bigint generated always as identity;
    create index on events (position)`)
  await eventually(() => daemon.status().highWater).toMatchObject({
    state: 'halted',
    error: { code: 'TIDEMARK_STORE_REWOUND' },
  })
})

test('a position that may be NULL from now on is an error that names the statement, until it may not', async () => {
  const events = await db.events(
    `create sequence numbers;
     create table events (position bigint not null default nextval('numbers')); create index on events (position)`,
  )
  await events.append(2)
  const agent = await agentOver({ pool: db.pool, table: events.name })
  await events.run('alter table events alter position drop not null')
  await eventually(() => agent.status()).toMatchObject({
    state: 'failing',
    mark: 2n,
    error: {
      condition: 'position_column',
      message: expect.stringMatching(/ALTER COLUMN "position" SET NOT NULL/),
    },
  })
  await events.run('alter table events alter position set not null')
  const last = await events.append()
  await agent.waitFor(last)
  expect(agent.status()).toMatchObject({ state: 'polling', mark: last, error: undefined })
})

test('SELECT revoked on the sequence is an error that names the grant, until it is granted again', async () => {
  const events = await db.events()
  const role = await db.role(`grant usage on schema ${events.schema} to :role;
    grant select on ${events.name}, ${events.schema}.events_position_seq to :role`)
  const agent = await agentOver({ pool: db.newPool(asRole(db.url, role)), table: events.name })
  await db.pool.query(`revoke select on sequence ${events.schema}.events_position_seq from ${role}`)
  await eventually(() => agent.status()).toMatchObject({
    state: 'failing',
    error: {
      condition: 'sequence_privilege',
      message: expect.stringMatching(/GRANT SELECT ON SEQUENCE \S*events_position_seq/),
    },
  })
  await db.pool.query(`grant select on sequence ${events.schema}.events_position_seq to ${role}`)
  const last = await events.append()
  await agent.waitFor(last)
  expect(agent.status()).toMatchObject({ state: 'polling', mark: last, error: undefined })
})

test.each(['idle', 'behind a holder'])(
  'DDL that locks the sequence fails the polls of an agent that is %s, by name, until it is over',
  async (agentIs) => {
    const events = await db.events()
    await events.append(2)
    const agent = await agentOver({ pool: db.pool, table: events.name })
    const ddl = await db.session()
    await ddl.query('begin')
    if (agentIs === 'behind a holder') {
      await ddl.query(`insert into ${events.name} default values`)
      await eventually(() => agent.status().holders).toHaveLength(1)
    }
    await ddl.query(`truncate ${events.name} restart identity`)
    await eventually(() => agent.status()).toMatchObject({
      state: 'failing',
      mark: 2n,
      error: { code: '55P03' },
    })
    await ddl.query('rollback')
    const last = await events.append()
    await agent.waitFor(last)
    expect(agent.status()).toMatchObject({ state: 'polling', mark: last, error: undefined })
  },
)

test('a table that is dropped and made anew under the running agent is looked at anew', async () => {
  const events = await db.events()
  const agent = await agentOver({ pool: db.pool, table: events.name })
  await events.run('drop table events')
  await eventually(() => agent.status()).toMatchObject({
    state: 'failing',
    error: { condition: 'table_exists' },
  })
  await events.run('create table events (position bigint generated always as identity primary key)')
  await events.append(3)
  await eventually(() => agent.status()).toMatchObject({ state: 'polling', mark: 3n })
})

test.each([
  ['an empty table, at start', 0, 1],
  ['an empty table, further up', 0, 50],
  ['a full table, as it stands', 3, 4],
  ['a full table, further up', 3, 50],
])('setval(..., false) over %s loses nothing', async (_, count, next) => {
  const events = await db.events()
  if (count > 0) await events.append(count)
  const setval = `select setval('events_position_seq', ${next}, false)`
  await events.run(setval)
  const agent = await agentOver({ pool: db.pool, table: events.name })
  const mark = count === 0 ? undefined : BigInt(count)
  expect(agent.status()).toMatchObject({ head: BigInt(next - 1), settled: BigInt(next - 1), mark })
  await events.run(setval)
  const last = await events.append(2)
  expect(last).toBe(BigInt(next + 1))
  await agent.waitFor(last)
  expect(agent.mark).toBe(last)
})

test('a sequence that was never called has handed out nothing', async () => {
  const events = await db.events()
  const agent = await agentOver({ pool: db.pool, table: events.name })
  expect(agent.status()).toMatchObject({ head: 0n, settled: 0n, mark: undefined, stale: false, gaps: [] })
  const holder = await db.session()
  await holder.query(`begin; insert into ${events.name} default values`)
  await eventually(() => agent.status()).toMatchObject({ head: 1n, settled: 0n, mark: undefined })
  await holder.query('commit')
  await agent.waitFor(1n)
  expect(agent.mark).toBe(1n)
})

test.runIf(testedMajor() >= 15)('a sequence made unlogged under the running agent is refused', async () => {
  const events = await db.events(
    `create sequence numbers; create table events (position bigint primary key default nextval('numbers'))`,
  )
  const agent = await agentOver({ pool: db.pool, table: events.name })
  await events.run('alter sequence numbers set unlogged')
  await events.append()
  await eventually(() => agent.status().error).toMatchObject({ condition: 'permanent' })
})
