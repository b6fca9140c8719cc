import { createWatch } from '@tidemark/core'
import {
  type PgClient,
  type PgPool,
  type PostgresEventsOptions,
  postgresConsumers,
  postgresEvents,
  watchedPostgresEvents,
} from '@tidemark/pg-adapter'
import type { Pool, PoolClient, QueryResult } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { PartitionsChangedError } from '../../packages/pg-adapter/src/errors.ts'
import { tellBackend } from '../../packages/pg-adapter/src/kept-statements.ts'
import { type Message, sendMessage } from '../../packages/pg-adapter/src/message.ts'
import { boundedClient } from '../../packages/pg-adapter/src/query-timeout.ts'
import { agentOver, type EventTable, eventually, fileDatabase } from '../support/event-table.ts'
import { pollOf } from '../support/poll.ts'

const db = fileDatabase()

interface Kept {
  readonly name: string
  readonly statement: string
  readonly generic_plans: string
  readonly custom_plans: string
}

/** The statements that Tidemark has prepared on the only connection of a pool. */
async function keptOn(client: Pool | PoolClient): Promise<Kept[]> {
  const { rows } = await client.query("select * from pg_prepared_statements where name like 'tidemark\\_%'")
  return rows
}

/** One connection, which is no wrapper: an agent that goes on in it is told apart from none by its own. */
const onePool = () => db.newPool({ max: 1 })

/** PostgreSQL keeps with each the whole message that has prepared it. */
function stepOf(kept: readonly Kept[], part: string): Kept | undefined {
  return kept.find(({ name, statement }) =>
    statement.split('; ').some((sql) => sql.includes(`prepare ${name} `) && sql.includes(part)),
  )
}

test('on its second use of a connection a poll is prepared there, and planned for all values', async () => {
  const events = await db.events()
  await events.append(3)
  const pool = onePool()
  const agent = await agentOver({ pool, table: events.name, eventType: 'type' })
  for (let n = 0; n < 12; n++) await agent.waitFor(await events.append())
  const kept = await keptOn(pool)
  await agent.stop()
  for (const part of ['as holders', 'as visible', 'as "isFlushed"', 'as "isKnownBackend"']) {
    expect(stepOf(kept, part), part).toBeDefined()
  }
  expect(kept.filter(({ custom_plans }) => custom_plans !== '0')).toEqual([])
  expect(kept.length).toBeLessThan(12)
})

interface Plan {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly Plans?: Plan[]
}

const scansOf = (plan: Plan): string[] => [
  ...(plan['Relation Name'] === 'events' ? [plan['Node Type']] : []),
  ...(plan.Plans ?? []).flatMap(scansOf),
]

test.each([
  ['that was never analyzed', 'select from'],
  ['that was analyzed', 'vacuum analyze'],
])('the plans that are kept read a table %s by its index', async (_, prepare) => {
  const events = await db.events()
  await events.run('insert into events select from generate_series(1, 20000)')
  await db.pool.query(`${prepare} ${events.name}`)
  const pool = onePool()
  const agent = await agentOver({ pool, table: events.name, eventType: 'type' })
  await db.pool.query(`begin; insert into ${events.name} default values; rollback`)
  for (let n = 0; n < 3; n++) await agent.waitFor(await events.append())
  await eventually(async () =>
    stepOf(await agent.freshReading().then(() => keptOn(pool)), LATE),
  ).toBeDefined()
  // Not stopped yet: a poll that is cut off takes its connection along.
  const values = {
    [WINDOW]: '(19000, 24000)',
    'as "greatestVisible"': '(19990)',
    [LATE]: RUNS,
  }
  for (const [part, given] of Object.entries(values)) {
    const name = stepOf(await keptOn(pool), part)?.name
    const explained = (
      (await pool.query(
        `begin; ${PLANNED_SO} explain (format json) execute ${name}${given}; rollback`,
      )) as unknown as { rows: { 'QUERY PLAN': [{ Plan: Plan }] }[] }[]
    ).at(-2)
    const plan = explained?.rows[0]?.['QUERY PLAN'][0].Plan
    expect(plan && scansOf(plan), part).toEqual([expect.stringMatching(/^Index (Only )?Scan$/)])
  }
  await agent.stop()
})

