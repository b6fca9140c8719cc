import { expect, test } from 'vitest'
import { agentOver, asRole, fileDatabase, refusal } from '../../support/event-table.ts'

const db = fileDatabase()

const IDENTITY = 'position bigint generated always as identity'

interface Violation {
  readonly ddl: string
  readonly condition: string
  readonly says: RegExp[]
  readonly remedy?: string
}

const violations: Record<string, Violation> = {
  'a view': {
    ddl: `create table stored (${IDENTITY} primary key); create view events as select * from stored`,
    condition: 'table_kind',
    says: [/events is neither an ordinary nor a partitioned table \(relkind v\)/, /name the table itself/],
  },
  'a materialized view': {
    ddl: `create table stored (${IDENTITY} primary key);
      create materialized view events as select * from stored`,
    condition: 'table_kind',
    says: [/relkind m/],
  },
  'an unlogged partition': {
    ddl: `create sequence numbers;
      create table events (position bigint primary key default nextval('numbers')) partition by range (position);
      create unlogged table events_1 partition of events for values from (1) to (1000)`,
    condition: 'permanent',
    says: [/events_1 is unlogged/, /ALTER TABLE \S*events_1 SET LOGGED;/],
    remedy: 'alter table events_1 set logged',
  },
  'no such column': {
    ddl: 'create table events (id bigint generated always as identity primary key)',
    condition: 'position_column',
    says: [/events has no column "position"/, /Set the option position: "id"/],
    remedy: 'alter table events rename id to position',
  },
  'a position of another type': {
    ddl: 'create table events (position numeric primary key)',
    condition: 'position_column',
    says: [/events\.position is of type numeric; bigint, integer or smallint is needed/],
    remedy: 'alter table events alter position type bigint, alter position add generated always as identity',
  },
  'a position that may be NULL': {
    ddl: `create sequence numbers;
      create table events (position bigint default nextval('numbers')); create index on events (position)`,
    condition: 'position_column',
    says: [/events\.position may be NULL/, /ALTER TABLE \S*events ALTER COLUMN "position" SET NOT NULL/],
    remedy: 'alter table events alter position set not null',
  },
}

test.each(Object.entries(violations))(
  'refuses %s, and starts once that is remedied',
  async (_, { ddl, condition, says, remedy }) => {
    const events = await db.events(ddl)
    const error = await refusal({ pool: db.pool, table: events.name })
    expect(error).toMatchObject({ code: 'TIDEMARK_POSTGRES_CONDITION', condition })
    for (const said of says) expect(error.message).toMatch(said)
    if (remedy === undefined) return
    await events.run(remedy)
    await agentOver({ pool: db.pool, table: events.name })
  },
)

test('refuses a foreign table among its partitions', async () => {
  const events = await db.events(`
    create foreign data wrapper elsewhere_wrapper;
    create server elsewhere foreign data wrapper elsewhere_wrapper;
    create sequence numbers;
    create table events (position bigint not null default nextval('numbers')) partition by range (position);
    create foreign table events_1 partition of events for values from (1) to (1000) server elsewhere`)
  const error = await refusal({ pool: db.pool, table: events.name, allowMissingIndex: true })
  expect(error).toMatchObject({ condition: 'table_kind' })
  expect(error.message).toMatch(/events_1 .*relkind f/)
})

test('refuses a temporary table', async () => {
  const pool = db.newPool({ max: 1 })
  await pool.query(`create temporary table events (${IDENTITY} primary key)`)
  const error = await refusal({ pool, table: 'events' })
  expect(error).toMatchObject({ condition: 'permanent' })
  expect(error.message).toMatch(/events is temporary/)
})

test('refuses a table that is not there, and says how to name it', async () => {
  const error = await refusal({ pool: db.pool, table: 'Events' })
  expect(error).toMatchObject({ condition: 'table_exists' })
  expect(error.message).toMatch(/no table "Events" on the search path .* as schema\.table, case included/)
  const named = await refusal({ pool: db.pool, table: 'nowhere.Events' })
  expect(named).toMatchObject({ condition: 'table_exists' })
  expect(named.message).toMatch(/no table "nowhere"\."Events" in this database; .* renamed or dropped/)
})

test('a table behind a schema that the role may not use is refused, not reported as missing', async () => {
  const events = await db.events()
  const role = await db.role('select')
  const error = await refusal({ pool: db.newPool(asRole(db.url, role)), table: events.name })
  expect(error).toMatchObject({ condition: 'table_privilege' })
  expect(error.message).toMatch(/schema/)
})

const INDEX_STATEMENT = /CREATE INDEX[^;]*;/

const unindexed: Record<string, string> = {
  'a table': `create table events (${IDENTITY})`,
  'a partitioned table': `create sequence numbers;
    create table events (position bigint not null default nextval('numbers')) partition by range (position);
    create table events_1 partition of events for values from (1) to (1000)`,
  'a table whose index begins with another column': `create table events (${IDENTITY}, type text);
    create index on events (type, position)`,
  'a table whose index leaves rows out': `create table events (${IDENTITY}, type text);
    create index on events (position) where type = 'a'`,
  'a table whose index has no order': `create table events (${IDENTITY});
    create index on events using hash (position)`,
}

test.each(Object.entries(unindexed))(
  'refuses %s, and starts once the printed statement was run',
  async (_, ddl) => {
    const events = await db.events(ddl)
    const options = { pool: db.pool, table: events.name }
    const error = await refusal(options)
    expect(error).toMatchObject({ condition: 'index' })
    expect(error.message).toContain('allowMissingIndex')
    await db.pool.query(INDEX_STATEMENT.exec(error.message)?.[0] ?? 'no statement was printed')
    await agentOver(options)
  },
)

test.each(Object.entries(unindexed))(
  '%s without the index is accepted where the option says so',
  async (_, ddl) => {
    const events = await db.events(ddl)
    const agent = await agentOver({ pool: db.pool, table: events.name, allowMissingIndex: true })
    const last = await events.append(2)
    await agent.waitFor(last)
    expect(agent.mark).toBe(last)
  },
)

test('an index in descending order is an index', async () => {
  const events = await db.events(`create table events (${IDENTITY}); create index on events (position desc)`)
  await agentOver({ pool: db.pool, table: events.name })
})
