import { Client } from 'pg'
import { expect, test } from 'vitest'
import { testDatabase } from '../support/database.ts'
import { agentOver, asRole, eventually, fileDatabase } from '../support/event-table.ts'

const db = fileDatabase()

const INSERT = (table: string) => `insert into ${table} default values`

test('an open transaction that took a number holds the mark, and is named', async () => {
  const events = await db.events()
  await events.append(2)
  const writer = await db.session({ application_name: 'slow importer' })
  await writer.query('begin')
  await writer.query(INSERT(events.name))
  const agent = await agentOver({ pool: db.pool, table: events.name })
  await events.append(2)
  const { rows } = await writer.query('select pg_backend_pid() as pid')
  await eventually(() => agent.status()).toMatchObject({
    head: 5n,
    // Seen at the first poll, it may hold any number.
    settled: undefined,
    mark: undefined,
    holders: [{ pid: rows[0].pid, applicationName: 'slow importer', startedAt: expect.any(Date) }],
  })
  await writer.query('commit')
  await agent.waitFor(5n)
  await eventually(() => agent.status()).toMatchObject({ mark: 5n, holders: [], gaps: [] })
})

test('a transaction that begins under the running agent holds the mark at what came before it', async () => {
  const events = await db.events()
  await events.append(2)
  const agent = await agentOver({ pool: db.pool, table: events.name })
  const writer = await db.session()
  await writer.query('begin')
  await writer.query(INSERT(events.name))
  await events.append(2)
  await eventually(() => agent.status()).toMatchObject({
    head: 5n,
    settled: 2n,
    mark: 2n,
    gaps: [{ from: 3n, to: 3n, holders: [{}] }],
  })
  await writer.query('rollback')
  await agent.waitFor(5n)
  expect(agent.mark).toBe(5n)
})

test('the mark runs right up to the gap of a slow writer, past others that come and go', async () => {
  const events = await db.events()
  const agent = await agentOver({ pool: db.pool, table: events.name })
  const first = await db.session()
  await first.query('begin')
  await events.append(2)
  await agent.waitFor(2n)
  await first.query(INSERT(events.name))
  await events.append(3)
  await eventually(() => agent.status()).toMatchObject({ head: 6n, mark: 2n, settled: 2n })
  await first.query('commit')
  await agent.waitFor(6n)
})

test('a savepoint rolled back keeps the holder, since it may have taken numbers outside it', async () => {
  const events = await db.events()
  await events.append()
  const agent = await agentOver({ pool: db.pool, table: events.name })
  const writer = await db.session()
  await writer.query('begin; savepoint s')
  await writer.query(INSERT(events.name))
  await writer.query('rollback to savepoint s')
  await events.append()
  await eventually(() => agent.status()).toMatchObject({ head: 3n, settled: 1n, holders: [{}] })
  await writer.query('commit')
  await agent.waitFor(3n)
  expect(agent.mark).toBe(3n)
})

test('a prepared transaction is a holder without a pid until it is resolved', async () => {
  const events = await db.events()
  await events.append()
  const agent = await agentOver({ pool: db.pool, table: events.name })
  const writer = await db.session()
  await writer.query('begin')
  await writer.query(INSERT(events.name))
  await writer.query(`prepare transaction '${events.schema}'`)
  await events.append()
  await eventually(() => agent.status()).toMatchObject({
    head: 3n,
    settled: 1n,
    holders: [{ pid: undefined, applicationName: undefined, startedAt: undefined }],
  })
  await db.pool.query(`commit prepared '${events.schema}'`)
  await agent.waitFor(3n)
})

test('an unrelated transaction that has written elsewhere, and a repeatable-read reader, hold nothing', async () => {
  const events = await db.events()
  await events.run('create table elsewhere (a int)')
  const unrelated = await db.session()
  await unrelated.query('begin')
  await unrelated.query(`insert into ${events.schema}.elsewhere values (1)`)
  const reader = await db.session()
  await reader.query('begin isolation level repeatable read')
  await reader.query(`select from ${events.name}`)
  const agent = await agentOver({ pool: db.pool, table: events.name })
  await agent.waitFor(await events.append(3))
  await eventually(() => agent.status()).toMatchObject({ mark: 3n, holders: [] })
})

test('a transaction in another database, whose sequence has the same oid, holds nothing', async () => {
  const original = await testDatabase()
  const copyName = `${original.name}_copy`
  const onOriginal = new Client(original.url)
  await onOriginal.connect()
  await onOriginal.query('create table events (position bigint generated always as identity primary key)')
  await onOriginal.end()
  await eventually(() =>
    db.pool.query(`create database ${copyName} template ${original.name}`).then(
      () => 'copied',
      (error: Error) => error.message,
    ),
  ).toBe('copied')
  const writer = new Client(original.url.replace(original.name, copyName))
  await writer.connect()
  await writer.query('begin')
  await writer.query(INSERT('events'))
  const agent = await agentOver({ pool: original.pool, table: 'events' })
  await original.pool.query(INSERT('events'))
  await agent.waitFor(1n)
  await eventually(() => agent.status()).toMatchObject({ mark: 1n, holders: [] })
  await agent.stop()
  await writer.end()
  await db.pool.query(`drop database ${copyName} with (force)`)
  await original.drop()
})

test('a role that may not see other sessions sees their names, and no start time', async () => {
  const events = await db.events()
  const role = await db.role(`grant usage on schema ${events.schema} to :role;
    grant select on ${events.name}, ${events.schema}.events_position_seq to :role`)
  const writer = await db.session({ application_name: 'slow importer' })
  await writer.query('begin')
  await writer.query(INSERT(events.name))
  const agent = await agentOver({ pool: db.newPool(asRole(db.url, role)), table: events.name })
  await eventually(() => agent.status().holders).toMatchObject([
    { pid: expect.any(Number), applicationName: 'slow importer', startedAt: undefined },
  ])
  await writer.query('rollback')
  await agent.waitFor(1n)
})

test('four agents at once do not hold each other up', async () => {
  const events = await db.events()
  const pools = [1, 2, 3, 4].map(() => db.newPool())
  const agents = await Promise.all(
    pools.map((pool) => agentOver({ pool, table: events.name }, { pollTimeShare: 1 })),
  )
  for (let n = 1; n <= 40; n++) {
    const last = await events.append()
    await Promise.all(agents.map((agent) => agent.waitFor(last)))
  }
  expect(agents.map((agent) => agent.mark)).toEqual([40n, 40n, 40n, 40n])
})