const PARTED = `create table events (position bigint generated always as identity,
  tenant int not null default 0, primary key (position, tenant)) partition by`

/** Filled, with a number that nobody will fill: a look again is a step of its polls. */
async function partitioned(by: string, bounds: (n: number) => string) {
  const events = await db.events(`${PARTED} ${by}`)
  for (let n = 0; n < 40; n++) {
    await events.run(`create table events_${n} partition of events for values ${bounds(n)}`)
  }
  await events.run('insert into events (tenant) select n % 40 from generate_series(1, 3900) n')
  await db.pool.query(`vacuum analyze ${events.name}`)
  return events
}

test.each([
  ['by the position reads and locks those alone that the values are in', 'range (position)', 'custom_plans'],
  ['by a tenant has one plan for all values from the first poll on', 'list (tenant)', 'generic_plans'],
  ['by a tenant and then the position has none', 'range (tenant, position)', 'generic_plans'],
] as const)('a poll of a table that is parted %s', async (_, by, kind) => {
  const bounds = {
    'range (position)': (n: number) => `from (${n * 100}) to (${n * 100 + 100})`,
    'list (tenant)': (n: number) => `in (${n})`,
    'range (tenant, position)': (n: number) => `from (${n}, minvalue) to (${n}, maxvalue)`,
  }[by]
  const events = await partitioned(by, bounds)
  const pool = onePool()
  const agent = await agentOver({ pool, table: events.name })
  await db.pool.query(`begin; insert into ${events.name} default values; rollback`)
  await agent.waitFor(await events.append())
  const steps = async () => {
    const kept = await keptOn(pool)
    return [WINDOW, LATE].map((part) => stepOf(kept, part))
  }
  // The sixth execution is the first for which PostgreSQL compares the costs of both kinds.
  await eventually(async () => {
    await agent.waitFor(await events.append())
    return (await steps()).map((step) => Number(step?.[kind]) > 10)
  }).toEqual([true, true])
  const other = kind === 'custom_plans' ? 'generic_plans' : 'custom_plans'
  expect((await steps()).map((step) => step?.[other])).toEqual(['0', '0'])
  await agent.stop()
})

test('a poll of a table that is parted by the position, which looks again too, goes on while an old partition is locked', async () => {
  const events = await partitioned('range (position)', (n) => `from (${n * 100}) to (${n * 100 + 100})`)
  const pool = onePool()
  const agent = await agentOver({ pool, table: events.name })
  const rollBack = () => db.pool.query(`begin; insert into ${events.name} default values; rollback`)
  await rollBack()
  await agent.waitFor(await events.append())
  const looks = async () =>
    (await keptOn(pool))
      .filter(({ statement }) => statement.includes(LATE))
      .reduce((sum, { custom_plans }) => sum + Number(custom_plans), 0)
  const untilLookedAt = (times: number) =>
    eventually(async () => {
      await agent.waitFor(await events.append())
      return await looks()
    }).toBeGreaterThan(times)
  await untilLookedAt(8)
  const old = await db.session()
  await old.query(`begin; lock table ${events.name}_0 in access exclusive mode`)
  await untilLookedAt((await looks()) + 3)
  expect(agent.status()).toMatchObject({ state: 'polling', error: undefined })
  await agent.stop()
  await old.query('rollback')
})

/** What is explained is the plan that was kept. */
const PLANNED_SO = 'set local plan_cache_mode = force_generic_plan;'
const LATE = '::text as late'
const WINDOW = 'array_to_string(array('
const PAGE = 'rows with ties'
const RUNS_OF_LOOK = 'cross join lateral'
const RUNS = "('{20001}'::bigint[], '{20001}'::bigint[])"

