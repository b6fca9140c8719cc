import { type AuditCommitsOptions, auditCommits, formatAudit } from '@tidemark/pg-adapter'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { Client, Pool } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ownServer } from '../../support/database.ts'
import { type EventTable, eventually, fileDatabase } from '../../support/event-table.ts'

let server: EmbeddedPostgres
beforeAll(async () => {
  server = await ownServer()
  // Before the setting, so that these rows have no timestamp.
  // A client, since a pool ends before its sessions have: the server would then tell them that it stops.
  const client = new Client({ connectionString: server.url })
  await client.connect()
  await client.query(`create table old_events (position bigint generated always as identity primary key);
    insert into old_events select from generate_series(1, 5)`)
  await client.end()
  await server.stop()
  await server.start({ track_commit_timestamp: 'on' })
})
afterAll(() => server.dispose())
const db = fileDatabase(() => server.url)

/** As Emmett has it: a nullable position, no index led by it, partitions, the inserting transaction in a column. */
const EMMETT = `create sequence positions;
  create table events (
    position bigint default nextval('positions'), type text not null default 'happened', partition text default 'a',
    is_archived boolean not null default false, created timestamptz not null default now(),
    transaction_id xid8 not null default pg_current_xact_id()
  ) partition by list (partition);
  create table events_a partition of events for values in ('a')`

const audit = (events: EventTable, options: Partial<AuditCommitsOptions> = {}) =>
  auditCommits({ pool: db.pool, table: events.name, ...options })

/** Appends an event and leaves its transaction open until the function is called. */
async function appendSlowly(events: EventTable, columns = 'default values'): Promise<() => Promise<void>> {
  const session = await db.session()
  await session.query(`begin; insert into ${events.name} ${columns}`)
  return async () => {
    await session.query('commit')
    await session.end()
  }
}

/** Event 1 is committed after 2 and 3, 4 after 5, and 6 and 7 are of one transaction. */
async function knownInversions(ddl?: string): Promise<EventTable> {
  const events = await db.events(ddl)
  const commitFirst = await appendSlowly(events)
  await events.append(2)
  await commitFirst()
  const commitFourth = await appendSlowly(events)
  await events.append()
  await commitFourth()
  await events.run(`insert into events default values; insert into events default values`)
  return events
}

/** By the definition, in SQL: each event against each. */
async function byDefinition(events: EventTable) {
  const { rows } = await db.pool.query(
    `with commits as (select position, pg_xact_commit_timestamp(xmin) as at, xmin::text::bigint as xid from ${events.name})
     select c.position::text, (extract(epoch from c.at - min(above.at)) * 1000)::float8 as ms,
       bool_or(above.xid < c.xid) as risk, bool_or(above.xid < c.xid and above.at < c.at) as open
     from commits c join commits above on above.position > c.position group by c.position, c.at, c.xid`,
  )
  const inverted = rows.filter(({ ms }) => ms > 0)
  return {
    inverted: inverted.map(({ position }) => BigInt(position)),
    longestMs: Math.max(...inverted.map(({ ms }) => ms)),
    atRisk: rows.filter(({ risk }) => risk).length,
    wereOpen: rows.filter(({ open }) => open).length,
  }
}

test('exactly the events that were committed after a higher position are inverted, each with its delay', async () => {
  const events = await knownInversions()
  const { measured, past, live } = await audit(events)
  const expected = await byDefinition(events)
  expect({ measured, live, rows: past.rows, events: past.inversions.events }).toEqual({
    measured: 'commit_timestamps',
    live: undefined,
    rows: 7,
    events: 7,
  })
  const { longest } = past.inversions
  expect(longest.map(({ position, passedBy }) => [position, passedBy]).toSorted()).toEqual([
    [1n, 2n],
    [4n, 5n],
  ])
  expect(expected.inverted.toSorted()).toEqual([1n, 4n])
  expect(longest[0]?.delayMs).toBeCloseTo(expected.longestMs, 2)
  expect(past.behindXmin).toEqual({ events: 7, atRisk: 0, wereOpen: 0 })
})

