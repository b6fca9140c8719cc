import { expect, test } from 'vitest'
import { agentOver, eventually, fileDatabase, refusal } from '../../support/event-table.ts'

const db = fileDatabase()

/** pg_catalog comes first unless it is listed. */
const shadowing = (schema: string) => ({ options: `-c search_path=${schema},pg_catalog,public` })

test('refuses a server whose pg_locks does not show the locks that are held', async () => {
  const events = await db.events()
  await events.run('create view pg_locks as select * from pg_catalog.pg_locks where false')
  const pool = db.newPool(shadowing(events.schema))
  const error = await refusal({ pool, table: events.name })
  expect(error).toMatchObject({ condition: 'pg_locks' })
  expect(error.message).toMatch(/pg_locks does not show this session's own lock.*stale-threshold/)
  await events.run('create or replace view pg_locks as select * from pg_catalog.pg_locks')
  await agentOver({ pool, table: events.name })
})

test('refuses a server whose pg_locks calls the lock by another name', async () => {
  const events = await db.events()
  await events.run(`create view pg_locks as select locktype, database, relation, virtualtransaction, pid, granted,
    'AccessShareLock'::text as mode from pg_catalog.pg_locks`)
  const pool = db.newPool(shadowing(events.schema))
  expect(await refusal({ pool, table: events.name })).toMatchObject({ condition: 'pg_locks' })
})

test('refuses a table that Citus distributes, and no other of that database', async () => {
  const events = await db.events()
  await events.run('create table pg_dist_partition (logicalrelid regclass)')
  const pool = db.newPool({ options: `-c search_path=${events.schema}` })
  await agentOver({ pool, table: events.name })
  await events.run("insert into pg_dist_partition values ('events')")
  const error = await refusal({ pool, table: events.name })
  expect(error).toMatchObject({ condition: 'citus' })
  expect(error.message).toMatch(/"events" is a Citus distributed table.*stale-threshold/)
})

test('a table whose numbers cannot be proven is accepted in stale-threshold mode', async () => {
  const events = await db.events(
    'create table events (position bigint generated always as identity (cache 50) primary key)',
  )
  const highWater = { mode: 'stale-threshold' } as const
  const agent = await agentOver({ pool: db.pool, table: events.name, highWater })
  await events.append()
  await eventually(() => agent.mark).toBe(1n)
})

test('what no mode can read is refused in stale-threshold mode too', async () => {
  const events = await db.events('create table events (position bigint not null)')
  const highWater = { mode: 'stale-threshold' } as const
  expect(await refusal({ pool: db.pool, table: events.name, highWater })).toMatchObject({
    condition: 'index',
  })
})

test('a server in recovery is waited for', async () => {
  const events = await db.events()
  await events.append()
  await events.run("create function pg_is_in_recovery() returns boolean language sql as 'select true'")
  const agent = await agentOver({ pool: db.newPool(shadowing(events.schema)), table: events.name })
  expect(agent.status()).toMatchObject({ state: 'failing', error: { code: 'TIDEMARK_NOT_PRIMARY' } })
  await events.run(`drop function ${events.schema}.pg_is_in_recovery()`)
  await agent.waitFor(1n)
  expect(agent.status()).toMatchObject({ state: 'polling', mark: 1n, error: undefined })
})

test('refuses a server older than those whose source was read', async () => {
  const events = await db.events()
  await events.run("create function current_setting(text) returns text language sql as $$ select '130022' $$")
  const error = await refusal({ pool: db.newPool(shadowing(events.schema)), table: events.name })
  expect(error).toMatchObject({ condition: 'server_version' })
  expect(error.message).toMatch(/PostgreSQL 130022; 14 or later is needed/)
})
