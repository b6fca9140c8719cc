import { createWatch, type Watch, type WatchOptions } from '@tidemark/core'
import {
  ConsumersUnreadableError,
  PostgresConditionError,
  type PostgresConsumersOptions,
  postgresConsumers,
  postgresEvents,
  type WatchedPostgresEventsOptions,
  watchedPostgresEvents,
} from '@tidemark/pg-adapter'
import { Pool } from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { asRole, type EventTable, eventually, fileDatabase, refusal } from '../support/event-table.ts'

const db = fileDatabase()

const CHECKPOINTS = 'create table checkpoints (name text primary key, position text)'
/** As Emmett's: the position may be NULL, and nothing is led by it. */
const BARE = `
  create sequence events_position;
  create table events (
    position bigint default nextval('events_position'), type text not null default 'happened',
    transaction_id xid8 not null default pg_current_xact_id(), partition text not null default 'a', stream text
  ) partition by list (partition);
  create table events_a partition of events for values in ('a');
  create table events_b partition of events for values in ('b')`

interface Rig {
  readonly events: EventTable
  readonly watch: Watch
  /** Resolves after two more looks: the second one began after this call. */
  looks(): Promise<void>
  /** Sets the checkpoint of `loop`, and waits until it was seen. */
  moveTo(checkpoint: bigint | string): Promise<void>
}

async function rig(
  ddl: string | undefined,
  {
    source = {},
    consumers = {},
    first = '0',
    ...options
  }: {
    readonly source?: Partial<WatchedPostgresEventsOptions>
    readonly consumers?: Partial<PostgresConsumersOptions>
    readonly first?: string
  } & Partial<Omit<WatchOptions, 'source' | 'consumers'>> = {},
): Promise<Rig> {
  const events = await db.events(ddl)
  await events.run(CHECKPOINTS)
  const { pool } = db
  const table = `${events.schema}.checkpoints`
  await pool.query(`insert into ${table} values ('loop', $1)`, [first])
  const watch = createWatch({
    source: watchedPostgresEvents({ pool, table: events.name, eventType: 'type', ...source }),
    consumers: postgresConsumers({
      pool,
      table,
      consumer: 'name',
      checkpoint: 'position',
      eventTypes: { loop: 'all' },
      name: 'test',
      ...consumers,
    }),
    ...options,
  })
  onTestFinished(() => watch.stop())
  await watch.start()
  const looks = async (): Promise<void> => {
    const { looks: before } = watch.status()
    await eventually(() => watch.status().looks).toBeGreaterThan(before + 1)
  }
  const moveTo = async (checkpoint: bigint | string): Promise<void> => {
    await pool.query(`update ${table} set position = $1`, [String(checkpoint)])
    await looks()
  }
  await looks()
  return { events, watch, looks, moveTo }
}

/** A transaction that has inserted an event, and is open. */
async function openEvent(events: EventTable, columns = '(type)', values = `('slow')`) {
  const session = await db.session()
  await session.query('begin')
  const { rows } = await session.query(
    `insert into ${events.name} ${columns} values ${values} returning position::text`,
  )
  return { position: BigInt(rows[0].position), end: (how: 'commit' | 'rollback') => session.query(how) }
}

const found = (watch: Watch): (string | bigint | undefined)[][] =>
  watch.lost().map(({ position, type, passedAt }) => [position, type, passedAt])

describe.each([
  ['a table with an index', undefined],
  ["a table whose position may be NULL, without an index, as Emmett's", BARE],
])('%s', (_, ddl) => {
  test('tells of an event that became visible behind a checkpoint, and of none that was rolled back', async () => {
    const { events, watch, looks, moveTo } = await rig(ddl)
    const slow = await openEvent(events)
    const undone = await openEvent(events)
    const first = await events.append()
    await moveTo(first)
    const second = await events.append()
    await moveTo(second)
    await eventually(() => watch.status().consumers[0]?.exposedPositions).toBe(2n)
    await slow.end('commit')
    await undone.end('rollback')
    await eventually(() => found(watch)).toEqual([[slow.position, 'slow', String(second)]])
    await looks()
    await eventually(() => watch.status().consumers).toMatchObject([
      { consumer: 'test.loop', exposedPositions: 0n, lagPositions: 0n, lost: 1, cannotTell: {} },
    ])
  })
})