test('whoever shares the pool may discard what was prepared: the poll is sent all the same, and prepared anew', async () => {
  const events = await db.events()
  const pool = onePool()
  const agent = await agentOver({ pool, table: events.name })
  for (let n = 0; n < 3; n++) await agent.waitFor(await events.append())
  expect(await keptOn(pool)).not.toEqual([])
  await pool.query('discard all')
  for (let n = 0; n < 3; n++) await agent.waitFor(await events.append())
  expect(agent.status()).toMatchObject({ state: 'polling', mark: 6n })
  expect(stepOf(await keptOn(pool), 'as visible')).toBeDefined()
})

test('a connection that leads to another backend than before, as behind a pooler, is polled all the same', async () => {
  const events = await db.events()
  const [first, second] = [await db.session(), await db.session()]
  let behind = first
  const errors: unknown[] = []
  // One object with the pid of the first backend, as a pooler would have it that lets one through.
  const client = Object.assign(Object.create(first), {
    query: (text: string, values?: unknown[]) => {
      const answer = behind.query(text, values)
      answer.catch((error: unknown) => errors.push(error))
      return answer
    },
    release: () => {},
  }) as PgClient
  const agent = await agentOver({ pool: { connect: async () => client }, table: events.name })
  for (let n = 0; n < 3; n++) await agent.waitFor(await events.append())
  behind = second
  for (let n = 0; n < 3; n++) await agent.waitFor(await events.append())
  expect(agent.status()).toMatchObject({ state: 'polling', mark: 6n })
  expect(errors).toMatchObject([{ code: '26000' }])
  expect((await second.query('select from pg_prepared_statements')).rowCount).toBe(0)
})

test('a client that does not know the pid of its backend is sent whole statements', async () => {
  const events = await db.events()
  const session = await db.session()
  // The same one at each poll, as a pool has it: one that is new each time would be prepared on by nobody.
  const client: PgClient = {
    query: (text, values) => session.query(text, values),
    release: () => {},
    on: () => {},
    removeListener: () => {},
  }
  const pool: PgPool = { connect: async () => client }
  const agent = await agentOver({ pool, table: events.name, wakeUps: 'none' })
  for (let n = 0; n < 4; n++) await agent.waitFor(await events.append())
  expect((await session.query('select from pg_prepared_statements')).rowCount).toBe(0)
})

/** Sends messages on one connection that is told to lead to its own backend, and counts what is sent for them. */
async function keepingClient() {
  const client = await onePool().connect()
  onTestFinished(() => client.release(true))
  let sent = 0
  const counted: PgClient = Object.assign(Object.create(client), {
    query: (text: string, values?: unknown[]) => {
      sent++
      return client.query(text, values)
    },
  })
  const bounded = boundedClient(counted, 10_000)
  tellBackend(bounded, String((await client.query('select pg_backend_pid() as pid')).rows[0].pid))
  /** The rows of the steps, and how many messages that took. */
  const rowsOf = async (...steps: Message['transactions'][number]) => {
    sent = 0
    const results = await sendMessage(bounded, { transactions: [steps], plans: 'kept' })
    return { rows: results.slice(1).flatMap(({ rows }) => rows), sent }
  }
  return { client, rowsOf }
}

test('statements that the table has outgrown are prepared anew, and the message is sent again', async () => {
  const events = await db.events('create table events (position int, other text)')
  await events.run("insert into events values (1, 'a')")
  const { client, rowsOf } = await keepingClient()
  const read = () =>
    rowsOf(
      () => `select * from ${events.name}`,
      (bind) => `select ${bind('text', "'b'")} as b`,
    )
  expect(await read()).toEqual({ rows: [{ position: 1, other: 'a' }, { b: 'b' }], sent: 2 })
  expect(await read()).toMatchObject({ sent: 1 })
  for (const change of ['alter position type text', 'add column third int', 'drop column other']) {
    await events.run(`alter table events ${change}`)
    const { rows } = await read()
    expect(rows).toEqual([(await client.query(`select * from ${events.name}`)).rows[0], { b: 'b' }])
    expect(await read()).toEqual({ rows, sent: 1 })
    expect(await keptOn(client)).toHaveLength(3)
  }
})

