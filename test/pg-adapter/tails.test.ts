import type { HighWaterReading } from '@tidemark/core'
import {
  type EventSource,
  isInSlots,
  type LoadRequest,
  type Page,
  slotOf,
  slotRanges,
  type TailWish,
} from '@tidemark/core/adapter'
import {
  type PgPool,
  type PostgresEventsOptions,
  type PostgresRow,
  postgresEvents,
} from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { expect, test } from 'vitest'
import {
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

const EVENTS = `create table events (position bigint generated always as identity primary key,
  type text not null default 'a', data jsonb, note text, at timestamptz default clock_timestamp())`
const SHARED = `create sequence numbers;
  create table events (position bigint not null default nextval('numbers'), type text not null default 'a', data jsonb);
  create index on events (position)`
const PAGE = 'rows with ties'
const POLL = 'as "isFlushed"'
const TAIL = 'with tail as'

/** A pool that writes down every message, each prepared statement as what it stands for. */
function recordingPool(pool: Pool): { readonly pool: PgPool; readonly messages: string[] } {
  const messages: string[] = []
  const texts = new Map<string, string>()
  const note = (message: string): void => {
    for (const [, name = '', text = ''] of message.matchAll(/prepare (\w+) (?:\([^)]*\))? as ([^;]*)/g))
      texts.set(name, text)
    messages.push(message.replaceAll(/execute (\w+)/g, (_, name) => texts.get(name) ?? name))
  }
  return {
    messages,
    pool: {
      connect: async () => {
        const client = await pool.connect()
        return Object.assign(Object.create(client), {
          query: (text: string, values: unknown[] = []) => {
            note(text)
            return client.query(text, values.length > 0 ? values : undefined)
          },
          release: (destroy?: boolean) => client.release(destroy),
        })
      },
    },
  }
}

const sending = (messages: readonly string[], ...parts: readonly string[]) =>
  messages.filter(
    (message) => !message.includes('prepare tidemark_') && parts.every((part) => message.includes(part)),
  ).length

const signal = new AbortController().signal

type Asked = TailWish<bigint> & Partial<Pick<LoadRequest<bigint>, 'limit'>>

/** Polls a source by hand, as an agent does that goes on from one poll to the next. */
async function pollsOf<E>(source: EventSource<bigint, E>, { sharesLog = true } = {}) {
  const opened = await source.open({ signal })
  const request = { opened, sharesLog, signal }
  let reading = await source.readHighWater({ ...request, previous: undefined, stored: [] })
  const poll = async (tails?: readonly TailWish<bigint>[]): Promise<HighWaterReading<bigint>> => {
    reading = await source.readHighWater({
      ...request,
      previous: reading,
      stored: undefined,
      ...(tails === undefined ? {} : { tails }),
    })
    return reading
  }
  /** The page of a reading: `along`, of what came along with polls if it is there. */
  const load = async (
    { after, limit = 100, eventTypes, slots }: Asked,
    { mark, incarnation, settled, logPosition }: HighWaterReading<bigint>,
    how: 'along' | 'read' = 'read',
  ): Promise<Page<bigint, E>> => {
    return await source.load({
      after,
      upTo: mark ?? 0n,
      limit,
      eventTypes,
      ...(slots === undefined ? {} : { slots }),
      evidence: { incarnation, settled, logPosition },
      mayComeAlong: how === 'along',
      signal,
    })
  }
  const untilSettledAt = async (position: bigint) => {
    while ((reading.mark ?? 0n) < position) await poll()
    return reading
  }
  return { poll, load, untilSettledAt, wishAt: (more: Partial<Asked> = {}) => wishAt(reading, more) }
}

const wishAt = ({ mark = 0n }: HighWaterReading<bigint>, more: Partial<Asked>): Asked => ({
  after: mark,
  eventTypes: undefined,
  ...more,
})

/** A source whose first page has shown its columns, settled up to there. */
async function settled(events: EventTable, options: Partial<PostgresEventsOptions> = {}) {
  const { pool, messages } = recordingPool(db.pool)
  const source = postgresEvents({ pool, table: events.name, eventType: 'type', ...options })
  await events.run(
    `insert into events (data) values ('{}')${options.where ? "; update events set note = 'mine'" : ''}`,
  )
  const polls = await pollsOf(source)
  const first = await polls.untilSettledAt(1n)
  // The second page has what the first one was read as.
  for (let n = 0; n < 2; n++) await polls.load({ after: 0n, eventTypes: undefined }, first)
  return { ...polls, messages }
}