test('rows that are updated or moved to another partition are not late', async () => {
  const { events, watch, looks, moveTo } = await rig(BARE)
  const held = await openEvent(events)
  const last = await events.append(5)
  await moveTo(last)
  await db.pool.query(`update ${events.name} set stream = 'x'`)
  await looks()
  await db.pool.query(`update ${events.name} set partition = 'b'`)
  await looks()
  await moveTo(await events.append())
  await db.pool.query(`delete from ${events.name} where position < $1`, [String(last)])
  await looks()
  await held.end('rollback')
  await moveTo(await events.append())
  await looks()
  expect(watch.lost()).toEqual([])
  expect(watch.status().consumers).toMatchObject([{ cannotTell: {} }])
})

test('events of another partition than the consumers read, placeholders and rows without a number are not lost', async () => {
  const { events, watch, looks, moveTo } = await rig(BARE, { source: { where: { partition: 'a' } } })
  const other = await openEvent(events, '(partition)', `('b')`)
  const filler = await openEvent(events, '(type)', `('tombstone')`)
  const mine = await openEvent(events)
  const numberless = await db.session()
  await numberless.query(`begin; insert into ${events.name} (position) values (null)`)
  await moveTo(await events.append())
  await moveTo(await events.append())
  await Promise.all([other.end('commit'), filler.end('commit'), numberless.query('commit')])
  await looks()
  await mine.end('commit')
  await eventually(() => found(watch).map(([position]) => position)).toEqual([mine.position])
})

test('a pair of transaction and position is compared as a pair, and a change between the two kinds is no evidence', async () => {
  const { events, watch, looks, moveTo } = await rig(BARE, {
    source: { transaction: 'transaction_id' },
    first: '00000000000000000000:0000000000000000000',
  })
  const transactionOf = async (position: bigint): Promise<string> => {
    const { rows } = await db.pool.query(
      `select transaction_id::text as id from ${events.name} where position = $1`,
      [String(position)],
    )
    return String(rows[0].id).padStart(20, '0')
  }
  const pair = async (position: bigint): Promise<string> =>
    `${await transactionOf(position)}:${String(position).padStart(19, '0')}`
  // A number below that belongs to a later transaction: its pair is above the checkpoint.
  const taker = await db.session()
  const { rows } = await taker.query(`select nextval('${events.schema}.events_position')::text as taken`)
  const first = await events.append()
  const second = await events.append()
  await moveTo(await pair(first))
  await moveTo(await pair(second))
  await taker.query(`insert into ${events.name} (position) values ($1)`, [rows[0].taken])
  await looks()
  expect(watch.lost()).toEqual([])
  // A transaction that is older: its pair is passed.
  const older = await openEvent(events)
  const third = await events.append()
  await moveTo(await pair(third))
  await moveTo(await pair(await events.append()))
  await older.end('commit')
  await eventually(() => watch.lost().map(({ position }) => position)).toEqual([older.position])
  const changed = await openEvent(events)
  await moveTo(await pair(await events.append()))
  await moveTo(String(await events.append()).padStart(19, '0'))
  await changed.end('commit')
  await moveTo(String(await events.append()).padStart(19, '0'))
  await looks()
  expect(watch.lost()).toHaveLength(1)
  expect(watch.status().consumers).toMatchObject([{ cannotTell: { changed_kind: 1 } }])
})

test('a checkpoint that keeps gaps has not passed them until it drops them', async () => {
  const { events, watch, looks, moveTo } = await rig(undefined, { first: '{"index":0,"gaps":[]}' })
  const kept = await openEvent(events)
  const dropped = await openEvent(events)
  const token = async (index: bigint, ...gaps: bigint[]): Promise<void> =>
    moveTo(`{"index":${index},"gaps":[${gaps.join(',')}]}`)
  await token(await events.append(), kept.position, dropped.position)
  await token(await events.append(), kept.position)
  await token(await events.append(), kept.position)
  await kept.end('commit')
  await looks()
  await dropped.end('commit')
  await eventually(() => watch.lost().map(({ position }) => position)).toEqual([dropped.position])
})

