import { createServer } from 'node:net'
import {
  type DiagnoseOptions,
  type Diagnosis,
  diagnose,
  type Finding,
  formatDiagnosis,
  type PgPool,
} from '@tidemark/pg-adapter'
import { Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { testDatabase } from '../../support/database.ts'
import { asRole, fileDatabase } from '../../support/event-table.ts'

const db = fileDatabase()

/** Patient, for a busy machine; the sample is short. */
const PATIENT = { timeoutMs: 120_000, sampleMs: 20 }

interface Database {
  readonly ddl: string
  readonly options?: Omit<DiagnoseOptions, 'pool'>
  /** What is not as it should be, of tables: its code and what was found. */
  readonly says: readonly string[]
  /** What else has to be in the text. */
  readonly text?: readonly (string | RegExp)[]
}

const EVENTS = { table: 'public.events' }
const UNKNOWN_AFTER =
  'not known until the problem above is mended [sequence_shared_by_partitions, sequence_privilege, sequence_cache, '
const NO_EVENT = 'note commits_seen'

const databases: Record<string, Database> = {
  'a healthy table': {
    ddl: 'create table events (position bigint generated always as identity primary key)',
    options: EVENTS,
    says: [NO_EVENT],
    text: [
      /^No problem was found\.\nWhether a consumer has lost events is not told here/,
      'CACHE 1',
      'an index led by the position [index]',
      'bigint, NOT NULL',
      '[pg_locks]',
      ', so nothing was seen of how they commit [',
    ],
  },
  'a sequence with CACHE, INCREMENT and CYCLE, each told with its statement': {
    ddl: 'create table events (position bigint generated always as identity (cache 20 increment 50 cycle) primary key)',
    options: EVENTS,
    says: ['problem sequence_cache', 'problem sequence_increment', 'problem sequence_cycle', NO_EVENT],
    text: ['CACHE 20', 'CACHE 1;', 'INCREMENT 50', 'INCREMENT 1;', 'NO CYCLE;'],
  },
  'Emmett 0.42.0: a nullable position, no index led by it': {
    ddl: `create sequence emt_global_message_position;
      create table emt_messages (stream_id text, stream_position bigint, partition text, message_type text, is_archived boolean,
        global_position bigint default nextval('emt_global_message_position'), transaction_id xid8,
        created timestamptz default now(), primary key (stream_id, stream_position, partition, is_archived))
        partition by list (partition);
      create table emt_processors (processor_id text, last_processed_checkpoint text);
      insert into emt_processors values ('orders', '0007')`,
    says: ['note store', 'note consumers', 'problem position_column', 'problem index', NO_EVENT],
    text: [
      /^2 problems: mend them before Tidemark runs projections here\. Your own programs run on as before\./,
      'emmett, version 0.42.0 to 0.42.3',
      'diagnose({ pool, preset: emmett() })',
      'checkpoints of consumers: 1',
      'SET NOT NULL;\n  (it reads the whole table, and appends wait until it has ended)',
      /CREATE INDEX ON .*;\n {2}\(appends wait/,
      'may be NULL',
    ],
  },
  'Emmett 0.43: told by its indexes': {
    ddl: `create sequence emt_global_message_position;
      create table emt_messages (stream_position bigint, message_type text, transaction_id xid8, created timestamptz,
        global_position bigint default nextval('emt_global_message_position'));
      create index on emt_messages (transaction_id, global_position);
      create table emt_processors (processor_id text)`,
    says: ['note store', 'note consumers', 'problem position_column', 'problem index', NO_EVENT],
    text: ['emmett, version 0.43'],
  },
  'Marten: no default, and what depends on a sequence is not known': {
    ddl: `create sequence mt_events_sequence;
      create table mt_events (seq_id bigint primary key, stream_id uuid, version bigint, type text);
      alter sequence mt_events_sequence owned by mt_events.seq_id;
      create table mt_event_progression (name text, last_seq_id bigint)`,
    says: [
      'note store',
      'note consumers',
      'problem sequence_found',
      'unknown sequence_shared_by_partitions',
      'unknown sequence_privilege',
      'unknown sequence_cache',
      'unknown sequence_increment',
      'unknown sequence_cycle',
      NO_EVENT,
    ],
    text: ['marten, its version cannot be told', 'Quick', UNKNOWN_AFTER],
  },
  'message-db: a healthy table, whose times have no zone': {
    ddl: `create schema message_store;
      create table message_store.messages (global_position bigserial primary key, position bigint, stream_name text,
        type text, time timestamp default (now() at time zone 'utc'))`,
    says: ['note store', NO_EVENT],
    text: ['schema message_store: the tables of message-db', 'type Recorded', '[appended_at]'],
  },
  'Eventuous: a healthy table, and checkpoints of three kinds': {
    ddl: `create table messages (global_position bigint generated always as identity primary key, stream_position int,
        message_type text, json_data jsonb);
      create table checkpoints (id text, position bigint)`,
    says: ['note store', 'note consumers', NO_EVENT],
    text: ['the tables of eventuous', 'checkpoints of consumers: 0'],
  },
  'commanded: nothing of a sequence applies': {
    ddl: `create table stream_events (event_id uuid, stream_id bigint, stream_version bigint, original_stream_version bigint);
      create table subscriptions (subscription_name text, last_seen bigint)`,
    says: ['note store', 'note consumers'],
    text: ['what is visible is settled'],
  },
  'no event store that is known': {
    ddl: 'create table messages (id int)',
    says: ['problem table_exists'],
    text: ['Name it in the option table'],
  },
  'a table that is not there': {
    ddl: '',
    options: { table: 'public.eventz' },
    says: ['problem table_exists'],
    text: ['"public"."eventz": no such table [table_exists]', 'no table "public"."eventz"'],
  },
  'a view': {
    ddl: 'create table t (position bigserial primary key); create view events as select * from t',
    options: EVENTS,
    says: [
      'problem table_kind',
      ...['permanent', 'position_column', 'columns_exist', 'table_privilege', 'row_security'],
      ...['citus', 'sequence_found', 'sequence_shared_by_partitions', 'sequence_privilege'],
      ...['sequence_cache', 'sequence_increment', 'sequence_cycle', 'index'],
    ]
      .map((code) => (code.includes(' ') ? code : `unknown ${code}`))
      .concat(NO_EVENT),
    text: ['a view', 'name the table itself', /\[permanent, position_column, .*, index\]\n\nWorth/],
  },
  'an unlogged table, and events above the sequence': {
    ddl: 'create unlogged table events (position bigserial primary key); insert into events values (41)',
    options: EVENTS,
    says: ['problem permanent', 'problem explicit_positions', NO_EVENT],
    text: [
      'ALTER TABLE public.events SET LOGGED;',
      // Before Postgres 15 the sequence of an unlogged table is permanent.
      /ALTER SEQUENCE public\.events_position_seq SET LOGGED;|public\.events_position_seq permanent/,
      'greatest position 41, public.events_position_seq at 0',
      'SELECT setval(',
    ],
  },
}

/** Of the server every test database says the same. */
const ofTables = ({ findings }: Diagnosis): string[] =>
  findings
    .filter(
      ({ severity, about, code }) => severity !== 'ok' && (about !== 'server' || code === 'table_exists'),
    )
    .map(({ severity, code }) => `${severity} ${code}`)

test.each(Object.entries(databases))('%s', async (_, { ddl, options, says, text = [] }) => {
  const database = await testDatabase()
  onTestFinished(() => database.drop())
  if (ddl !== '') await database.pool.query(ddl)
  const diagnosis = await diagnose({ pool: database.pool, ...PATIENT, ...options })
  const told = formatDiagnosis(diagnosis)
  for (const part of text) expect(told).toMatch(part)
  // How a page of an empty table is read depends on what the server believes of it.
  expect(ofTables(diagnosis).filter((line) => !line.endsWith('page_plan'))).toEqual(says)
})

test('the text is the same for everybody: the worst first, each with what was found, expected and to do', async () => {
  const database = await testDatabase()
  onTestFinished(() => database.drop())
  await database.pool.query('create table events (position bigint generated always as identity (cache 20))')
  const findings = (await diagnose({ pool: database.pool, ...PATIENT, ...EVENTS })).findings.filter(
    ({ code }) =>
      ['sequence_cache', 'index', 'sequence_cycle', 'track_commit_timestamp', 'pooler'].includes(code),
  )
  expect(
    formatDiagnosis({ findings, stores: [], openTransactions: [] }),
  ).toBe(`2 problems: mend them before Tidemark runs projections here. Your own programs run on as before.
Whether a consumer has lost events is not told here: auditCommits and createWatch tell.

Problems
- "public"."events": CACHE 20 [sequence_cache]
  expected: CACHE 1
  to do: the sequence public.events_position_seq has CACHE 20: sessions take numbers ahead, outside the transaction that inserts them; run
    ALTER SEQUENCE public.events_position_seq CACHE 1;
  (sessions then drop the numbers that they had taken, which stay gaps)
- "public"."events": no index led by the position [index]
  expected: an index led by the position
  to do: "public"."events" has no index led by "position", so that every page would read the whole table; run
    CREATE INDEX CONCURRENTLY ON "public"."events" ("position");
  or set the option allowMissingIndex: true

Worth knowing
- server: track_commit_timestamp is off: how late events were committed in the past is not known [track_commit_timestamp]
  expected: on, for auditCommits
  to do: To know it from now on, run
    ALTER SYSTEM SET track_commit_timestamp = on;
  and restart the server.

As it should be
- server: no pooler between [pooler]
- "public"."events": NO CYCLE [sequence_cycle]`)
})

const findingOf = ({ findings }: Diagnosis, code: Finding['code']): Finding | undefined =>
  findings.find((finding) => finding.code === code)

test('a role without rights is told which it lacks, and what it cannot know', async () => {
  const events = await db.events(`create table events (position bigserial primary key);
    alter table events enable row level security`)
  const role = await db.role(`grant usage on schema ${events.schema} to :role`)
  const pool = db.newPool(asRole(db.url, role))
  const diagnosis = await diagnose({ pool, ...PATIENT, table: events.name })
  for (const code of ['table_privilege', 'sequence_privilege', 'row_security'] as const) {
    expect(findingOf(diagnosis, code)).toMatchObject({ severity: 'problem' })
  }
  expect(findingOf(diagnosis, 'sequence_privilege')?.toDo).toMatch('GRANT SELECT ON SEQUENCE')
  expect(findingOf(diagnosis, 'sessions_visible')?.toDo).toMatch('GRANT pg_read_all_stats')
  expect(findingOf(diagnosis, 'commits_seen')).toMatchObject({
    severity: 'unknown',
    found: expect.stringMatching(/^not known, because permission denied/),
  })
})

test('of each transaction that is open it says who waits for it, and whose events it may lose', async () => {
  const events = await db.events()
  await events.run('create table other (n int)')
  const [writer, other, reader] = [await db.session(), await db.session(), await db.session()]
  await writer.query(`set application_name = 'writer'; begin; insert into ${events.name} default values`)
  await other.query(`set application_name = 'other'; begin; insert into ${events.schema}.other values (1)`)
  await reader.query(`set application_name = 'reader'; begin isolation level repeatable read; select 1`)
  const own = ({ openTransactions }: Diagnosis) =>
    openTransactions.flatMap(({ who, holdsSequence, hasTransactionId, isIdle }) => {
      const name = who.split(' ')[1]
      return name === undefined || !['writer', 'other', 'reader'].includes(name)
        ? []
        : [[name, { holdsSequence, hasTransactionId, isIdle }]]
    })
  // They are told of once they have been open for a second.
  await expect
    .poll(
      async () => Object.fromEntries(own(await diagnose({ pool: db.pool, ...PATIENT, table: events.name }))),
      { timeout: 30_000, interval: 200 },
    )
    .toEqual({
      writer: { holdsSequence: true, hasTransactionId: true, isIdle: true },
      other: { holdsSequence: false, hasTransactionId: true, isIdle: true },
      reader: { holdsSequence: false, hasTransactionId: false, isIdle: true },
    })
  const text = formatDiagnosis(await diagnose({ pool: db.pool, ...PATIENT, table: events.name }))
  expect(text).toMatch(/writer .*: its events may still come: Tidemark waits for it/)
  expect(text).toMatch(/other .*: Tidemark does not wait for it; a reader behind xmin \(Emmett\) does/)
  expect(text).toMatch(/reader .*: neither Tidemark nor a reader behind xmin \(Emmett\) waits for it/)
  await Promise.all([writer, other, reader].map((session) => session.query('rollback')))
})

test('how a page of events is read: by an index, or a large table as a whole', async () => {
  const events = await db.events('create table events (position bigserial not null)')
  await events.run('insert into events select from generate_series(1, 20000)')
  await db.pool.query(`analyze ${events.name}`)
  const plan = async () =>
    findingOf(await diagnose({ pool: db.pool, ...PATIENT, table: events.name }), 'page_plan')
  expect(await plan()).toMatchObject({ severity: 'warning', found: 'Seq Scan of events' })
  await events.run('create index by_position on events (position)')
  expect(await plan()).toMatchObject({
    severity: 'ok',
    found: expect.stringMatching(/^Index.* by by_position$/),
  })
})

test('a pooler between is noticed: the process is not the one that the driver was told of', async () => {
  const pool = db.newPool()
  const pooled: PgPool = {
    connect: async () => {
      const client = await pool.connect()
      return {
        processID: 4711,
        query: (text: string) => client.query(text),
        release: (destroy?: boolean) => client.release(destroy),
        on: (event: 'error', listener: (error: Error) => void) => client.on(event, listener),
        removeListener: (event: 'error', listener: (error: Error) => void) =>
          client.removeListener(event, listener),
      }
    },
  }
  const found = findingOf(await diagnose({ pool: pooled, ...PATIENT, table: 'public.none' }), 'pooler')
  expect(found).toMatchObject({ severity: 'note', found: expect.stringContaining('PgBouncer') })
})

test('a server that cannot be reached, or says nothing, is a finding', async () => {
  const gone = new Pool({ connectionString: 'postgresql://postgres@127.0.0.1:1/none' })
  onTestFinished(() => gone.end())
  const diagnosis = await diagnose({ pool: gone, ...PATIENT })
  expect(formatDiagnosis(diagnosis)).toMatch(/^Nothing could be looked at\. See whether the server runs/)
  expect(diagnosis).toMatchObject({
    findings: [{ code: 'connection', severity: 'unknown', found: expect.stringContaining('ECONNREFUSED') }],
  })
  const silent = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void silent.close())
  await new Promise((resolve) => silent.once('listening', resolve))
  const address = silent.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const pool = new Pool({ connectionString: `postgresql://postgres@127.0.0.1:${port}/none` })
  pool.on('error', () => {})
  const { findings } = await diagnose({ pool, sampleMs: 10, timeoutMs: 100 })
  expect(findings).toMatchObject([{ code: 'connection', severity: 'unknown' }])
})

test('a table that somebody has locked is not waited for: what it would have told is not known', async () => {
  const events = await db.events()
  const session = await db.session()
  await session.query(`begin; lock table ${events.name} in access exclusive mode`)
  const { findings } = await diagnose({ pool: db.pool, table: events.name, sampleMs: 10, timeoutMs: 1_000 })
  expect(findings.filter(({ severity }) => severity === 'unknown').length).toBeGreaterThan(0)
  for (const { found } of findings) expect(found).not.toMatch(/\n\s+at /)
  await session.query('rollback')
})

test('its signal stops it, and a wrong option is refused', async () => {
  const stop = new AbortController()
  const reason = new Error('no longer wanted')
  stop.abort(reason)
  await expect(diagnose({ pool: db.pool, signal: stop.signal })).rejects.toBe(reason)
  await expect(diagnose({ pool: db.pool, sampleMs: 10_000 })).rejects.toThrow('timeoutMs')
})