/** Two readings of the server's clock may differ a little, and so may what came over the network. */
function expectSame<E>(page: Page<bigint, E>, read: Page<bigint, E>): void {
  const { appendTimesMs, bytes, ...exact } = page
  const { appendTimesMs: timesMs, bytes: readBytes, ...wanted } = read
  expect(exact).toEqual(wanted)
  expect(appendTimesMs?.length).toBe(timesMs?.length)
  for (const [index, ms] of (appendTimesMs ?? []).entries())
    expect(Math.abs((ms ?? 0) - (timesMs?.[index] ?? 0))).toBeLessThan(1_000)
  expect([typeof bytes, typeof readBytes]).toEqual(['number', 'number'])
}

const FEW =
  "insert into events (type, data) select (array['a', 'b', 'c'])[1 + n % 3], '{}' from generate_series(1, 9) n"

/** Of seven keys, one of which is NULL. */
const KEYED =
  "insert into events (note, data) select nullif('key ' || n % 7, 'key 0'), '{}' from generate_series(1, 20) n"

test.each<
  [string, string, { options?: Partial<PostgresEventsOptions>; wish?: Partial<Asked>; append?: string }]
>([
  ['of every event', EVENTS, {}],
  ['of some types', EVENTS, { wish: { eventTypes: ['a', 'c'] } }],
  ['of a type that there is none of', EVENTS, { wish: { eventTypes: ['other'] } }],
  ['of some slots', EVENTS, { wish: { slots: { column: 'note', from: 0, to: 511 } }, append: KEYED }],
  [
    'of some slots and types, by a column that is not read',
    EVENTS,
    {
      options: { columns: ['data'] },
      wish: { slots: { column: 'note', from: 256, to: 1_023 }, eventTypes: ['a'] },
      append: KEYED,
    },
  ],
  ['of slots by a number', EVENTS, { wish: { slots: { column: 'position', from: 0, to: 700 } } }],
  ['of few events', EVENTS, { wish: { limit: 2 } }],
  ['of some columns', EVENTS, { options: { columns: ['data'] } }],
  ['of rows of its own', EVENTS, { options: { where: { note: 'mine' }, columns: ['data'] } }],
  ['with append times', EVENTS, { options: { appendedAt: 'at' } }],
  ['with placeholders', EVENTS, { options: { placeholderTypes: ['b'] } }],
  [
    'of events that share positions',
    SHARED,
    {
      append: `insert into events (position, data) select number, '{}' from
        (select nextval('numbers') as number from generate_series(1, 5)) n, generate_series(1, 3)`,
    },
  ],
  [
    'of few events that share positions',
    SHARED,
    {
      wish: { limit: 4 },
      append: `insert into events (position, data) select number, '{}' from
        (select nextval('numbers') as number from generate_series(1, 5)) n, generate_series(1, 3)`,
    },
  ],
])('a page %s that a poll has brought is the one that is read after it', async (_, ddl, asked) => {
  const { options = {}, wish: more = {}, append = FEW } = asked
  const events = await db.events(ddl)
  const { poll, load, wishAt, messages } = await settled(events, options)
  for (let round = 0; round < 3; round++) {
    await events.run(append)
    if (options.where) await events.run("update events set note = 'mine' where position % 2 = 0")
    const wishes = [wishAt(more), wishAt(more)] as const
    const reading = await poll(wishes)
    messages.length = 0
    const pages = []
    for (const wish of wishes) pages.push(await load(wish, reading, 'along'))
    expect(messages).toEqual([])
    const read = await load(wishes[0], reading)
    expect(sending(messages, PAGE)).toBe(1)
    for (const page of pages) expectSame(page, read)
  }
})

