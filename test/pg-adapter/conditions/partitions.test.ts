import { expect, test } from 'vitest'
import { testedMajor } from '../../support/database.ts'
import { agentOver, appended, eventually, fileDatabase, refusal } from '../../support/event-table.ts'

const db = fileDatabase()

const PARTITIONED = `create sequence numbers; create sequence others;
  create table events (
    position bigint primary key default nextval('numbers'), type text not null default 'a'
  ) partition by range (position);
  create table events_1 partition of events for values from (1) to (4);
  create table events_2 partition of events for values from (4) to (1000);`

const INHERITED = `create sequence numbers; create sequence others;
  create table events (position bigint primary key default nextval('numbers'));
  create table events_1 () inherits (events);`

test.each([
  [
    'a partition',
    'with a default of its own',
    `${PARTITIONED} alter table events_2 alter position set default nextval('others')`,
  ],
  [
    'a partition',
    'with a default that hides its sequence',
    `${PARTITIONED} alter table events_2 alter position set default 7`,
  ],
  [
    'an inheriting table',
    'with a default of its own',
    `${INHERITED} alter table events_1 alter position set default nextval('others')`,
  ],
])('refuses %s %s, and starts once it has the same default', async (kind, _, ddl) => {
  const events = await db.events(ddl)
  const child = kind === 'a partition' ? 'events_2' : 'events_1'
  const error = await refusal({ pool: db.pool, table: events.name })
  expect(error).toMatchObject({ condition: 'sequence_shared_by_partitions' })
  expect(error.message).toMatch(
    new RegExp(`${child} fills position from another sequence .*numbers.* same default`),
  )
  await events.run(`alter table ${child} alter position set default nextval('numbers')`)
  await agentOver({ pool: db.pool, table: events.name })
})

test('refuses partitions that are numbered each by a sequence named after it, once the named one is ahead of them too', async () => {
  const events = await db.events(`create sequence numbers; create sequence numbers_a;
    create table events (position bigint not null default nextval('numbers'), tenant text,
      primary key (position, tenant)) partition by list (tenant);
    create table events_a partition of events for values in ('a');
    insert into events values (nextval('numbers_a'), 'a'); select setval('numbers', 1000)`)
  const error = await refusal({ pool: db.pool, table: events.name })
  expect(error).toMatchObject({ condition: 'sequence_shared_by_partitions' })
  expect(error.message).toMatch(
    /events_a seems to take its numbers from a sequence of its own, \S*numbers_a, and not from \S*numbers:/,
  )
  await events.run("alter table events_a alter position set default nextval('numbers_a')")
  await agentOver({ pool: db.pool, table: `${events.name}_a` })
})

test('refuses a partition without a default whose position owns a sequence', async () => {
  const events = await db.events(`${PARTITIONED} alter sequence others owned by events_2.position;
    alter table events_2 alter position drop default`)
  const error = await refusal({ pool: db.pool, table: events.name })
  expect(error).toMatchObject({ condition: 'sequence_shared_by_partitions' })
  await events.run("alter table events_2 alter position set default nextval('numbers')")
  await agentOver({ pool: db.pool, table: events.name })
})

test('a partition that takes no numbers of its own is accepted', async () => {
  const events = await db.events(`${PARTITIONED} alter table events_2 alter position drop default`)
  await agentOver({ pool: db.pool, table: events.name })
})

test('events appended to the parent, a partition or an inheriting table are all seen', async () => {
  const partitioned = await db.events(PARTITIONED)
  await partitioned.run('insert into events default values; insert into events_1 default values')
  const inherited = await db.events(INHERITED)
  await inherited.run('insert into events default values; insert into events_1 default values')
  for (const { name } of [partitioned, inherited]) {
    const agent = await agentOver({ pool: db.pool, table: name })
    expect(agent.mark).toBe(2n)
  }
})

test('a partition of a partition is looked at too', async () => {
  const events = await db.events(`create sequence numbers;
    create table events (position bigint not null default nextval('numbers'), type text not null default 'a')
      partition by list (type);
    create table events_a partition of events for values in ('a') partition by range (position);
    create unlogged table events_a1 partition of events_a for values from (1) to (1000);
    create index on events (position)`)
  expect(await refusal({ pool: db.pool, table: events.name })).toMatchObject({ condition: 'permanent' })
  await events.run('alter table events_a1 set logged')
  const agent = await agentOver({ pool: db.pool, table: events.name })
  await agent.waitFor(await events.append(2))
})

test('the identity of a partitioned table fills all its partitions', async () => {
  const events =
    await db.events(`create table events (position bigint generated always as identity primary key)
      partition by range (position);
    create table events_1 partition of events for values from (1) to (3);
    create table events_2 partition of events for values from (3) to (1000)`)
  await events.append(5)
  // 17 gives partitions their parent's identity.
  if (testedMajor() >= 17) await events.run('insert into events_2 default values')
  const agent = await agentOver({ pool: db.pool, table: events.name })
  expect(agent.mark).toBe((await appended(db.pool, events)).at(-1))
})

const NESTED = `create sequence numbers; create sequence others;
  create table events (position bigint not null default nextval('numbers'), type text not null default 'a')
    partition by list (type);
  create table events_a partition of events for values in ('a') partition by range (position);
  create table events_1 partition of events_a for values from (1) to (1000);
  create index on events (position)`

test.each([
  ['the default of a partition', PARTITIONED, "set default nextval('others')", 'drop default'],
  ['the default of an inheriting table', INHERITED, "set default nextval('others')", 'drop default'],
  ['the default of a partition of a partition', NESTED, "set default nextval('others')", 'drop default'],
  ['a default that hides its sequence', NESTED, 'set default 7', "set default nextval('numbers')"],
  [
    'an identity of an inheriting table',
    `${INHERITED} alter table events_1 alter position drop default`,
    'add generated by default as identity',
    'drop identity',
  ],
])('%s, changed under the idle agent, is seen by a poll', async (_, ddl, change, back) => {
  const events = await db.events(ddl)
  await events.append(2)
  const agent = await agentOver({ pool: db.pool, table: events.name })
  await agent.freshReading()
  await events.run(`alter table events_1 alter position ${change}`)
  await eventually(() => agent.status()).toMatchObject({
    state: 'failing',
    mark: 2n,
    error: { condition: 'sequence_shared_by_partitions' },
  })
  await events.run(`alter table events_1 alter position ${back}`)
  await agent.waitFor(await events.append())
})

test('a partition attached to a partition under the running agent is looked at', async () => {
  const events = await db.events(NESTED)
  const agent = await agentOver({ pool: db.pool, table: events.name })
  await agent.freshReading()
  await events.run(`create table events_2 (like events including all);
    alter table events_2 alter position set default nextval('others');
    alter table events_a attach partition events_2 for values from (1000) to (2000)`)
  await eventually(() => agent.status().error).toMatchObject({ condition: 'sequence_shared_by_partitions' })
})

test('a partition attached under the running agent is looked at', async () => {
  const events = await db.events(PARTITIONED)
  const agent = await agentOver({ pool: db.pool, table: events.name })
  await events.run(`create table events_3 (like events including all);
    alter table events_3 alter position set default nextval('others');
    alter table events attach partition events_3 for values from (1000) to (2000);
    insert into events default values`)
  await eventually(() => agent.status().error).toMatchObject({ condition: 'sequence_shared_by_partitions' })
  await events.run("alter table events_3 alter position set default nextval('numbers')")
  await agent.waitFor(await events.append())
})