test('with many writers at once it finds what comparing each event with each other finds', async () => {
  const events = await db.events()
  await events.run('create table other (n int)')
  await Promise.all(
    Array.from({ length: 6 }, async (_, writer) => {
      const session = await db.session()
      for (let n = 0; n < 40; n++) {
        // Some have written something before, and so an older transaction id.
        const first = (writer + n) % 3 === 0 ? `insert into ${events.schema}.other values (1); ` : ''
        await session.query(`begin; ${first}`)
        await session.query(`insert into ${events.name} default values`)
        await session.query('commit')
      }
    }),
  )
  const { past } = await audit(events)
  const { inverted, longestMs, atRisk, wereOpen } = await byDefinition(events)
  expect(inverted.length).toBeGreaterThan(0)
  expect(atRisk).toBeGreaterThan(0)
  expect(past.inversions.inverted).toBe(inverted.length)
  expect(past.inversions.longest[0]?.delayMs).toBeCloseTo(longestMs, 2)
  expect(past.behindXmin).toEqual({ events: 240, atRisk, wereOpen })
})

test('a reader behind xmin that keeps a position: an older transaction with a higher position is counted', async () => {
  const events = await db.events()
  await events.run('create table other (n int)')
  const older = await db.session()
  await older.query(`begin; insert into ${events.schema}.other values (1)`)
  const commitYounger = await appendSlowly(events)
  await older.query(`insert into ${events.name} default values; commit`)
  await commitYounger()
  const { past } = await audit(events)
  expect(past.behindXmin).toEqual({ events: 2, atRisk: 1, wereOpen: 1 })
  expect(past.inversions.longest).toMatchObject([{ position: 1n, passedBy: 2n }])
})

test.each([
  [
    'another transaction than the one that inserted them',
    { insertedBy: 'transaction_id' },
    'other_transaction',
  ],
  ['a mark', { rewritten: 'is_archived -- by the archiver' }, 'marked_rewritten'],
  ['the time of their events', { appendedAt: 'created' }, 'far_from_event_time'],
] as const)(
  'no inversion is invented of rows that were rewritten, where %s tells',
  async (_, options, reason) => {
    const events = await db.events(EMMETT)
    await events.append(6)
    await events.run(`update events set created = now() - interval '2 hours' where position <= 3`)
    for (const position of [1, 3]) {
      await events.run(`update events set is_archived = true where position = ${position}`)
    }
    await events.run(`update events set is_archived = true where position = 2`)
    const told = await audit(events, options)
    expect(told.past.leftOut[reason]).toBe(3)
    expect(told.past.inversions).toMatchObject({ events: 3, inverted: 0 })
    expect(told.past.behindXmin).toMatchObject({ events: 3, atRisk: 0 })
    expect(told.cannotTell.join()).toMatch('no index led by the position')
  },
)

test('a backfill is left out as one run of its transaction, and so is a restored table', async () => {
  const events = await db.events()
  for (let n = 0; n < 3; n++) {
    await events.run('insert into events (type) select null::text from generate_series(1, 0)')
    await events.run('insert into events (data) select n::text from generate_series(1, 500) n')
  }
  await events.append(5)
  await events.run(`update events set data = 'filled' where position <= 1500`)
  const { past } = await audit(events)
  expect(past.leftOut.one_transaction).toBe(1_500)
  expect(past.inversions).toMatchObject({ events: 5, inverted: 0 })

  const restored = await db.events()
  await restored.run('insert into events select from generate_series(1, 1200)')
  const answer = await audit(restored)
  expect(answer.past).toMatchObject({ leftOut: { one_transaction: 1_200 }, inversions: { events: 0 } })
  expect(formatAudit(answer)).toMatch('nothing can be said of delays')
})