test('behind appends, projections of any types are handed every event once, and hardly a page is read', async () => {
  const events = await db.events(EVENTS)
  const { pool, messages } = recordingPool(db.pool)
  const seen = { all: [] as unknown[], b: [] as unknown[] }
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name, eventType: 'type' }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [
      {
        name: 'all',
        handle: (page) => {
          for (const event of page) {
            const data = event.data as { n: number }
            seen.all.push(data.n)
            // Whoever has the same event has an object of its own.
            data.n = -1
          }
        },
      },
      {
        name: 'b',
        eventTypes: ['b'],
        handle: (page) => void seen.b.push(...page.map(({ data }) => (data as { n: number }).n)),
      },
    ],
  })
  const append = async (n: number) => {
    await events.run(
      `insert into events (type, data) values ('${n % 2 === 0 ? 'a' : 'b'}', jsonb_build_object('n', ${n}))`,
    )
    await daemon.waitUntilProjected()
  }
  for (let n = 0; n < 4; n++) await append(n)
  messages.length = 0
  for (let n = 4; n < 30; n++) await append(n)
  expect(seen.all).toEqual(Array.from({ length: 30 }, (_, n) => n))
  expect(seen.b).toEqual(Array.from({ length: 15 }, (_, n) => 2 * n + 1))
  expect(sending(messages, POLL, TAIL)).toBeGreaterThan(20)
  // A row may become visible between two statements of one poll.
  expect(sending(messages, PAGE)).toBeLessThan(6)
})

test.each([true, false])(
  'where checkpoints are kept in the same log (%s), and only there, a page comes along',
  async (sharesLog) => {
    const events = await db.events(EVENTS)
    const { pool, messages } = recordingPool(db.pool)
    const source = postgresEvents({ pool, table: events.name, eventType: 'type' })
    const { load, poll, untilSettledAt } = await pollsOf(source, { sharesLog })
    await events.run("insert into events (type) values ('a')")
    const first = await untilSettledAt(1n)
    await load({ after: 0n, eventTypes: undefined }, first)
    await events.run("insert into events (type) values ('a')")
    const wish = { after: 1n, eventTypes: undefined }
    const reading = await poll([wish])
    messages.length = 0
    expect((await load(wish, reading, 'along')).positions).toEqual([2n])
    expect(sending(messages, PAGE)).toBe(sharesLog ? 0 : 1)
  },
)

test('of what came along, nothing above the mark is handed out', async () => {
  const events = await db.events(EVENTS)
  const { poll, load, wishAt } = await settled(events)
  const writer = await db.session()
  await events.run(FEW)
  await writer.query(`begin; insert into ${events.name} default values`)
  await events.run(FEW)
  const wish = wishAt()
  const reading = await poll([wish])
  expect(reading.mark).toBe(10n)
  const page = await load(wish, reading, 'along')
  expect(page).toMatchObject({ positions: [2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n, 10n], through: 10n })
  await writer.query('commit')
  // Nor later: what was invisible then would be lost.
  const later = await poll()
  const rest = await load({ after: 10n, eventTypes: undefined }, later, 'along')
  expect(rest.positions).toEqual([11n, 12n, 13n, 14n, 15n, 16n, 17n, 18n, 19n, 20n])
})

test('while a transaction holds up the mark, the rows above it come along once', async () => {
  const events = await db.events(EVENTS)
  const { poll, load, wishAt, messages } = await settled(events)
  const writer = await db.session()
  await writer.query(`begin; insert into ${events.name} default values`)
  await events.run(FEW)
  messages.length = 0
  for (let n = 0; n < 5; n++) await poll([wishAt()])
  expect(sending(messages, POLL)).toBe(5)
  expect(sending(messages, POLL, TAIL)).toBe(1)
  await writer.query('commit')
  const wish = wishAt()
  const reading = await poll([wish])
  expect(reading.mark).toBe(11n)
  expect((await load(wish, reading, 'along')).positions).toHaveLength(10)
  messages.length = 0
  await events.run(FEW)
  await poll([wishAt()])
  expect(sending(messages, POLL, TAIL)).toBe(1)
})

/** As random as it is long: nothing is compressed. */
const randomText = (bytes: number) =>
  `(select string_agg(md5(n::text || random()), '') from generate_series(1, ${bytes / 32}) n)`

test.each([
  ['as they are', false],
  ['compressed', true],
])('events that are large, %s, do not come along; what is before them does', async (_, isCompressed) => {
  const events = await db.events(EVENTS)
  const { poll, load, wishAt, messages } = await settled(events)
  const large = isCompressed ? `repeat('x', ${10 * 2 ** 20})` : randomText(5 * 2 ** 20)
  await events.run(`insert into events (note) values ('small'), ('small too')`)
  await events.run(`insert into events (note) values (${large})`)
  await events.run(`insert into events (note) values (${large}), ('small')`)
  const first = wishAt()
  let reading = await poll([first])
  messages.length = 0
  expect(await load(first, reading, 'along')).toMatchObject({
    positions: [2n, 3n],
    through: 3n,
  })
  expect(messages).toEqual([])
  await events.run(`insert into events (note) values (${large}), ('small')`)
  const second = wishAt()
  reading = await poll([second])
  expect((await load(second, reading, 'along')).positions).toEqual([7n, 8n])
  expect(sending(messages, PAGE)).toBe(1)
})