test('where what was prepared is discarded after each use, no more is prepared in the end', async () => {
  const { client, rowsOf } = await keepingClient()
  const read = () => rowsOf((bind) => `select ${bind('int', '1')} as one`)
  const sent: number[] = []
  for (let n = 0; n < 15; n++) {
    await client.query('discard all')
    const answer = await read()
    expect(answer.rows).toEqual([{ one: 1 }])
    sent.push(answer.sent)
  }
  // What fails, a look at what is there, what prepares it, and the message again; after ten times the message alone.
  expect(sent).toEqual([2, ...Array(9).fill(4), 3, 1, 1, 1, 1])
  expect(await keptOn(client)).toEqual([])
})

test('whatever was discarded, it is prepared anew for ever where it is of use in between', async () => {
  const { client, rowsOf } = await keepingClient()
  const read = () => rowsOf((bind) => `select ${bind('int', '1')} as one`)
  for (let n = 0; n < 12; n++) {
    for (let use = 0; use < 101; use++) await read()
    await client.query('discard all')
  }
  await read()
  expect(await read()).toEqual({ rows: [{ one: 1 }], sent: 1 })
})

test('what somebody else has prepared there under the same names is executed', async () => {
  const { client, rowsOf } = await keepingClient()
  const read = (rows: typeof rowsOf) => rows((bind) => `select ${bind('int', '1')} as one`)
  await read(rowsOf)
  const query: PgClient['query'] = (text, values) => client.query(text, values)
  const other = boundedClient(Object.assign(Object.create(client), { query }), 10_000)
  tellBackend(other, String((await client.query('select pg_backend_pid() as pid')).rows[0].pid))
  const message: Message = { transactions: [[(bind) => `select ${bind('int', '1')} as one`]], plans: 'kept' }
  expect((await sendMessage(other, message))[1]?.rows).toEqual([{ one: 1 }])
  expect(await read(rowsOf)).toEqual({ rows: [{ one: 1 }], sent: 1 })
  expect(await keptOn(client)).toHaveLength(2)
})

test('of statements whose text changes again and again, a backend keeps a hundred at most', async () => {
  const { client, rowsOf } = await keepingClient()
  for (let n = 0; n < 250; n++) {
    expect(await rowsOf(() => `select ${n} as n`)).toMatchObject({ rows: [{ n }] })
    expect((await keptOn(client)).length).toBeLessThanOrEqual(100)
  }
  expect(await rowsOf(() => 'select 249 as n')).toMatchObject({ sent: 1 })
})

test('a table that is rewritten while a poll waits for its lock is not taken for an empty one', async () => {
  const events = await db.events('create table events (position serial primary key, n int)')
  const pool = db.newPool({ max: 1, application_name: events.schema })
  const proven: unknown[] = []
  const agent = await agentOver(
    { pool, table: events.name },
    { telemetry: { polled: ({ reading }) => proven.push(...reading.provenEmpty) } },
  )
  const ddl = await db.session()
  for (let round = 1; round <= 10; round++) {
    await agent.waitFor(await events.append())
    // Three that have ended when the poll begins; it then waits for the table.
    await ddl.query(`begin; insert into ${events.name} select from generate_series(1, 3); commit; begin;
      lock table ${events.name} in access exclusive mode`)
    await eventually(async () => {
      const { rowCount } = await db.pool.query(
        "select from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'",
        [events.schema],
      )
      return rowCount
    }).toBe(1)
    const type = round % 2 === 0 ? 'int' : 'bigint'
    await ddl.query(`alter table ${events.name} alter n type ${type}; commit`)
    await agent.waitFor(BigInt(round * 4))
  }
  expect(agent.status()).toMatchObject({ state: 'polling', mark: 40n })
  expect(proven).toEqual([])
})

/** Reads pages on the only connection of a pool, as they are near the head; it is prepared there by the second one at the latest. */
async function pagesOn(pool: Pool, events: EventTable, options: Pick<PostgresEventsOptions, 'columns'> = {}) {
  const agent = await agentOver({ pool: db.pool, table: events.name })
  const { incarnation, settled, logPosition } = await agent.freshReading()
  await agent.stop()
  const source = postgresEvents({ pool, table: events.name, eventType: 'type', ...options })
  return async (after: bigint, upTo: bigint, eventTypes?: readonly string[]) =>
    await source.load({
      after,
      upTo,
      limit: 100,
      eventTypes,
      evidence: { incarnation, settled, logPosition },
      signal: new AbortController().signal,
    })
}

