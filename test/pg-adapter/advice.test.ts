import { createDaemon } from '@tidemark/core'
import { PostgresConditionError, type PostgresEventsOptions, postgresEvents } from '@tidemark/pg-adapter'
import { expect, onTestFinished, test } from 'vitest'
import { checkpointsBeside, type EventTable, fileDatabase } from '../support/event-table.ts'

const db = fileDatabase()

interface Case {
  readonly ddl: string
  readonly options?: Partial<PostgresEventsOptions>
  /** How the application appends, before and after. */
  readonly append: string
  /** Where all advice, followed to the letter, ends. */
  readonly ends: 'it runs' | RegExp
}

const DEFAULT = 'insert into events default values'
const MESSAGES = `create table events (global_position bigserial primary key, position bigint not null,
    stream_name text not null, unique (stream_name, position));
  insert into events (position, stream_name) select n % 10, 'account-' || n / 10 from generate_series(0, 99) n`
const MESSAGE = `insert into events (position, stream_name)
  select count(*), 'account-new' from events where stream_name = 'account-new'`
const STALE = { highWater: { mode: 'stale-threshold', thresholdMs: 20_000 } } as const
const OTHER_DEFAULT = `create sequence numbers; create sequence others start 100;
  create table events (position bigint primary key default nextval('numbers')) partition by range (position);
  create table events_1 partition of events for values from (1) to (100000);
  alter table events_1 alter position set default nextval('others')`

const cases: Record<string, Case> = {
  "message-db's table, where `position` is a stream's own": {
    ddl: MESSAGES,
    append: MESSAGE,
    ends: 'it runs',
  },
  "message-db's table in stale-threshold mode": {
    ddl: MESSAGES,
    append: MESSAGE,
    options: STALE,
    ends: 'it runs',
  },
  "a stream's own position beside no sequence, in proof mode": {
    ddl: 'create table events (stream text, position bigint not null, primary key (stream, position))',
    append: "insert into events select 'new', count(*) from events where stream = 'new'",
    ends: /neither a default nor an identity, and no column/,
  },
  "a stream's own position beside no sequence, in stale-threshold mode": {
    ddl: `create table events (stream text, position bigint not null, primary key (stream, position));
      insert into events values ('a', 0), ('b', 0)`,
    append: "insert into events select 'new', count(*) from events where stream = 'new'",
    options: STALE,
    ends: /could not create unique index/,
  },
  "Marten's table in append mode Quick": {
    ddl: `create sequence mt_events_sequence;
      create table events (seq_id bigint not null primary key, type text);
      alter sequence mt_events_sequence owned by events.seq_id`,
    options: { position: 'seq_id' },
    append: "insert into events (seq_id) values (nextval('mt_events_sequence'))",
    ends: 'it runs',
  },
  "Marten's table with a partition a tenant, each numbered by itself": {
    ddl: `create sequence mt_events_sequence; create sequence mt_events_sequence_a; create sequence mt_events_sequence_b;
      create table mt_events (seq_id bigint not null default nextval('mt_events_sequence'), tenant_id text,
        primary key (seq_id, tenant_id)) partition by list (tenant_id);
      create table mt_events_a partition of mt_events for values in ('a');
      create table mt_events_b partition of mt_events for values in ('b');
      select setval('mt_events_sequence', 1000)`,
    options: { table: 'mt_events', position: 'seq_id' },
    append: "insert into mt_events values (nextval('mt_events_sequence_a'), 'a')",
    // A writer of today fails, visibly, before anything is lost.
    ends: /relation "mt_events_sequence_a" does not exist/,
  },
  'a table whose position has another name': {
    ddl: 'create table events (id bigserial primary key)',
    append: DEFAULT,
    ends: 'it runs',
  },
  'a position that is no integer, and nothing else': {
    ddl: 'create table events (position numeric primary key)',
    append: 'insert into events select count(*) from events',
    ends: /of type numeric/,
  },
  'a position that may be NULL and leads no index': {
    ddl: "create sequence numbers; create table events (position bigint default nextval('numbers'))",
    append: DEFAULT,
    ends: 'it runs',
  },
  'a cache': {
    ddl: 'create table events (position bigint generated always as identity (cache 20) primary key)',
    append: DEFAULT,
    ends: 'it runs',
  },
  'an increment, a cycle': {
    ddl: 'create table events (position bigint generated always as identity (increment 50 cycle) primary key)',
    append: DEFAULT,
    ends: 'it runs',
  },
  'an unlogged table': {
    ddl: 'create unlogged table events (position bigserial primary key)',
    append: DEFAULT,
    ends: 'it runs',
  },
  'a default that computes': {
    ddl: `create sequence numbers;
      create table events (position bigint primary key default nextval('numbers') - 1)`,
    append: DEFAULT,
    ends: 'it runs',
  },
  'a partition that is numbered by another sequence': {
    ddl: OTHER_DEFAULT,
    append: DEFAULT,
    ends: 'it runs',
  },
  'a partition that is numbered by another sequence, in stale-threshold mode': {
    ddl: OTHER_DEFAULT.replace('primary key default', 'not null default').replace(
      'partition by range (position)',
      'partition by range (position); create index on events (position)',
    ),
    append: DEFAULT,
    options: STALE,
    ends: 'it runs',
  },
  'a partition without a default, which owns a sequence': {
    ddl: `create sequence numbers start 1000;
      create table events (position bigint primary key default nextval('numbers')) partition by range (position);
      create table events_1 (position bigserial primary key);
      alter table events_1 alter position drop default;
      alter table events attach partition events_1 for values from (1) to (100000)`,
    append: DEFAULT,
    ends: 'it runs',
  },
  'an inheriting table with an identity of its own': {
    ddl: `create sequence numbers;
      create table events (position bigint primary key default nextval('numbers'));
      create table events_1 () inherits (events);
      alter table events_1 alter position drop default, alter position add generated always as identity`,
    append: 'insert into events_1 default values',
    ends: 'it runs',
  },
}