test('an event that cannot be mapped fails its page, and not the poll that has brought it', async () => {
  const events = await db.events(EVENTS)
  const { poll, load, wishAt } = await settled(events, {
    mapRow: (row, position) => {
      if (position === 4n) throw new Error('unreadable')
      return row
    },
  })
  await events.run(FEW)
  const wish = wishAt()
  const reading = await poll([wish])
  await expect(load(wish, reading, 'along')).rejects.toMatchObject({
    code: 'TIDEMARK_EVENT_MAPPING',
    message: expect.stringMatching(/4/),
  })
})

test('where row security hides rows from now on, the poll is refused, and brings nothing', async () => {
  const events = await db.events(EVENTS)
  const role = await db.role(`grant usage on schema ${events.schema} to :role;
    grant select on all tables in schema ${events.schema} to :role;
    grant select on all sequences in schema ${events.schema} to :role`)
  const { poll, wishAt } = await settled(events, { pool: db.newPool(asRole(db.url, role)) })
  await events.run(FEW)
  await poll([wishAt()])
  await events.run(`${FEW}; alter table events enable row level security`)
  await expect(poll([wishAt()])).rejects.toMatchObject({ condition: 'row_security' })
})

test('what a role may no longer read fails the page that asks for it, and no poll', async () => {
  const events = await db.events(EVENTS)
  const role = await db.role(`grant usage on schema ${events.schema} to :role;
    grant select on all tables in schema ${events.schema} to :role;
    grant select on all sequences in schema ${events.schema} to :role`)
  const { poll, load, wishAt } = await settled(events, { pool: db.newPool(asRole(db.url, role)) })
  await events.run(`${FEW}; revoke select on events from ${role};
    grant select (position, type, data, at) on events to ${role}`)
  const wish = wishAt()
  const reading = await poll([wish])
  expect(reading).toMatchObject({ mark: 10n })
  await expect(load(wish, reading, 'along')).rejects.toMatchObject({ code: '42501' })
})

test.each([
  [
    'adds a column',
    "alter table events add column city text default 'Oslo'",
    (row: PostgresRow) => row.city,
    'Oslo',
  ],
  [
    'renames a column',
    'alter table events rename column note to remark',
    (row: PostgresRow) => row.remark,
    null,
  ],
  ['drops a column', 'alter table events drop column note', (row: PostgresRow) => row.note, undefined],
  ['rewrites the table', 'alter table events alter note type int using 7', (row: PostgresRow) => row.note, 7],
])(
  'a statement that %s between two polls loses nothing, and shows in what comes along',
  async (_, ddl, shown, as) => {
    const events = await db.events(EVENTS)
    const { poll, load, wishAt } = await settled(events)
    for (let round = 0; round < 4; round++) {
      await events.run(FEW)
      if (round === 1) await events.run(ddl)
      const wish = wishAt()
      const reading = await poll([wish])
      const page = await load(wish, reading, 'along')
      expect(page.positions).toHaveLength(9)
      if (round === 1) expect(page.events.map(shown)).toEqual(Array.from({ length: 9 }, () => as))
      expectSame(page, await load(wish, reading))
    }
  },
)

test('rows that come along while the poll waits for a table that is rewritten are all there', async () => {
  const events = await db.events(
    'create table events (position serial primary key, type text, data jsonb, n int)',
  )
  const pool = db.newPool({ max: 1, application_name: events.schema })
  const { poll, load, wishAt } = await settled(events, { pool })
  const ddl = await db.session()
  for (const type of ['bigint', 'int', 'bigint']) {
    // So that its statements are prepared on this connection.
    for (let n = 0; n < 2; n++) {
      await events.run("insert into events (data) values ('{}')")
      await poll([wishAt()])
    }
    await events.run("insert into events (data) values ('{}'), ('{}')")
    await ddl.query(`begin; lock table ${events.name} in access exclusive mode`)
    const wish = wishAt()
    const polling = poll([wish])
    await eventually(async () => {
      const { rowCount } = await db.pool.query(
        "select from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'",
        [events.schema],
      )
      return rowCount
    }).toBe(1)
    await ddl.query(`alter table ${events.name} alter n type ${type}; commit`)
    const reading = await polling
    expect(reading.mark).toBe(wish.after + 2n)
    const page = await load(wish, reading, 'along')
    expect(page.positions).toEqual([wish.after + 1n, wish.after + 2n])
  }
})

