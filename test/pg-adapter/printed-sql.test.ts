import { createHighWaterAgent } from '@tidemark/core'
import { wholeUnit } from '@tidemark/core/adapter'
import { type PostgresEventsOptions, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { expect, test } from 'vitest'
import { asRole, fileDatabase } from '../support/event-table.ts'
import { never } from '../support/never.ts'

const db = fileDatabase()

let schemas = 0
/** An event table in whose names everything needs quotes. */
async function oddlyNamed(pool: Pool) {
  const schema = `Odd "S" ${++schemas}`
  const quoted = `"Odd ""S"" ${schemas}"`
  const table = `${quoted}."It's \\ a.Table"`
  const sequence = `${quoted}."The 'Numbers'"`
  await pool.query(`create schema ${quoted}; create sequence ${sequence};
    create table ${table} ("The Position" bigint primary key default nextval('${sequence.replaceAll("'", "''")}'))`)
  return { schema, quoted, table, sequence }
}

type Odd = Awaited<ReturnType<typeof oddlyNamed>>

const optionsOf = ({ table }: Odd, pool: Pool): PostgresEventsOptions => ({
  pool,
  table,
  position: 'The Position',
})

/** Starts an agent; what it failed with. */
async function startError(options: PostgresEventsOptions): Promise<Error | undefined> {
  const agent = createHighWaterAgent({ source: postgresEvents(options) })
  try {
    await agent.start()
    return undefined
  } catch (error) {
    return error as Error
  } finally {
    await agent.stop()
  }
}

const failure = async (doing: Promise<unknown> | undefined): Promise<Error> => {
  try {
    await doing
  } catch (error) {
    return error as Error
  }
  throw new Error('that was to fail')
}

const LINES = /(?<=^ {2}).+;$/gm

test.each<[string, (odd: Odd) => string, RegExp]>([
  [
    'a position that may be NULL and has no index',
    ({ table }) =>
      `alter table ${table} drop constraint "It's \\ a.Table_pkey", alter "The Position" drop not null`,
    LINES,
  ],
  ['a cache', ({ sequence }) => `alter sequence ${sequence} cache 20`, /ALTER SEQUENCE .+ CACHE 1/g],
  ['a cycle', ({ sequence }) => `alter sequence ${sequence} cycle`, /ALTER SEQUENCE .+ NO CYCLE/g],
  ['an unlogged table', ({ table }) => `alter table ${table} set unlogged`, /ALTER TABLE .+ SET LOGGED/g],
])('what an error prints for %s can be run as it stands', async (_, breakIt, statement) => {
  const odd = await oddlyNamed(db.pool)
  await db.pool.query(breakIt(odd))
  const error = await startError(optionsOf(odd, db.pool))
  const printed = error?.message.match(statement) ?? []
  expect(printed).not.toEqual([])
  for (const sql of printed) await db.pool.query(sql)
  expect(await startError(optionsOf(odd, db.pool))).toBeUndefined()
})

test('the grants that errors print, one after the other, are all that a role needs', async () => {
  const odd = await oddlyNamed(db.pool)
  const role = await db.role('select')
  const options = optionsOf(odd, db.newPool(asRole(db.url, role)))
  for (const right of ['USAGE ON SCHEMA', 'SELECT ON', 'SELECT ON SEQUENCE']) {
    const error = await startError(options)
    const [grant = ''] = error?.message.match(new RegExp(`GRANT ${right} .+;$`, 'm')) ?? []
    await db.pool.query(grant)
  }
  expect(await startError(options)).toBeUndefined()
})

test('the statement for an unlogged table of checkpoints can be run as it stands', async () => {
  const { schema, quoted } = await oddlyNamed(db.pool)
  const store = postgresCheckpoints({ pool: db.pool, schema })
  await store.prepare?.(never())
  await db.pool.query(`alter table ${quoted}.checkpoints set unlogged`)
  const { message } = await failure(store.prepare?.(never()))
  await db.pool.query(message.match(/ALTER TABLE .+ SET LOGGED/)?.[0] ?? '')
  await store.prepare?.(never())
})

test('the statement for a source that was renamed can be run as it stands', async () => {
  const { schema } = await oddlyNamed(db.pool)
  const store = postgresCheckpoints({ pool: db.pool, schema })
  await store.prepare?.(never())
  const projection = "Bob's \\ mailer"
  await store.open(wholeUnit(projection), { source: 'before', head: undefined }, never())
  const error = await failure(
    store.open(wholeUnit(projection), { source: "Bob's events", head: undefined }, never()),
  )
  expect(error).toMatchObject({ code: 'TIDEMARK_PROJECTION_SOURCE' })
  for (const sql of error.message.match(LINES) ?? []) await db.pool.query(sql)
  expect(
    await store.open(wholeUnit(projection), { source: "Bob's events", head: undefined }, never()),
  ).toMatchObject({ position: undefined })
})
