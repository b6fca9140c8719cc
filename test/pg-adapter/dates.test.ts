import { type PostgresRow, postgresEvents } from '@tidemark/pg-adapter'
import { types } from 'pg'
import { expect, test } from 'vitest'
import { agentOver, type EventTable, fileDatabase } from '../support/event-table.ts'

const db = fileDatabase()

const TIMES = `create table events (position bigint generated always as identity primary key,
  at timestamptz, local timestamp, day date, all_of_them timestamptz[])`

const VALUES = [
  '2024-05-06T07:08:09Z',
  '2024-05-06T07:08:09.5Z',
  '1999-12-31T23:59:59.999999Z',
  '2024-02-29T00:00:00.000001Z',
  '0100-01-01T00:00:00Z',
  '0099-06-01T00:00:00Z',
  '0044-03-15T12:00:00Z BC',
  '9999-12-31T23:59:59.987654Z',
  '12345-01-01T00:00:00Z',
  'infinity',
  '-infinity',
] as const

async function eventsOfTimes(): Promise<EventTable> {
  const events = await db.events(TIMES)
  for (const at of VALUES)
    await events.run(
      `insert into events (at, local, day, all_of_them) values ('${at}', '${at}', '${at}', array['${at}']::timestamptz[])`,
    )
  await events.run('insert into events (at) values (null)')
  return events
}

/** All events of a table, as pages have them. */
async function loaded(pool: typeof db.pool, table: string): Promise<readonly PostgresRow[]> {
  const options = { pool, table }
  const agent = await agentOver(options)
  const { mark, ...evidence } = await agent.freshReading()
  await agent.stop()
  const { events } = await postgresEvents(options).load({
    ...{ after: undefined, upTo: mark ?? 0n, limit: 100, eventTypes: undefined, evidence },
    signal: new AbortController().signal,
  })
  return events
}

test.each([
  'TimeZone=UTC',
  'TimeZone=Asia/Kolkata',
  'TimeZone=America/St_Johns',
  'TimeZone=Europe/Amsterdam',
  'DateStyle=German',
  'DateStyle=SQL,DMY',
  'DateStyle=Postgres',
])('an event has the times that node-postgres reads, where a session has %s', async (setting) => {
  const events = await eventsOfTimes()
  const pool = db.newPool({ options: `-c ${setting}` })
  const { rows } = await pool.query(`select * from ${events.name} order by position`)
  expect(rows).toHaveLength(VALUES.length + 1)
  const read = await loaded(pool, events.name)
  expect(read).toEqual(rows.map((row) => ({ ...row, position: BigInt(row.position) })))
})

const { TIMESTAMP, TIMESTAMPTZ } = types.builtins

/** A pool of which this is the parser of both types of times. */
const parsingBy = (parse: (text: string) => unknown) =>
  db.newPool({
    types: {
      getTypeParser: ((id: number, format: 'text') =>
        id === TIMESTAMP || id === TIMESTAMPTZ
          ? parse
          : types.getTypeParser(id, format)) as typeof types.getTypeParser,
    },
  })

class Moment extends Date {}

test.each<[string, (text: string) => unknown]>([
  ['texts', (text) => `read: ${text}`],
  ['Dates of whole seconds', (text) => new Date(Math.floor(Date.parse(text) / 1_000) * 1_000)],
  ['Dates of their own class', (text) => new Moment(text)],
  [
    'one that refuses what is not of this table',
    (text) => {
      if (!text.startsWith('2024-05-06 07:08:09.25')) throw new TypeError(`not of this table: ${text}`)
      return 'of this table'
    },
  ],
])("a pool's own parser of times makes those of events: %s", async (_, parse) => {
  const events = await db.events(TIMES)
  await events.run(
    "insert into events (at, local) values ('2024-05-06 07:08:09.25Z', '2024-05-06 07:08:09.25')",
  )
  const pool = parsingBy(parse)
  const { rows } = await pool.query(`select at, local from ${events.name}`)
  const [event] = await loaded(pool, events.name)
  expect({ at: event?.at, local: event?.local }).toStrictEqual(rows[0])
})

test('a page asks the parser of node-postgres itself for samples alone, not for each row', async () => {
  const events = await db.events(TIMES)
  await events.run('insert into events (at) select now() from generate_series(1, 100)')
  const parse = types.getTypeParser(TIMESTAMPTZ, 'text') as (text: string) => unknown
  const asked: string[] = []
  const pool = parsingBy((text) => {
    asked.push(text)
    return parse(text)
  })
  const read = await loaded(pool, events.name)
  expect(read).toHaveLength(100)
  expect(read[0]?.at).toBeInstanceOf(Date)
  const [year] = new Date().toISOString().split('-')
  expect(asked.filter((text) => text.startsWith(`${year}-`))).toEqual([])
})