test.each([
  [
    'with partitions',
    `create sequence numbers;
     create table events (position bigint not null default nextval('numbers'), type text default 'a', data jsonb)
       partition by list (type);
     create index on events (position);
     create table events_all partition of events default`,
    {},
  ],
  [
    'without an index of its positions',
    "create table events (position bigint generated always as identity, type text default 'a', data jsonb)",
    { allowMissingIndex: true },
  ],
] as const)('of a table %s nothing comes along', async (_, ddl, options) => {
  const events = await db.events(ddl)
  const { poll, wishAt, messages } = await settled(events, options)
  await events.run(FEW)
  const reading = await poll([wishAt()])
  expect(reading).toMatchObject({ mark: 10n })
  expect(sending(messages, TAIL)).toBe(0)
})

test('a table of any size is looked into by the index of its positions, whatever is asked of its rows', async () => {
  const events = await db.events(EVENTS)
  const pool = db.newPool({ max: 1 })
  const { poll, untilSettledAt, wishAt } = await settled(events, { pool, where: { note: 'mine' } })
  await events.run(`insert into events (type, note) select 'a', 'not mine' from generate_series(1, 100000);
    create index on events (note); create index on events (type)`)
  await db.pool.query(`vacuum analyze ${events.name}`)
  await untilSettledAt(100_001n)
  for (let n = 0; n < 3; n++) {
    await events.run(FEW)
    await poll([wishAt({ eventTypes: ['a'] })])
  }
  const { rows } = await pool.query(
    'select name, statement from pg_prepared_statements where generic_plans > 0',
  )
  const { name } = rows.find((row) =>
    row.statement.includes(`prepare ${row.name} (text[], bigint, bigint, text[]) as with tail`),
  )
  const explained = (await pool.query(`begin; set local plan_cache_mode = force_generic_plan;
    explain (format json) execute ${name}(array['a'], 100001, 100021, array['a']); rollback`)) as unknown as {
    rows: unknown[]
  }[]
  const indexes = [...JSON.stringify(explained.at(-2)?.rows).matchAll(/"Index Name":"(\w+)"/g)].map(
    ([, index]) => index,
  )
  expect(indexes).toEqual(['events_pkey'])
})

test('through a daemon whose batches are small, events that share a position are handled together and once', async () => {
  const events = await db.events(`${SHARED}; ${HANDLED}`)
  const { pool, messages } = recordingPool(db.pool)
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all', { batchSize: 2 })],
  })
  for (let round = 0; round < 10; round++) {
    await events.run(`insert into events (position) select number from
      (select nextval('numbers') as number from generate_series(1, 5)) n, generate_series(1, 3)`)
    await daemon.waitUntilProjected()
  }
  const numbers = Array.from({ length: 50 }, (_, n) => BigInt(n + 1))
  expect(await handledBy(db.pool, events, 'all')).toEqual(numbers.flatMap((n) => [n, n, n]))
  expect(sending(messages, POLL, TAIL)).toBeGreaterThan(5)
})

const isOfTypes = (types: readonly string[] | undefined) => (event: PostgresRow) =>
  types === undefined || types.includes(String(event.type))

test('what a poll has brought for several readers is handed to each in objects of its own: what it wants, and no more', async () => {
  const events = await db.events(EVENTS)
  const { poll, load, wishAt, messages } = await settled(events)
  const filters = [undefined, ['a'], ['b', 'c'], ['c', 'a'], ['none'], undefined]
  for (let round = 0; round < 3; round++) {
    await events.run(FEW)
    const wishes = filters.map((eventTypes) => wishAt({ eventTypes }))
    messages.length = 0
    const reading = await poll(wishes)
    expect(sending(messages, POLL, TAIL)).toBe(1)
    messages.length = 0
    const pages = []
    for (const wish of wishes) {
      const page = await load(wish, reading, 'along')
      pages.push(structuredClone(page.events))
      // Whoever has the same event has an object of its own.
      for (const event of page.events) Object.assign(event.data as object, { spoilt: true })
    }
    expect(messages).toEqual([])
    const all = (await load(wishAt({ after: wishes[0]?.after ?? 0n }), reading)).events
    expect(pages).toEqual(filters.map((types) => all.filter(isOfTypes(types))))
  }
})

