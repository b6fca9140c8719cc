import { createHighWaterAgent, createWatch } from '@tidemark/core'
import {
  type CommandedEvent,
  commanded,
  commandedEvents,
  PostgresConditionError,
  postgresCheckpoints,
  postgresConsumers,
} from '@tidemark/pg-adapter'
import { Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { asRole, eventually, fileDatabase, startDaemon } from '../support/event-table.ts'

const db = fileDatabase()

/** As `lib/event_store/sql/init.ex` of EventStore 1.4 makes them, without its triggers. */
const TABLES = `
  create table streams (
    stream_id bigserial primary key not null, stream_uuid text not null, stream_version bigint default 0 not null,
    created_at timestamp with time zone default now() not null, deleted_at timestamp with time zone
  );
  create unique index ix_streams_stream_uuid on streams (stream_uuid);
  create table events (
    event_id uuid primary key not null, event_type text not null, causation_id uuid null, correlation_id uuid null,
    data bytea not null, metadata bytea null, created_at timestamp with time zone default now() not null
  );
  create table stream_events (
    event_id uuid not null references events (event_id), stream_id bigint not null references streams (stream_id),
    stream_version bigint not null, original_stream_id bigint references streams (stream_id), original_stream_version bigint,
    primary key (event_id, stream_id)
  );
  create unique index ix_stream_events on stream_events (stream_id, stream_version);
  insert into streams (stream_id, stream_uuid, stream_version) values (0, '$all', 0);
  create table subscriptions (
    subscription_id bigserial primary key not null, stream_uuid text not null, subscription_name text not null,
    last_seen bigint null, created_at timestamp with time zone default now() not null
  );
  create unique index ix_subscriptions_stream_uuid_subscription_name on subscriptions (stream_uuid, subscription_name)`

/** As `insert_events.sql.eex` appends to a new stream: `$1` is the stream, `$2` how many events, `$3` their type. */
const APPEND = `
  with new_events as (select gen_random_uuid() as event_id, index from generate_series(1, $2::int) index),
  events as (insert into events (event_id, event_type, data) select event_id, $3, '' from new_events),
  stream as (insert into streams (stream_uuid, stream_version) values ($1, $2::bigint) returning stream_id),
  source as (
    insert into stream_events (event_id, stream_id, stream_version, original_stream_id, original_stream_version)
    select event_id, stream_id, index, stream_id, index from new_events, stream
  ),
  linked as (
    update streams set stream_version = stream_version + $2::bigint where stream_id = 0
    returning stream_version - $2::bigint as initial
  )
  insert into stream_events (event_id, stream_id, stream_version, original_stream_id, original_stream_version)
  select event_id, 0, initial + index, stream_id, index from new_events, linked, stream`

async function eventStore() {
  const { schema, run } = await db.events(TABLES)
  const session = async () => {
    const client = await db.session()
    await client.query(`set search_path = ${schema}`)
    return client
  }
  const client = await session()
  let streams = 0
  const append = (count = 1, type = 'Happened', by = client) =>
    by.query(APPEND, [`stream-${++streams}`, count, type])
  return { schema, run, session, append, source: commandedEvents({ pool: db.pool, schema }) }
}

/** A daemon that writes down what it is given. */
async function projecting({ schema, source }: Awaited<ReturnType<typeof eventStore>>, eventTypes?: string[]) {
  const handled: CommandedEvent[] = []
  const daemon = await startDaemon({
    source,
    checkpoints: postgresCheckpoints({ pool: db.pool, schema: `${schema}_tidemark` }),
    projections: [
      {
        name: 'orders',
        ...(eventTypes === undefined ? {} : { eventTypes }),
        handle: async (events) => void handled.push(...events),
      },
    ],
  })
  return { daemon, handled }
}

test('the program of the page projects every event once, in order, beside writers that roll back', async () => {
  const store = await eventStore()
  const { daemon, handled } = await projecting(store)
  await Promise.all(
    [1, 2, 3, 4].map(async (writer) => {
      const client = await store.session()
      for (let n = 1; n <= 8; n++) {
        await client.query('begin')
        await store.append(n % 3 === 0 ? 2 : 1, `By${writer}`, client)
        await client.query(n % 4 === 0 ? 'rollback' : 'commit')
      }
    }),
  )
  await daemon.waitUntilProjected()
  const positions = handled.map(({ position }) => position)
  expect(positions).toEqual(Array.from({ length: 32 }, (_, index) => BigInt(index + 1)))
  expect(handled.at(-1)).toMatchObject({
    stream_version: expect.any(String),
    stream_uuid: expect.stringContaining('stream-'),
  })
  await store.append()
  await daemon.waitUntilProjected()
  expect(handled).toHaveLength(33)
})

test('it hands out the types that are asked for, also past many others, and passes what was deleted', async () => {
  const store = await eventStore()
  await store.append(12_000, 'Other')
  await store.append(1, 'OrderPlaced')
  await store.append(3, 'Other')
  await store.run(
    'delete from stream_events where stream_id = 0 and (stream_version < 9000 or stream_version = 12004)',
  )
  const { daemon, handled } = await projecting(store, ['OrderPlaced'])
  await daemon.waitUntilProjected()
  expect(handled.map(({ position, event_type }) => [position, event_type])).toEqual([
    [12_001n, 'OrderPlaced'],
  ])
  await store.append(1, 'OrderPlaced')
  await daemon.waitUntilProjected()
  expect(handled.map(({ position }) => position)).toEqual([12_001n, 12_005n])
})

test('the mark stays where it was when the last events are deleted', async () => {
  const store = await eventStore()
  await store.append(5)
  const agent = createHighWaterAgent({ source: store.source, pollIntervalMs: 20 })
  onTestFinished(() => agent.stop())
  await agent.start()
  await eventually(() => agent.mark).toBe(5n)
  await store.run('delete from stream_events where stream_id = 0 and stream_version > 3')
  await store.append(1)
  await eventually(() => agent.mark).toBe(6n)
  await store.run('delete from stream_events where stream_id = 0 and stream_version > 3')
  const { lastPollAtMs = 0 } = agent.status()
  await eventually(() => agent.status().lastPollAtMs).toBeGreaterThan(lastPollAtMs + 100)
  expect(agent.mark).toBe(6n)
})

test('a store that was reset behind a checkpoint halts the daemon', async () => {
  const store = await eventStore()
  await store.append(5)
  const { daemon } = await projecting(store)
  await daemon.waitUntilProjected()
  await store.run(`truncate subscriptions, stream_events, streams, events restart identity;
    insert into streams (stream_id, stream_uuid, stream_version) values (0, '$all', 0)`)
  await eventually(() => daemon.status().highWater.state).toBe('halted')
  expect(String(daemon.status().highWater.error)).toContain('stands at 5')
})

test('the watch shows the subscriptions of $all with their exact lag, and never accuses one', async () => {
  const store = await eventStore()
  await store.append(4)
  await store.run(`insert into subscriptions (stream_uuid, subscription_name, last_seen) values
    ('$all', 'orders', 3), ('stream-1', 'orders', 2), ('$all', 'new', null)`)
  const { pool } = db
  const watch = createWatch({
    source: store.source,
    consumers: postgresConsumers({ pool, ...commanded({ schema: store.schema }).consumers }),
  })
  onTestFinished(() => watch.stop())
  await watch.start()
  const slow = await store.session()
  await slow.query('begin')
  await store.append(2, 'Slow', slow)
  const waiting = store.append(1)
  await eventually(() => watch.status().consumers).toMatchObject([
    { consumer: 'subscriptions.$all:orders', checkpoint: '3', lagPositions: 1n, exposedPositions: 0n },
    { consumer: 'subscriptions.$all:new', isUnderstood: false },
  ])
  await slow.query('commit')
  await waiting
  await store.run(`update subscriptions set last_seen = 7 where stream_uuid = '$all'`)
  await eventually(() => watch.status().consumers[0]).toMatchObject({
    lagPositions: 0n,
    exposedPositions: 0n,
  })
  expect(watch.lost()).toEqual([])
})

async function refused(pool: Pool, schema: string): Promise<PostgresConditionError> {
  const agent = createHighWaterAgent({ source: commandedEvents({ pool, schema }) })
  onTestFinished(() => agent.stop())
  const error: unknown = await agent.start().catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(PostgresConditionError)
  return error as PostgresConditionError
}

test('it refuses a schema without these tables, one without $all, and a role that may not read them', async () => {
  const { schema, run } = await eventStore()
  expect(await refused(db.pool, 'nowhere')).toMatchObject({ condition: 'table_exists' })
  const role = await db.role(
    `grant usage on schema ${schema} to :role; grant select on ${schema}.streams to :role`,
  )
  const pool = new Pool(asRole(db.url, role))
  onTestFinished(() => pool.end())
  expect(await refused(pool, schema)).toMatchObject({ condition: 'table_privilege' })
  await run(
    `grant select on all tables in schema ${schema} to ${role}; alter table events enable row level security`,
  )
  expect(await refused(pool, schema)).toMatchObject({ condition: 'row_security' })
  await run('delete from streams')
  const { condition, message } = await refused(db.pool, schema)
  expect(condition).toBe('table_exists')
  expect(message).toContain('no row of the stream $all')
})

test('a page from which rows are hidden since the newest poll is refused', async () => {
  const { schema, run, append } = await eventStore()
  await append(3)
  const role = await db.role(
    `grant usage on schema ${schema} to :role; grant select on all tables in schema ${schema} to :role`,
  )
  const pool = new Pool(asRole(db.url, role))
  onTestFinished(() => pool.end())
  const source = commandedEvents({ pool, schema })
  const { signal } = new AbortController()
  const opened = await source.open({ signal })
  const evidence = await source.readHighWater({
    previous: undefined,
    opened,
    stored: [],
    sharesLog: true,
    signal,
  })
  const load = (limit = 10) =>
    source.load({ after: undefined, upTo: 3n, limit, eventTypes: ['Happened'], evidence, signal })
  expect(await load(2)).toMatchObject({ positions: [1n, 2n], through: 2n })
  expect((await load()).positions).toEqual([1n, 2n, 3n])
  await run('alter table events enable row level security')
  await expect(load()).rejects.toMatchObject({ condition: 'row_security' })
})