test('a page near the head is read by a plan that is kept, which reads a table of any size by its index', async () => {
  const events = await db.events()
  const pool = onePool()
  await events.append(3)
  const load = await pagesOn(pool, events)
  for (let n = 0; n < 3; n++) await load(0n, 3n)
  await events.run("insert into events (type) select 'some' from generate_series(1, 20000)")
  await db.pool.query(`vacuum analyze ${events.name}`)
  const page = await load(20_000n, 20_003n)
  expect(page.positions).toEqual([20_001n, 20_002n, 20_003n])
  const kept = stepOf(await keptOn(pool), PAGE)
  expect(kept).toMatchObject({ custom_plans: '0' })
  const answers = (await pool.query(
    `begin; ${PLANNED_SO} explain (format json) execute ${kept?.name}(20003, 20000, 100); rollback`,
  )) as unknown as { rows: { 'QUERY PLAN': [{ Plan: Plan }] }[] }[]
  const plan = answers.at(-2)?.rows[0]?.['QUERY PLAN'][0].Plan
  expect(plan && scansOf(plan)).toEqual(['Index Scan'])
})

test('pages of any types share one statement, and a page far from the head is planned for its values', async () => {
  const events = await db.events()
  const pool = onePool()
  await events.append(3)
  const load = await pagesOn(pool, events)
  for (const types of [['some'], ['a', 'b'], ['event']]) await load(0n, 3n, types)
  for (let n = 0; n < 3; n++) await load(0n, 1_000_000n)
  const pages = (await keptOn(pool)).filter(({ name, statement }) =>
    statement.split('; ').some((sql) => sql.includes(`prepare ${name} `) && sql.includes(PAGE)),
  )
  expect(pages.map(({ statement }) => statement.includes('::text = any ('))).toEqual([true, true])
})

test('a page that waits while its table is rewritten misses no event', async () => {
  const events = await db.events('create table events (position serial primary key, type text, n int)')
  await events.append(3)
  const pool = db.newPool({ max: 1, application_name: events.schema })
  const load = await pagesOn(pool, events, { columns: ['type'] })
  const ddl = await db.session()
  for (const type of ['bigint', 'int', 'bigint', 'int']) {
    await load(0n, 3n)
    await load(0n, 3n)
    expect(stepOf(await keptOn(pool), PAGE)).toBeDefined()
    await ddl.query(`begin; lock table ${events.name} in access exclusive mode`)
    const page = load(0n, 3n)
    await eventually(async () => {
      const { rowCount } = await db.pool.query(
        "select from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'",
        [events.schema],
      )
      return rowCount
    }).toBe(1)
    await ddl.query(`alter table ${events.name} alter n type ${type}; commit`)
    expect((await page).positions).toEqual([1n, 2n, 3n])
  }
})

/** Reads pages of a table with partitions, all that there are, after a poll that knows them. */
async function partedPagesOn(pool: Pool, events: EventTable) {
  const source = postgresEvents({ pool, table: events.name })
  const { incarnation, settled, logPosition } = await pollOf(source)
  const signal = new AbortController().signal
  const evidence = { incarnation, settled, logPosition }
  return async (upTo: bigint, after = 0n) =>
    (await source.load({ after, upTo, limit: 10_000, eventTypes: undefined, evidence, signal })).positions
}

test.each([
  ['by a tenant are read by one plan', 'list (tenant)', (n: number) => `in (${n})`, 11],
  [
    'by the position are planned anew',
    'range (position)',
    (n: number) => `from (${n * 100}) to (${n * 100 + 100})`,
    0,
  ],
] as const)('the pages of a table that is parted %s', async (_, by, bounds, executed) => {
  const events = await partitioned(by, bounds)
  const pool = onePool()
  const load = await partedPagesOn(pool, events)
  for (let n = 0; n < 12; n++) expect(await load(3900n, 3890n)).toHaveLength(10)
  const page = stepOf(await keptOn(pool), PAGE)
  expect(page === undefined ? 0 : Number(page.generic_plans)).toBe(executed)
  expect(page?.custom_plans ?? '0').toBe('0')
})