test('where nothing tells of updates, the answer says how many the server has counted', async () => {
  const events = await db.events()
  await events.append(3)
  await events.run(`update events set data = 'new' where position = 1`)
  // The server's statistics come a little later.
  await eventually(async () => (await audit(events)).cannotTell.join()).toMatch(
    /counted 1 updates of this table .*may be counted above though it was in order/,
  )
  const told = await audit(await knownInversions(EMMETT), { insertedBy: 'transaction_id' })
  expect(told.past.inversions.inverted).toBe(2)
  expect(told.cannotTell.join()).not.toMatch('counted')
  expect(told.isReadBehindXmin).toBe(true)
})

test('placeholders are commits of their own: left out and counted', async () => {
  const events = await db.events(
    `create table events (position bigserial primary key, type text default 'happened')`,
  )
  await events.run(`select nextval('events_position_seq')`)
  await events.append(2)
  await events.run(`insert into events values (1, 'tombstone')`)
  expect((await audit(events, { eventType: 'type' })).past).toMatchObject({
    leftOut: { placeholder: 1 },
    inversions: { inverted: 0, events: 2 },
  })
  expect((await audit(events)).past.inversions.inverted).toBe(1)
})

test('rows that are older than the setting are counted apart', async () => {
  const pool = new Pool({ connectionString: server.url })
  await pool.query('insert into old_events default values')
  const answer = await auditCommits({ pool, table: 'public.old_events' })
  await pool.end()
  expect(answer.past).toMatchObject({ rows: 6, withoutTimestamp: 5, inversions: { events: 1 } })
  expect(formatAudit(answer)).toMatch('Of 5 rows the server has no commit timestamp.')
})

test('the newest rows alone are looked at where that is wanted, and the answer is JSON', async () => {
  const events = await knownInversions()
  const answer = await audit(events, { newest: 4 })
  expect(JSON.parse(JSON.stringify(answer)).past).toMatchObject({
    rows: 4,
    firstPosition: '4',
    lastPosition: '7',
    inversions: { inverted: 1, longest: [{ position: '4', passedBy: '5' }] },
  })
})

test('it stops when its signal fires, and leaves nothing behind', async () => {
  const events = await db.events()
  await events.append(3)
  const stop = new AbortController()
  const pool = db.newPool()
  const reason = new Error('no longer wanted')
  const asked = auditCommits({
    pool,
    table: events.name,
    signal: stop.signal,
    rewritten: 'pg_sleep(1) is null',
  })
  const sleeping = async () =>
    (
      await db.pool.query(
        `select from pg_stat_activity where query like '%pg_sleep(1)%' and wait_event = 'PgSleep'`,
      )
    ).rowCount
  await eventually(sleeping).toBe(1)
  stop.abort(reason)
  await expect(asked).rejects.toBe(reason)
  await eventually(sleeping).toBe(0)
  await expect(auditCommits({ pool, table: events.name, signal: stop.signal })).rejects.toBe(reason)
})

test('what cannot be read is refused in words that name the option', async () => {
  const events = await db.events()
  await events.run('create view seen as select * from events')
  const refusalOf = (options: Partial<AuditCommitsOptions>) =>
    audit(events, options).then(
      () => 'nothing refused',
      (error: unknown) => error,
    )
  expect(await refusalOf({ insertedBy: 'transaction_id' })).toMatchObject({
    condition: 'columns_exist',
    message: expect.stringContaining('insertedBy'),
  })
  expect(await refusalOf({ table: `${events.schema}.seen` })).toMatchObject({ condition: 'table_kind' })
  expect(await refusalOf({ position: 'id' })).toMatchObject({ condition: 'position_column' })
  expect(await refusalOf({ waitsMs: [-1] })).toMatchObject({ option: 'waitsMs' })
})

test('it tells how far it is: each page of what is there', async () => {
  const events = await db.events()
  await events.run('insert into events select from generate_series(1, 20001)')
  const told: unknown[] = []
  await audit(events, { onProgress: (progress) => told.push(progress) })
  expect(told).toEqual([
    { part: 'past', rows: 20_000, highest: 20_001n, lowest: 2n },
    { part: 'past', rows: 20_001, highest: 20_001n, lowest: 1n },
  ])
})
