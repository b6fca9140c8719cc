import { marten, type Preset, postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { agentOver, eventually, fileDatabase, refusal } from '../support/event-table.ts'
import {
  type Append,
  requireTrue,
  startLoop,
  startProjection,
  startWatch,
  storedPositions,
  writeHostilely,
} from './scenario.ts'

const db = fileDatabase()

interface Shape {
  /** Beside `seq_id`, of the primary key. */
  readonly key?: string
  readonly partitions?: string
  readonly append?: string
}

/** The columns, keys and ownership of the tables of Marten 9. Its function asks the sequence itself. */
const tables = (
  schema: string,
  { key = '', partitions = '', append }: Shape = {},
) => `create schema ${schema};
  create table ${schema}.mt_streams (id uuid primary key, version bigint not null default 0);
  create table ${schema}.mt_events (
    seq_id bigint not null, id uuid not null default gen_random_uuid(), stream_id uuid not null, version bigint not null,
    data jsonb not null default '{}', type varchar(500) not null, timestamp timestamptz not null default now(),
    tenant_id varchar not null default '*DEFAULT*', mt_dotnet_type varchar, is_archived boolean not null default false,
    primary key (seq_id ${key})
  ) ${partitions};
  create sequence ${schema}.mt_events_sequence owned by ${schema}.mt_events.seq_id;
  create table ${schema}.mt_event_progression (
    name varchar primary key, last_seq_id bigint, last_updated timestamptz default now()
  );
  insert into ${schema}.mt_streams select gen_random_uuid() from generate_series(1, 20);
  insert into ${schema}.mt_event_progression values
    ('HighWaterMark', 0), ('HighWaterMark:red', 0), ('HighWaterStuckGap', 0), ('HighWaterAllocationFence', 0), ('Orders:All', 0);
  create function ${schema}.quick(tenant varchar, stream uuid, kinds varchar[]) returns void language plpgsql as $quick$
    declare kind varchar; at bigint;
    begin
      select version into at from ${schema}.mt_streams where id = stream;
      foreach kind in array kinds loop
        at := at + 1;
        insert into ${schema}.mt_events (seq_id, stream_id, version, type, tenant_id)
        values (${append ?? `nextval('${schema}.mt_events_sequence')`}, stream, at, kind, tenant);
      end loop;
      update ${schema}.mt_streams set version = at where id = stream;
    end $quick$`

const quick =
  (schema: string, tenant = '*DEFAULT*'): Append =>
  (client, nth) =>
    client.query(
      `select ${schema}.quick($1, (select id from ${schema}.mt_streams order by random() limit 1 for update skip locked), $2)`,
      [tenant, ['order_placed', 'order_paid'].slice(0, (nth % 2) + 1)],
    )

/** Of a shard that reads up to the greatest position that it sees: its checkpoint is the end of the range that it has read. */
const startShard = (schema: string) =>
  startLoop(async (handled) => {
    const { rows } = await db.pool.query(
      `select seq_id::text as position from ${schema}.mt_events
       where seq_id > (select last_seq_id from ${schema}.mt_event_progression where name = 'Orders:All') order by seq_id`,
    )
    for (const { position } of rows) handled.add(BigInt(position))
    const last = rows.at(-1)?.position
    if (last === undefined) return
    await db.pool.query(
      `update ${schema}.mt_event_progression set last_seq_id = $1 where name = 'Orders:All' or name like 'HighWater%'`,
      [last],
    )
  })

/** Takes the numbers of a batch on one connection, and returns how it is inserted on another one. */
async function takeAhead(schema: string, count: number) {
  const { rows } = await db.pool.query(
    `select nextval('${schema}.mt_events_sequence')::text as number from generate_series(1, $1)`,
    [count],
  )
  const numbers = rows.map(({ number }) => number)
  const insert = async (type: string) => {
    await db.pool.query(
      `insert into ${schema}.mt_events (seq_id, stream_id, version, type)
       select number, gen_random_uuid(), 1, $2 from unnest($1::bigint[]) number`,
      [numbers, type],
    )
  }
  return { numbers: numbers.map(BigInt), insert }
}

const consumersOf = (watch: Awaited<ReturnType<typeof startWatch>>) =>
  watch.status().consumers.map(({ consumer }) => consumer)

test('append mode Quick is proven: nothing is lost beside hostile writers, and what a shard has lost is told', async () => {
  await db.pool.query(tables('quick'))
  const preset = marten({ schema: 'quick', append: 'quick' })
  const { daemon, handled } = await startProjection(db, preset)
  const watch = await startWatch(db, preset)
  const shard = startShard('quick')
  await writeHostilely(db, quick('quick'), 1)
  await daemon.waitUntilProjected()
  await shard.stop()
  const stored = await storedPositions(db, preset.events)
  expect(handled).toEqual(stored)
  expect(daemon.status().projections[0]?.skipped).toEqual({})
  expect(consumersOf(watch)).toEqual(['quick.mt_event_progression.Orders:All'])
  expect(stored.filter((position) => !shard.handled.has(position)).length).toBeGreaterThan(0)
  await eventually(() => watch.lost().length).toBeGreaterThan(0)
  requireTrue(watch.lost(), new Map([['quick.mt_event_progression.Orders:All', shard.handled]]))
})

test('without a word about the mode nothing is called proven, and the smallest program runs', async () => {
  await db.pool.query(tables('rich'))
  const preset = marten({ schema: 'rich' })
  expect(postgresEvents({ pool: db.pool, ...preset.events })).toMatchObject({ passesUnproven: true })
  const { daemon, handled } = await startProjection(db, preset)
  const [first, second] = [await takeAhead('rich', 2), await takeAhead('rich', 1)]
  await second.insert('order_placed')
  await first.insert('order_paid')
  await daemon.waitUntilProjected({ upTo: 3n })
  expect(handled).toEqual([1n, 2n, 3n])
})

test('a watch over mode Rich tells what was inserted after it was passed, and accuses nobody for tombstones', async () => {
  await db.pool.query(tables('watched'))
  const watch = await startWatch(db, marten({ schema: 'watched' }))
  const shard = startShard('watched')
  const [late, dead, inTime] = [
    await takeAhead('watched', 2),
    await takeAhead('watched', 1),
    await takeAhead('watched', 1),
  ]
  await inTime.insert('order_placed')
  const checkpoint = () => watch.status().consumers.map(({ checkpoint }) => checkpoint)
  await eventually(checkpoint).toEqual(['4'])
  // Beyond what proof mode would wait for: no transaction is open.
  const { looks } = watch.status()
  await eventually(() => watch.status().looks).toBeGreaterThan(looks + 20)
  await dead.insert('tombstone')
  await late.insert('order_paid')
  const { looks: seen } = watch.status()
  await eventually(() => watch.status().looks).toBeGreaterThan(seen + 2)
  // The shard goes on.
  await (await takeAhead('watched', 1)).insert('order_placed')
  await eventually(() => watch.lost().map(({ position }) => position)).toEqual(late.numbers)
  expect(watch.lost()).toMatchObject([
    { verdict: 'passed', type: 'order_paid', heldBy: [] },
    { type: 'order_paid' },
  ])
  expect(watch.status()).toMatchObject({ begunAnew: 0, error: undefined })
  await shard.stop()
  requireTrue(watch.lost(), new Map([['watched.mt_event_progression.Orders:All', shard.handled]]))
})

test.each(['quick', 'rich'] as const)(
  'events that move to the partition of archived ones are no late events, in mode %s',
  async (append) => {
    const schema = `archived_${append}`
    await db.pool.query(
      `${tables(schema, { key: ', is_archived', partitions: 'partition by list (is_archived)' })};
       create table ${schema}.mt_events_default partition of ${schema}.mt_events for values in (false);
       create table ${schema}.mt_events_archived partition of ${schema}.mt_events for values in (true)`,
    )
    const { daemon, handled } = await startProjection(db, marten({ schema, append }))
    const session = await db.session()
    for (let nth = 0; nth < 3; nth++) await quick(schema)(session, 0)
    await daemon.waitUntilProjected()
    await session.query(
      `with moved as (delete from ${schema}.mt_events where seq_id = 2 returning *)
       insert into ${schema}.mt_events select seq_id, id, stream_id, version, data, type, timestamp, tenant_id, mt_dotnet_type, true
       from moved`,
    )
    await quick(schema)(session, 0)
    await daemon.waitUntilProjected({ upTo: 4n })
    expect(handled).toEqual([1n, 2n, 3n, 4n])
    expect(daemon.status().highWater.state).toBe('polling')
  },
)

test('tenants with sequences of their own are refused as one table, and each is a source of its own', async () => {
  const append = `nextval('tenants.mt_events_sequence_' || tenant)`
  await db.pool.query(
    `${tables('tenants', { key: ', tenant_id', partitions: 'partition by list (tenant_id)', append })};
     create table tenants.mt_events_red partition of tenants.mt_events for values in ('red');
     create table tenants.mt_events_blue partition of tenants.mt_events for values in ('blue');
     create sequence tenants.mt_events_sequence_red;
     create sequence tenants.mt_events_sequence_blue;
     insert into tenants.mt_event_progression values ('Orders:All:red', 0), ('Orders:All:blue', 0)`,
  )
  for (const mode of ['quick', 'rich'] as const) {
    const { condition, message } = await refusal({
      pool: db.pool,
      ...marten({ schema: 'tenants', append: mode }).events,
    })
    expect(condition).toBe('sequence_shared_by_partitions')
    expect(message).toMatch(/no order of all its events. Read each partition by a source of its own/)
  }
  const of = (suffix: string): Preset =>
    marten({ schema: 'tenants', append: 'quick', tenant: { id: suffix, suffix } })
  const [red, blue] = [await startProjection(db, of('red')), await startProjection(db, of('blue'))]
  const watch = await startWatch(db, of('red'))
  const session = await db.session()
  for (let nth = 0; nth < 3; nth++) await quick('tenants', 'red')(session, 0)
  await quick('tenants', 'blue')(session, 0)
  await Promise.all([
    red.daemon.waitUntilProjected({ upTo: 3n }),
    blue.daemon.waitUntilProjected({ upTo: 1n }),
  ])
  expect([red.handled, blue.handled]).toEqual([[1n, 2n, 3n], [1n]])
  expect(consumersOf(watch)).toEqual(['tenants.mt_event_progression.Orders:All:red'])
})

test('what would lose is refused, with what to do', async () => {
  await db.pool.query(tables('refused'))
  expect(() => postgresEvents({ pool: db.pool, ...marten().events, highWater: { mode: 'proof' } })).toThrow(
    /highWater.mode: expected 'stale-threshold' beside numbers: 'taken-ahead'/,
  )
  expect(() => marten({ append: 'fast' as never })).toThrow(/append: expected 'rich' or 'quick'/)
  expect(() => marten({ tenant: 'red' as never })).toThrow(/tenant/)
  const { sequence: _, ...unnamed } = marten({ schema: 'refused', append: 'quick' }).events
  expect((await refusal({ pool: db.pool, ...unnamed })).message).toMatch(
    /append mode Quick .* not in append mode Rich .* set numbers: 'taken-ahead'/s,
  )
  await (await agentOver({ pool: db.pool, ...marten({ schema: 'refused', append: 'quick' }).events })).stop()
})