test('lag is told in seconds, by the types that the consumer handles', async () => {
  const { events, watch, moveTo } = await rig(
    `create table events (position bigserial primary key, type text not null default 'happened',
      appended_at timestamptz not null default clock_timestamp())`,
    { source: { appendedAt: 'appended_at' }, consumers: { eventTypes: { loop: ['happened'] } } },
  )
  await db.pool.query(`insert into ${events.name} (type, appended_at) values ('else', now() - interval '1 day'),
    ('happened', now() - interval '1 hour'), ('else', now() - interval '1 day')`)
  const lag = (): number | undefined => watch.status().consumers[0]?.lagMs
  await eventually(() => Math.round((lag() ?? 0) / 60_000)).toBe(60)
  await moveTo(2n)
  await eventually(() => watch.status().consumers).toMatchObject([{ lagMs: 0, lagPositions: 1n }])
})

test.each([
  ['a column of texts', 'text', 'traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'],
  [
    'a key of JSON',
    'jsonb',
    { column: 'traceparent', key: 'trace' },
    '{"trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}',
  ],
  [
    'two keys of JSON',
    'json',
    { column: 'traceparent', traceId: 'traceId', spanId: 'spanId' },
    '{"spanId": "00f067aa0ba902b7", "traceId": "4bf92f3577b34da6a3ce929d0e0e4736"}',
  ],
] as const)('the trace that appended a lost event is read from %s', async (_, type, traceContext, value) => {
  const { events, watch, moveTo } = await rig(
    `create table events (position bigserial primary key, type text not null default 'happened', traceparent ${type})`,
    { source: { traceContext } },
  )
  const traced = await openEvent(events, '(traceparent)', `('${value}')`)
  const untraced = await openEvent(events, '(traceparent)', '(null)')
  await moveTo(await events.append())
  await moveTo(await events.append())
  await traced.end('commit')
  await untraced.end('commit')
  await eventually(() =>
    watch
      .lost()
      .map(({ traceparent }) => traceparent)
      .toSorted(),
  ).toEqual(['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', undefined])
})

test('a column that does not exist is named with its option', async () => {
  const events = await db.events()
  await events.run(CHECKPOINTS)
  const { pool } = db
  for (const option of ['traceContext', 'appendedAt', 'transaction']) {
    const watch = createWatch({
      source: watchedPostgresEvents({ pool, table: events.name, [option]: 'nowhere' }),
      consumers: postgresConsumers({
        pool,
        table: `${events.schema}.checkpoints`,
        consumer: 'name',
        checkpoint: 'position',
      }),
    })
    onTestFinished(() => watch.stop())
    await expect(watch.start()).rejects.toThrow(option)
  }
})

test('it needs no right but SELECT on the columns that it names, the sequence and the checkpoints', async () => {
  const events = await db.events()
  await events.run(CHECKPOINTS)
  const { schema } = events
  const role = await db.role(`grant usage on schema ${schema} to :role;
    grant select (position, type) on ${events.name} to :role;
    grant select on sequence ${schema}.events_position_seq to :role;
    grant select (name, position) on ${schema}.checkpoints to :role`)
  const pool = new Pool(asRole(db.url, role))
  onTestFinished(() => pool.end())
  const watch = createWatch({
    source: watchedPostgresEvents({ pool, table: events.name, eventType: 'type' }),
    consumers: postgresConsumers({
      pool,
      table: `${schema}.checkpoints`,
      consumer: 'name',
      checkpoint: 'position',
    }),
  })
  onTestFinished(() => watch.stop())
  await watch.start()
  await eventually(() => watch.status()).toMatchObject({ state: 'watching', error: undefined })
  await eventually(() => watch.status().looks).toBeGreaterThan(2)
})

test('the start fails where the checkpoints are not as named, and where a condition of the proof is violated', async () => {
  const events = await db.events()
  const { pool } = db
  const start = (source: string, table: string): Promise<void> => {
    const watch = createWatch({
      source: watchedPostgresEvents({ pool, table: source }),
      consumers: postgresConsumers({ pool, table, consumer: 'name', checkpoint: 'position' }),
    })
    onTestFinished(() => watch.stop())
    return watch.start()
  }
  await expect(start(events.name, 'nowhere')).rejects.toBeInstanceOf(ConsumersUnreadableError)
  await events.run(CHECKPOINTS)
  await events.run('alter sequence events_position_seq cache 10')
  await expect(start(events.name, `${events.schema}.checkpoints`)).rejects.toBeInstanceOf(
    PostgresConditionError,
  )
})

test('what may be watched is still refused to a daemon', async () => {
  const events = await db.events(BARE)
  expect((await refusal({ pool: db.pool, table: events.name })).condition).toBe('position_column')
  expect(postgresEvents({ pool: db.pool, table: events.name })).not.toHaveProperty('watched')
})