test('a reader of other types than those that a poll was asked for reads for itself', async () => {
  const events = await db.events(EVENTS)
  const { poll, load, wishAt, messages } = await settled(events)
  await events.run(FEW)
  const [a, b, all] = [['a'], ['b'], undefined].map((eventTypes) => wishAt({ eventTypes }))
  if (!a || !b || !all) throw new TypeError('three wishes')
  const reading = await poll([a])
  messages.length = 0
  for (const [wish, count] of [
    [a, 3],
    [b, 3],
    [all, 9],
  ] as const)
    expect((await load(wish, reading, 'along')).events).toHaveLength(count)
  expect(sending(messages, PAGE)).toBe(2)
})

test('a reader that is some polls behind is given all of them as one page, from where it stands', async () => {
  const events = await db.events(EVENTS)
  const { poll, load, wishAt, messages } = await settled(events)
  const start = wishAt()
  for (let round = 0; round < 4; round++) {
    await events.run(FEW)
    await poll([start, wishAt()])
  }
  const reading = await poll()
  messages.length = 0
  for (const after of [start.after, 3n, 10n, 36n]) {
    const page = await load({ after, eventTypes: undefined }, reading, 'along')
    const wanted = Array.from({ length: 37 - Number(after) }, (_, n) => after + BigInt(n) + 1n)
    expect(page).toMatchObject({ positions: wanted, through: 37n })
  }
  const few = await load({ after: 3n, limit: 12, eventTypes: undefined }, reading, 'along')
  expect(few).toMatchObject({ positions: Array.from({ length: 12 }, (_, n) => BigInt(n + 4)), through: 15n })
  expect(messages).toEqual([])
})

test('types that a collation takes for the same reach whoever names one of them, as with a page that is read', async () => {
  const events =
    await db.events(`create collation anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create table events (position bigint generated always as identity primary key, type text collate anycase, data jsonb)`)
  const { poll, load, wishAt, messages } = await settled(events)
  await events.run("insert into events (type) values ('Opened'), ('opened'), ('closed'), ('OPENED'), (null)")
  const wish = wishAt({ eventTypes: ['opened'] })
  const reading = await poll([wish, wishAt({ eventTypes: ['Closed', 'Opened'] })])
  messages.length = 0
  const page = await load(wish, reading, 'along')
  expect(messages).toEqual([])
  expect(page.positions).toEqual([2n, 3n, 5n])
  expectSame(page, await load(wish, reading))
})

test('what a parser has made of its own is for one reader: the next one reads for itself', async () => {
  const events = await db.events(EVENTS.replace('note text', "note text, took interval default '3 hours'"))
  const { poll, load, wishAt, messages } = await settled(events)
  await events.run(FEW)
  const wishes = [wishAt(), wishAt()] as const
  const reading = await poll(wishes)
  messages.length = 0
  const pages = [await load(wishes[0], reading, 'along'), await load(wishes[1], reading, 'along')] as const
  expect(sending(messages, PAGE)).toBe(1)
  expectSame(pages[0], pages[1])
})

test('50 projections of one table, of several types, are handed every event once, whoever falls behind', async () => {
  const events = await db.events(EVENTS)
  const { pool, messages } = recordingPool(db.newPool({ max: 10 }))
  const names = Array.from({ length: 50 }, (_, n) => `p${n}`)
  const seen = new Map(names.map((name) => [name, [] as unknown[]]))
  const types = [undefined, ['a'], ['b'], ['a', 'b']]
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name, eventType: 'type' }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: names.map((name, n) => {
      const eventTypes = types[n % types.length]
      return {
        name,
        ...(eventTypes === undefined ? {} : { eventTypes }),
        handle: (page: readonly PostgresRow[]) => {
          seen.get(name)?.push(...page.map(({ position }) => position))
        },
      }
    }),
  })
  const append = async () =>
    await events.run(`insert into events (type, data)
    select (array['a', 'b'])[1 + n % 2], '{}' from generate_series(1, 6) n`)
  for (let n = 0; n < 5; n++) {
    await append()
    await daemon.waitUntilProjected()
  }
  messages.length = 0
  for (let n = 0; n < 20; n++) await append()
  await daemon.waitUntilProjected()
  const all = Array.from({ length: 150 }, (_, n) => BigInt(n + 1))
  const isWanted = (n: number) => (position: bigint) =>
    types[n % types.length]?.includes(position % 2n === 1n ? 'b' : 'a') ?? true
  for (const [n, name] of names.entries()) expect(seen.get(name)).toEqual(all.filter(isWanted(n)))
  // How many pages are read besides hangs on how busy the machine is.
  expect(sending(messages, POLL, TAIL)).toBeGreaterThan(0)
})