test('the pages of a table whose partitions have partitions are planned anew', async () => {
  const events = await db.events(`${PARTED} list (tenant);
    create table events_0 partition of events for values in (0) partition by hash (position);
    create table events_0_0 partition of events_0 for values with (modulus 1, remainder 0)`)
  await events.append(3)
  const pool = onePool()
  const load = await partedPagesOn(pool, events)
  for (let n = 0; n < 3; n++) expect(await load(3n)).toEqual([1n, 2n, 3n])
  expect(stepOf(await keptOn(pool), PAGE)).toBeUndefined()
})

test('a page of a table that is parted by the position is read while an old partition is locked', async () => {
  const events = await partitioned('range (position)', (n) => `from (${n * 100}) to (${n * 100 + 100})`)
  const load = await partedPagesOn(onePool(), events)
  const old = await db.session()
  await old.query(`begin; lock table ${events.name}_0 in access exclusive mode`)
  for (let n = 0; n < 12; n++) expect(await load(3900n, 3890n)).toHaveLength(10)
  await old.query('rollback')
})

const PARTED_WITH_REST = `${PARTED} list (tenant); create table events_rest partition of events default`

/** The row of that tenant is moved from the default partition to one of its own. */
const moved = (
  tenant: number,
) => `create table events_${tenant} (like events including all excluding identity);
  with moved as (delete from events_rest where tenant = ${tenant} returning *) insert into events_${tenant} select * from moved;
  alter table events attach partition events_${tenant} for values in (${tenant})`

const upTo = (last: number) => Array.from({ length: last }, (_, n) => BigInt(n + 1))

test('a page whose kept plan is executed while a partition is attached is read again, on another connection', async () => {
  const events = await db.events(PARTED_WITH_REST)
  await events.run('insert into events (tenant) values (0), (7), (0)')
  let attaches = false
  const pool = onePool()
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<QueryResult>
    Object.assign(client, {
      query: async (text: string, values?: unknown[]) => {
        // The limits, the lock of the table, and which partitions there are.
        const begun = attaches && text.match(/^.*?(execute [^;]*;+\s*){3}/s)?.[0]
        if (!begun) return await query(text, values)
        attaches = false
        const first = await query(begun)
        await events.run(moved(7))
        return [first, await query(text.slice(begun.length))].flat()
      },
    })
  })
  const load = await partedPagesOn(pool, events)
  const kept = async () => {
    const client = await pool.connect()
    const found = await keptOn(client)
    client.release()
    return found
  }
  for (let n = 0; n < 3; n++) expect(await load(3n)).toEqual(upTo(3))
  expect(stepOf(await kept(), PAGE)).toBeDefined()
  attaches = true
  expect(await load(3n)).toEqual(upTo(3))
  expect(attaches).toBe(false)
  expect(await kept()).toEqual([])
})

test('a backend that is not known is compared before it has looked at any partition', async () => {
  const events = await db.events(PARTED_WITH_REST)
  await events.run('insert into events (tenant) values (0), (7)')
  const pool = db.newPool({ max: 1, idleTimeoutMillis: 1 })
  const load = await partedPagesOn(pool, events)
  await eventually(() => pool.totalCount).toBe(0)
  const sent: string[] = []
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as (...args: unknown[]) => unknown
    Object.assign(client, {
      query: (...args: unknown[]) => {
        sent.push(String(args[0]))
        return query(...args)
      },
    })
  })
  const blocker = await db.session()
  await blocker.query(`begin; lock table ${events.name}_rest in access exclusive mode`)
  const page = load(2n)
  // It is known, and waits for that partition alone.
  await eventually(() => sent.filter((text) => text.includes('fetch first')).length).toBe(2)
  expect(sent.some((text) => text.includes('as "inRecovery"'))).toBe(true)
  await blocker.query('rollback')
  expect(await page).toEqual(upTo(2))
})

