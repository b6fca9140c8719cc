import { type PostgresEventsOptions, postgresEvents } from '@tidemark/pg-adapter'
import { types } from 'pg'
import { afterEach, expect, test, vi } from 'vitest'
import { agentOver, type EventTable, fileDatabase, refusal } from '../support/event-table.ts'

const db = fileDatabase()
afterEach(() => vi.restoreAllMocks())

const eventsWith = (type: string) =>
  db.events(`create table events (position bigint generated always as identity primary key, at ${type})`)

const SECOND = Date.UTC(2024, 4, 6, 7, 8, 9)

/** What a page after `after` says of its append times, to the second: two clocks may be some milliseconds apart. */
async function appendTimes(...asked: Parameters<typeof exactAppendTimes>) {
  const times = await exactAppendTimes(...asked)
  return times?.map((ms) => (ms === undefined ? ms : Math.round(ms / 1_000) * 1_000))
}

async function exactAppendTimes(
  events: EventTable,
  appendedAt: PostgresEventsOptions['appendedAt'] = 'at',
  { after, pool = db.pool }: { after?: bigint; pool?: PostgresEventsOptions['pool'] } = {},
) {
  const options = { pool, table: events.name, ...(appendedAt && { appendedAt }) }
  const agent = await agentOver(options)
  const { incarnation, settled, logPosition, mark } = await agent.freshReading()
  await agent.stop()
  const { appendTimesMs } = await postgresEvents(options).load({
    after,
    upTo: mark ?? 0n,
    limit: 100,
    eventTypes: undefined,
    evidence: { incarnation, settled, logPosition },
    signal: new AbortController().signal,
  })
  return appendTimesMs
}

test('times are read in their own zone, whatever those of session and process are', async () => {
  const events = await eventsWith('timestamptz')
  await events.run("insert into events (at) values ('2024-05-06T07:08:09Z'), ('2024-05-06T09:08:10+02:00')")
  const pool = db.newPool({ options: '-c TimeZone=Asia/Tokyo -c DateStyle=German' })
  expect(await appendTimes(events, 'at', { pool })).toEqual([SECOND, SECOND + 1_000])
})

test.each([
  ['UTC', '2024-05-06T07:08:09'],
  ['Asia/Tokyo', '2024-05-06T16:08:09'],
  ['America/New_York', '2024-05-06T03:08:09'],
])('times without zone are read in the zone that the user names: %s', async (timeZone, at) => {
  const events = await eventsWith('timestamp')
  await events.run(`insert into events (at) values ('${at}')`)
  const pool = db.newPool({ options: '-c TimeZone=Europe/Berlin' })
  expect(await appendTimes(events, { column: 'at', timeZone }, { pool })).toEqual([SECOND])
})

test.each<[string, PostgresEventsOptions['appendedAt'], RegExp]>([
  [
    'timestamp',
    'at',
    /"at" is of type timestamp without time zone: name .* \{ column: 'at', timeZone: 'UTC' \}/,
  ],
  ['timestamptz', { column: 'at', timeZone: 'UTC' }, /has a time zone already: write appendedAt: 'at'/],
  ['date', 'at', /is of type date: leave the option appendedAt out, or add a column of type timestamptz/],
  ['bigint', 'at', /is of type bigint/],
  ['timestamptz', 'appended', /no column "appended", which the option appendedAt names/],
])('a column of type %s for the option %o is refused at start', async (type, appendedAt, message) => {
  const events = await eventsWith(type)
  await events.append()
  const highWaters = [{ mode: 'proof' }, { mode: 'stale-threshold' }] as const
  for (const highWater of highWaters) {
    const error = await refusal({
      pool: db.pool,
      table: events.name,
      highWater,
      ...(appendedAt && { appendedAt }),
    })
    expect(error.condition).toMatch(/^(appended_at|columns_exist)$/)
    expect(error.message).toMatch(message)
  }
})

test('a domain is what it is made of', async () => {
  const events =
    await db.events(`create domain moment as timestamptz; create domain checked as moment not null;
    create table events (position bigint generated always as identity primary key, at checked default now())`)
  await events.run("insert into events (at) values ('2024-05-06T07:08:09Z')")
  expect(await appendTimes(events)).toEqual([SECOND])
})

test('a zone that only the process knows is refused at start', async () => {
  const events = await eventsWith('timestamp')
  vi.spyOn(Intl, 'DateTimeFormat').mockImplementation(class {} as never)
  const error = await refusal({
    pool: db.pool,
    table: events.name,
    appendedAt: { column: 'at', timeZone: 'Mars/Olympus_Mons' },
  })
  expect(error).toMatchObject({
    condition: 'appended_at',
    message: expect.stringContaining('Mars/Olympus_Mons'),
  })
})

test.each(['null', "'infinity'", "'-infinity'"])('a time that is %s is unknown, not 1970', async (at) => {
  const events = await eventsWith('timestamptz')
  await events.run(
    `insert into events (at) values ('2024-05-06T07:08:09Z'), (${at}), ('2024-05-06T07:08:10Z')`,
  )
  expect(await appendTimes(events)).toEqual([SECOND, undefined, SECOND + 1_000])
})

/** The clock that lag and delay are counted by. */
const nowMs = () => performance.timeOrigin + performance.now()

test.each([
  ['ahead', 600_000],
  ['behind', -600_000],
])("a clock of the database that is 10 minutes %s changes no event's age", async (_, aheadMs) => {
  const events = await eventsWith('timestamptz default clock_timestamp()')
  const { now } = performance
  vi.spyOn(performance, 'now').mockImplementation(() => now.call(performance) - aheadMs)
  const startedMs = nowMs()
  await events.append(2)
  const [first = 0, last = 0] = (await exactAppendTimes(events)) ?? []
  const endedMs = nowMs()
  // No message tells two clocks apart by less than it took.
  const tookMs = endedMs - startedMs
  expect(first).toBeGreaterThan(startedMs - tookMs)
  expect(last).toBeGreaterThanOrEqual(first)
  expect(last).toBeLessThanOrEqual(endedMs)
})

test('an event from the future was appended now at the latest', async () => {
  const events = await eventsWith('timestamptz')
  await events.run("insert into events (at) values (now() + '1 hour')")
  const [at] = (await exactAppendTimes(events)) ?? []
  expect(at).toBeLessThanOrEqual(nowMs())
})

test("a parser of the pool for times changes the user's rows alone", async () => {
  const events = await eventsWith('timestamptz')
  await events.run("insert into events (at) values ('2024-05-06T07:08:09Z')")
  const getTypeParser = ((id: number, format: 'text') =>
    id === types.builtins.TEXT
      ? types.getTypeParser(id, format)
      : () => 'parsed') as typeof types.getTypeParser
  const pool = db.newPool({ types: { getTypeParser } })
  expect(await appendTimes(events, 'at', { pool })).toEqual([SECOND])
})