const STATEMENTS = /(?<=^ {2}).+;$/gm
const COSTS = /stale-threshold' \} passes a gap .* handled late where onLateEvent is set$/
const MOST_ADVICES = 6

/** Does what each error says, one after the other, until the daemon runs or nothing is left to do. */
async function followAdvice(events: EventTable, given: Partial<PostgresEventsOptions>) {
  let options: PostgresEventsOptions = {
    pool: db.pool,
    ...given,
    table: `${events.schema}.${given.table ?? 'events'}`,
  }
  for (let advices = 0; advices < MOST_ADVICES; advices++) {
    const handled: bigint[] = []
    const position = options.position ?? 'position'
    const daemon = createDaemon({
      source: postgresEvents(options),
      checkpoints: checkpointsBeside(events, db.pool),
      projections: [
        { name: 'all', handle: (rows) => void handled.push(...rows.map((row) => row[position] as bigint)) },
      ],
      pollIntervalMs: 50,
    })
    onTestFinished(() => daemon.stop())
    const error: unknown = await daemon.start().then(
      () => undefined,
      (reason: unknown) => reason,
    )
    if (error === undefined) return { daemon, handled, position, table: options.table }
    if (!(error instanceof PostgresConditionError)) throw error
    // The mode that loses events is the last thing that a message names, with what it costs.
    if (error.message.includes('stale-threshold')) expect(error.message).toMatch(COSTS)
    const column = error.message.match(/[Ss]et the option position: "(\w+)"/)?.[1]
    const sequence = error.message.match(/[Ss]et the option sequence: "([\w.]+)"/)?.[1]
    const statements = error.message.match(STATEMENTS) ?? []
    if (column === undefined && sequence === undefined && statements.length === 0) throw error
    if (column !== undefined) options = { ...options, position: column }
    if (sequence !== undefined) options = { ...options, sequence }
    for (const sql of statements) await db.pool.query(sql)
  }
  throw new Error('one advice led to the next')
}

test.each(Object.entries(cases))('%s: all advice that is followed ends well', async (_, { ddl, ...its }) => {
  const events = await db.events(ddl)
  const outcome = async (): Promise<string> => {
    const { daemon, handled, position, table } = await followAdvice(events, its.options ?? {})
    const slow = await db.session()
    await slow.query(`set search_path = ${events.schema}; begin; ${its.append}`)
    // Two writers of one stream wait for each other, as they do in their application.
    const quick = its.append === DEFAULT ? events.run(DEFAULT) : Promise.resolve()
    await quick
    await daemon.waitUntilProjected({ timeoutMs: 200 }).catch(() => {})
    await slow.query('commit')
    await events.run(its.append)
    await daemon.waitUntilProjected()
    const { rows } = await db.pool.query(`select ${position}::text as n from ${table} order by ${position}`)
    expect(handled).toEqual(rows.map(({ n }) => BigInt(n)))
    return 'it runs'
  }
  const ended = await outcome().catch((error: Error) => error.message)
  if (its.ends === 'it runs') expect(ended).toBe(its.ends)
  else expect(ended).toMatch(its.ends)
})

test('sessions drop the numbers that they had taken ahead when the cache is altered', async () => {
  const events = await db.events(
    'create table events (position bigint generated always as identity (cache 20) primary key)',
  )
  const session = await db.session()
  const take = async () =>
    Number(
      (await session.query(`insert into ${events.name} default values returning position`)).rows[0].position,
    )
  expect([await take(), await take()]).toEqual([1, 2])
  await events.run('alter sequence events_position_seq cache 1')
  expect([await take(), await take()]).toEqual([21, 22])
})