/** Of so many moves, some fall on each statement of a page. */
test('pages whose plans are kept miss no row, while partitions are attached that rows of the default one were moved to', async () => {
  const events = await db.events(PARTED_WITH_REST)
  await events.run('insert into events (tenant) values (0)')
  let last = 1
  let isOver = false
  let pages = 0
  let executed = 0
  const read = async () => {
    const pool = onePool()
    const load = await partedPagesOn(pool, events)
    while (!isOver) {
      const expected = upTo(last)
      const positions = await load(BigInt(expected.length)).catch((error: unknown) => {
        // A partition was attached at each of its looks: a daemon asks again.
        if (!(error instanceof PartitionsChangedError)) throw error
      })
      if (positions === undefined) continue
      expect(positions).toEqual(expected)
      pages++
      executed = Math.max(executed, Number(stepOf(await keptOn(pool), PAGE)?.generic_plans ?? 0))
    }
  }
  const reading = Promise.all([read(), read()]).finally(() => {
    isOver = true
  })
  for (let tenant = 1; tenant <= 60 && !isOver; tenant++) {
    await events.run(`insert into events (tenant) values (${tenant})`)
    last++
    const before = pages
    await events.run(moved(tenant))
    await eventually(() => isOver || pages > before).toBe(true)
  }
  isOver = true
  await reading
  expect(executed).toBeGreaterThan(1)
})

test('a look of a watch is prepared too, and its plan reads a table of any size by its index', async () => {
  const events = await db.events()
  await events.run(`insert into events (type) select 'some' from generate_series(1, 20000);
    create table checkpoints (name text primary key, position bigint); insert into checkpoints values ('loop', 20000)`)
  await db.pool.query(`vacuum analyze ${events.name}`)
  const writer = await db.session()
  await writer.query(`begin; insert into ${events.name} (type) values ('held')`)
  const pool = onePool()
  const watch = createWatch({
    source: watchedPostgresEvents({ pool, table: events.name, eventType: 'type' }),
    consumers: postgresConsumers({
      pool: db.pool,
      table: `${events.schema}.checkpoints`,
      consumer: 'name',
      checkpoint: 'position',
      eventTypes: { loop: 'all' },
    }),
  })
  await watch.start()
  await events.append()
  await eventually(async () => stepOf(await keptOn(pool), RUNS_OF_LOOK)).toBeDefined()
  // Not stopped yet: a look that is cut off takes its connection along.
  const name = stepOf(await keptOn(pool), RUNS_OF_LOOK)?.name
  const ranges = "('{20001}'::bigint[], '{20001}'::bigint[], 20002, 40002)"
  const answers = (await pool.query(
    `begin; ${PLANNED_SO} explain (format json) execute ${name}${ranges}; rollback`,
  )) as unknown as { rows: { 'QUERY PLAN': [{ Plan: Plan }] }[] }[]
  const plan = answers.at(-2)?.rows[0]?.['QUERY PLAN'][0].Plan
  expect(plan && scansOf(plan)).toEqual(['Index Scan', 'Index Scan'])
  await watch.stop()
  await writer.query('rollback')
})

test('a column that is added shows in the next page', async () => {
  const events = await db.events()
  await events.append(2)
  const pool = onePool()
  const load = await pagesOn(pool, events)
  for (let n = 0; n < 3; n++) await load(0n, 2n)
  await events.run("alter table events add column city text default 'Oslo'")
  expect((await load(0n, 2n)).events).toMatchObject([{ city: 'Oslo' }, { city: 'Oslo' }])
})

test.skipIf(Number(process.env.TIDEMARK_POSTGRES_MAJOR) < 18)(
  'the last number is read under no lock that outlasts the read: it needs no transaction of its own',
  async () => {
    const events = await db.events('create sequence numbers')
    const session = await db.session()
    await session.query(`begin; select * from pg_get_sequence_data('${events.schema}.numbers'::regclass)`)
    const { rowCount } = await session.query(
      `select from pg_locks where relation = '${events.schema}.numbers'::regclass`,
    )
    expect(rowCount).toBe(0)
    await session.query('rollback')
  },
)
