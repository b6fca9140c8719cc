import { createHighWaterAgent } from '@tidemark/core'
import { createOperations } from '@tidemark/core/operations'
import {
  diagnose,
  examineHolders,
  postgresCheckpointsSql,
  postgresCheckpointsVersion,
  postgresEvents,
} from '@tidemark/pg-adapter'
import type { Client } from 'pg'
import { expect, test } from 'vitest'
import {
  asRole,
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  HANDLED,
  recorder,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()

/** Who holds the mark, as one poll sees it. */
async function holdersOf(events: EventTable) {
  const agent = createHighWaterAgent({ source: postgresEvents({ pool: db.pool, table: events.name }) })
  try {
    await agent.start()
    return agent.reading?.holders ?? []
  } finally {
    await agent.stop()
  }
}

async function openWriter(events: EventTable, name: string): Promise<Client> {
  const writer = await db.session({ application_name: name })
  await writer.query(`begin; insert into ${events.name} default values`)
  return writer
}

test('a holder is shown with its role, state, age, last statement, and what ends it, and ended by that', async () => {
  const events = await db.events()
  const writer = await openWriter(events, 'importer')
  const [holder] = await examineHolders({ pool: db.pool, holders: await holdersOf(events) })
  expect(holder).toMatchObject({
    applicationName: 'importer',
    role: new URL(db.url).username,
    state: 'idle in transaction',
    openForMs: expect.any(Number),
    waitsFor: 'Client: ClientRead',
    blockedBy: [],
    lastStatement: expect.stringContaining('insert into'),
    endedBy: `select pg_terminate_backend(${holder?.pid});`,
  })
  await db.pool.query(holder?.endedBy ?? '')
  await eventually(() => holdersOf(events)).toEqual([])
  await expect(writer.query('commit')).rejects.toThrow()
})

test('of one that waits it is told for whom', async () => {
  const events = await db.events()
  await events.run('create table other (n int)')
  const first = await db.session()
  await first.query(`begin; lock table ${events.schema}.other`)
  const second = await openWriter(events, 'waits')
  const waiting = second.query(`insert into ${events.schema}.other values (1)`)
  const { rows } = await first.query('select pg_backend_pid() as pid')
  await eventually(async () => {
    const [holder] = await examineHolders({ pool: db.pool, holders: await holdersOf(events) })
    return holder
  }).toMatchObject({ state: 'active', waitsFor: 'Lock: relation', blockedBy: [rows[0].pid] })
  await first.query('rollback')
  await waiting
  await second.query('rollback')
})

test('a prepared transaction is shown by its name, whatever that is, and ended by it', async () => {
  const events = await db.events()
  const writer = await openWriter(events, 'two phases')
  const gid = `it's \\ ${events.schema}`
  await writer.query(`prepare transaction '${gid.replaceAll("'", "''")}'`)
  const [holder] = await examineHolders({ pool: db.pool, holders: await holdersOf(events) })
  try {
    expect(holder).toMatchObject({ pid: undefined, state: 'prepared', gid, openForMs: expect.any(Number) })
    await eventually(async () => {
      const { openTransactions } = await diagnose({ pool: db.pool, table: events.name, sampleMs: 10 })
      return openTransactions.find(({ who }) => who.includes(gid))?.holdsSequence
    }).toBe(true)
    await db.pool.query(holder?.endedBy ?? '')
  } finally {
    // One that is left keeps the database from being dropped.
    await db.pool.query(`rollback prepared '${gid.replaceAll("'", "''")}'`).catch(() => {})
  }
  expect(await holdersOf(events)).toEqual([])
})

test('a role that may not see others is told what ends a holder, and not what it does', async () => {
  const events = await db.events()
  const writer = await openWriter(events, 'hidden')
  const pool = db.newPool(asRole(db.url, await db.role('grant connect on database postgres to :role')))
  expect(await examineHolders({ pool, holders: await holdersOf(events) })).toMatchObject([
    { applicationName: 'hidden', state: undefined, openForMs: undefined, lastStatement: undefined },
  ])
  await writer.query('rollback')
})

test('the version of the tables is told: none, an earlier one, the latest', async () => {
  const versionOf = (schema: string) => postgresCheckpointsVersion({ pool: db.pool, schema })
  const { latest } = await versionOf('Not There')
  expect(await versionOf('Not There')).toEqual({ applied: 0, latest })
  const sql = postgresCheckpointsSql({ schema: 'Odd "Name"' })
  const third = sql.indexOf('insert into "Odd ""Name""".migrations (version) values (4)')
  await db.pool.query(sql.slice(0, third))
  expect(await versionOf('Odd "Name"')).toEqual({ applied: 3, latest })
  await db.pool.query(sql.slice(third))
  expect(await versionOf('Odd "Name"')).toEqual({ applied: latest, latest })
})

test('a unit is listed with when it was changed, and whether a daemon has begun on it and not ended', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append()
  const checkpoints = checkpointsBeside(events, db.pool)
  const operations = createOperations({ checkpoints })
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints,
    projections: [recorder(events, 'all')],
  })
  await daemon.waitUntilProjected()
  const [unit] = await operations.list()
  expect(unit?.isBegun).toBe(true)
  await events.append()
  await daemon.waitUntilProjected()
  const [moved] = await operations.list()
  expect(moved?.changedAtMs).toBeGreaterThan(unit?.changedAtMs ?? Number.NaN)
  await daemon.stop()
  expect(await operations.list()).toMatchObject([{ isBegun: false }])
})