test('what a poll has brought for shards by a column is handed to each by the slots that Node computes, beside any others', async () => {
  const events = await db.events(EVENTS)
  const { poll, load, wishAt, messages } = await settled(events)
  const shards = slotRanges(4).map((range) => ({ column: 'note', ...range }))
  const byType = { column: 'type', from: 0, to: 1_023 }
  const besides = [[], [undefined], [byType, undefined], [byType], []]
  for (const wanted of besides.map((beside) => [...shards, ...beside])) {
    await events.run(KEYED)
    const wishes = wanted.map((slots) => wishAt(slots === undefined ? {} : { slots }))
    messages.length = 0
    const reading = await poll(wishes)
    expect(sending(messages, POLL, TAIL)).toBe(1)
    messages.length = 0
    const pages: (readonly PostgresRow[])[] = []
    for (const wish of wishes) pages.push((await load(wish, reading, 'along')).events)
    expect(messages).toEqual([])
    const all = (await load(wishAt({ after: wishes[0]?.after ?? 0n }), reading)).events
    expect(all).toHaveLength(20)
    for (const [index, slots] of wanted.entries()) {
      const isOwn = (row: PostgresRow) =>
        slots === undefined || isInSlots(slots, slotOf(row[slots.column] as string | null))
      expect(pages[index]).toEqual(all.filter(isOwn))
    }
  }
})

test('to a process that has some of the shards come no events of the others', async () => {
  const events = await db.events(EVENTS)
  const { poll, load, wishAt, messages } = await settled(events)
  const [first, second, third, fourth] = slotRanges(4).map((range) => ({ column: 'note', ...range }))
  await events.run(KEYED)
  const wishes = [first, second].map((slots) => wishAt(slots === undefined ? {} : { slots }))
  const reading = await poll(wishes)
  for (const [slots, read] of [
    [first, 0],
    [second, 0],
    [third, 1],
    [fourth, 1],
    [undefined, 1],
  ] as const) {
    messages.length = 0
    const wish: Asked = { after: wishes[0]?.after ?? 0n, eventTypes: undefined, ...(slots && { slots }) }
    const page = await load(wish, reading, 'along')
    expect(sending(messages, PAGE)).toBe(read)
    expectSame(page, await load(wish, reading))
  }
})

test('behind appends, the shards of a projection are handed every event once, in the order of its key, and hardly a page is read', async () => {
  const events = await db.events(EVENTS)
  const { pool, messages } = recordingPool(db.pool)
  const seen = new Map<string, number[]>()
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [
      {
        name: 'orders',
        shards: 4,
        shardBy: 'note',
        handle: (page) => {
          for (const { note, data } of page) {
            const key = String(note)
            seen.set(key, [...(seen.get(key) ?? []), (data as { n: number }).n])
          }
        },
      },
    ],
  })
  const append = async (n: number) => {
    await events.run(
      `insert into events (note, data) select 'key ' || k, jsonb_build_object('n', ${n}) from generate_series(1, 9) k`,
    )
    await daemon.waitUntilProjected()
  }
  for (let n = 0; n < 4; n++) await append(n)
  messages.length = 0
  for (let n = 4; n < 30; n++) await append(n)
  const numbers = Array.from({ length: 30 }, (_, n) => n)
  expect([...seen.values()]).toEqual(Array.from({ length: 9 }, () => numbers))
  expect(sending(messages, POLL, TAIL)).toBeGreaterThan(20)
  // Where each shard reads for itself, they are four times as many.
  expect(sending(messages, PAGE)).toBeLessThan(26)
})
