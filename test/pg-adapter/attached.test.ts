import { createDaemon } from '@tidemark/core'
import { postgresEvents } from '@tidemark/pg-adapter'
import { describe, expect, test } from 'vitest'
import {
  appended,
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

const LATE = 'TIDEMARK_LATE_EVENTS'
const BETWEEN_POLLS_MS = 600_000

const PARTITIONED = `create sequence numbers;
  create table events (position bigint not null default nextval('numbers'), tenant int not null default 1,
    type text not null default 'happened', primary key (position, tenant)) partition by list (tenant);
  create table events_1 partition of events for values in (1); ${HANDLED}`

const options = (events: EventTable, pool = db.pool) => ({
  source: postgresEvents({ pool, table: events.name, eventType: 'type' }),
  checkpoints: checkpointsBeside(events, db.pool),
  projections: [recorder(events, 'all')],
  pollIntervalMs: BETWEEN_POLLS_MS,
})

/** Handled: 1 in `events_1`; not visible: 2 to 4 in `events_2`, which is no partition yet; handled: 5. */
async function filledFirst() {
  const events = await db.events(PARTITIONED)
  const daemon = await startDaemon(options(events))
  await events.append()
  await events.run('create table events_2 (like events including all)')
  await events.run('insert into events_2 (tenant) select 2 from generate_series(1, 3)')
  await events.append()
  await daemon.waitUntilProjected()
  return { events, daemon }
}

const ATTACH_2 = 'alter table events attach partition events_2 for values in (2)'
const DETACH_2 = 'alter table events detach partition events_2'

test('a partition that was filled, then attached, halts the daemon, which names its events and who has passed them', async () => {
  const { events, daemon } = await filledFirst()
  await events.run(ATTACH_2)
  await events.append()
  daemon.wake()
  await eventually(() => daemon.status().highWater).toMatchObject({ state: 'halted', error: { code: LATE } })
  const { error } = daemon.status().highWater
  expect(error).toMatchObject({
    events: ['2', '3', '4'].map((position) => ({ position, type: 'happened' })),
    passedBy: [{ projection: 'all', checkpoint: '5', positions: ['2', '3', '4'] }],
  })
  expect(String(error)).toMatch(/in s\d+\.events_2, which was attached to .*events.* keep the checkpoints/s)
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 5n])
})

test('attached while the daemon is stopped, it is refused at each start, until the printed statements have run', async () => {
  const { events, daemon } = await filledFirst()
  await daemon.stop()
  await events.run(ATTACH_2)
  await events.append()
  const start = () => createDaemon(options(events)).start()
  await expect(start()).rejects.toMatchObject({ code: LATE, events: [{}, {}, {}] })
  const error: unknown = await start().catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: LATE })
  for (const line of String(error)
    .match(/^ {2}\S.*;$/gm)
    ?.slice(0, 2) ?? [])
    await db.pool.query(line)
  const accepted = await startDaemon(options(events))
  await accepted.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 5n, 6n])
})

test('events of an attached partition that lie above every checkpoint are handled, and are no late events', async () => {
  const { events, daemon } = await filledFirst()
  await events.run('insert into events_2 (tenant) select 2 from generate_series(1, 2)')
  await events.run('delete from events_2 where position < 5')
  daemon.wake()
  await eventually(() => daemon.status().highWater).toMatchObject({ settled: 7n, mark: 5n })
  await events.run(ATTACH_2)
  await daemon.waitUntilProjected()
  await events.append()
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 5n, 6n, 7n, 8n])
})

test('a partition that may not be read by itself is looked at through its table', async () => {
  const { events, daemon } = await filledFirst()
  await daemon.stop()
  const role = await db.role(`grant usage on schema ${events.schema} to :role;
    grant select on ${events.name}, ${events.schema}.numbers to :role`)
  await events.run(ATTACH_2)
  const restricted = createDaemon(options(events, db.newPool(asRole(db.url, role))))
  await expect(restricted.start()).rejects.toMatchObject({ code: LATE, events: [{}, {}, {}] })
})

test('a partition that was filled, and takes rows from the default one as it is attached, halts the daemon', async () => {
  const events = await db.events(`${PARTITIONED}; create table events_rest partition of events default`)
  await events.run('create table events_2 (like events including all)')
  await events.run('insert into events_2 (tenant) select 2 from generate_series(1, 3)')
  await events.run('insert into events (tenant) values (2), (1)')
  const daemon = await startDaemon(options(events))
  await daemon.waitUntilProjected()
  await events.run(`with moved as (delete from events_rest where tenant = 2 returning *) insert into events_2 select * from moved;
    ${ATTACH_2}`)
  daemon.wake()
  await eventually(() => daemon.status().highWater).toMatchObject({ state: 'halted', error: { code: LATE } })
  const { error } = daemon.status().highWater
  expect(error).toMatchObject({ events: [{ position: '1' }, { position: '2' }, { position: '3' }] })
})

test('while DETACH ... CONCURRENTLY waits, the partition brings nothing: a daemon starts', async () => {
  const { events, daemon } = await handledFive()
  await daemon.stop()
  const reader = await db.session()
  await reader.query(`begin; select count(*) from ${events.name}`)
  const detaching = await db.session()
  const detached = detaching.query(
    `alter table ${events.name} detach partition ${events.schema}.events_2 concurrently`,
  )
  await eventually(async () => {
    const { rows } = await db.pool.query(
      `select inhdetachpending from pg_inherits where inhrelid = '${events.schema}.events_2'::regclass`,
    )
    return rows[0]?.inhdetachpending
  }).toBe(true)
  const second = await startDaemon(options(events))
  await reader.query('commit')
  await detached
  await events.append()
  await second.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n, 4n, 5n, 6n])
})

test('partitions in a schema that the role may not use are looked at through their table', async () => {
  const events = await db.events(PARTITIONED)
  const role = await db.role(`grant usage on schema ${events.schema} to :role;
    grant select on ${events.name}, ${events.schema}.numbers to :role`)
  const parts = `${events.schema}_parts`
  await db.pool.query(`create schema ${parts};
    alter default privileges in schema ${parts} grant select on tables to ${role}`)
  await events.append()
  const daemon = await startDaemon(options(events, db.newPool(asRole(db.url, role))))
  await daemon.waitUntilProjected()
  await db.pool.query(`create table ${parts}.events_9 partition of ${events.name} for values in (9)`)
  await events.append()
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n])
})

/** Five events, of which 2 and 4 are in `events_2`, all handled. */
async function handledFive() {
  const events = await db.events(`${PARTITIONED};
    create table events_2 partition of events for values in (2)`)
  await events.run('insert into events (tenant) values (1), (2), (1), (2), (1)')
  const daemon = await startDaemon(options(events))
  await daemon.waitUntilProjected()
  // By a poll that began after everything was handled.
  await daemon.waitUntilProjected()
  return { events, daemon }
}

describe('a partition detached and attached again', () => {
  test.each([
    ['between two polls', false],
    ['over several polls, with events in between', true],
  ])('%s, all of whose events had been handled, is no late event', async (_, polls) => {
    const { events, daemon } = await handledFive()
    await events.run(DETACH_2)
    if (polls) {
      await events.append()
      await daemon.waitUntilProjected()
    }
    await db.pool.query(`vacuum full ${events.schema}.events_2`)
    await events.run(ATTACH_2)
    await events.append()
    await daemon.waitUntilProjected()
    await events.run('insert into events (tenant) values (2)')
    await daemon.waitUntilProjected()
    expect(daemon.status().highWater).toMatchObject({ state: 'polling', error: undefined })
    expect(await handledBy(db.pool, events, 'all')).toEqual(await appended(db.pool, events))
  })

  test('while a projection had not come to its events halts the daemon', async () => {
    const events = await db.events(`${PARTITIONED};
      create table events_2 partition of events for values in (2)`)
    await events.run('insert into events (tenant) values (1), (2), (1), (2), (1)')
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const slow = recorder(events, 'all', { batchSize: 1 })
    let called = false
    const daemon = await startDaemon({
      ...options(events),
      projections: [
        {
          ...slow,
          handle: async (page, context) => {
            called = true
            await held
            await slow.handle(page, context)
          },
        },
      ],
    })
    await eventually(() => called).toBe(true)
    await events.run(DETACH_2)
    const polled = daemon.status().highWater.lastPollAtMs
    daemon.wake()
    await eventually(() => daemon.status().highWater.lastPollAtMs).not.toBe(polled)
    release()
    await eventually(() => daemon.status().projections[0]?.position).toBe(5n)
    await events.run(ATTACH_2)
    daemon.wake()
    await eventually(() => daemon.status().highWater).toMatchObject({
      state: 'halted',
      error: { code: LATE },
    })
    const error = daemon.status().highWater.error as { events: readonly { position: string }[] }
    expect(error.events.at(-1)?.position).toBe('4')
  })

  test('with events that were inserted while it was detached, and passed, halts the daemon', async () => {
    const { events, daemon } = await handledFive()
    await events.run(DETACH_2)
    daemon.wake()
    await events.run('insert into events_2 (tenant) values (2)')
    await events.append()
    await daemon.waitUntilProjected()
    await events.run(ATTACH_2)
    daemon.wake()
    await eventually(() => daemon.status().highWater).toMatchObject({
      state: 'halted',
      error: { code: LATE },
    })
  })
})

describe.each(['running', 'stopped'] as const)('under a daemon that is %s', (daemonIs) => {
  test.each([
    ['an empty partition', 'create table events_4 partition of events for values in (4)'],
    [
      'a partition with events above the mark',
      `create table events_4 (like events including all); insert into events_4 (tenant) values (4);
       alter table events attach partition events_4 for values in (4)`,
    ],
    [
      'a partition that takes its rows from the default one',
      `create table events_3 (like events including all);
       with moved as (delete from events_rest where tenant = 3 returning *) insert into events_3 select * from moved;
       alter table events attach partition events_3 for values in (3)`,
    ],
    [
      'a partition of partitions that takes its rows from the default one',
      `create table events_3 (like events including all) partition by range (position);
       create table events_3_a partition of events_3 for values from (minvalue) to (maxvalue); commit;
       with moved as (delete from events_rest where tenant = 3 returning *) insert into events_3 select * from moved;
       alter table events attach partition events_3 for values in (3)`,
    ],
  ])('%s is no late event', async (_, ddl) => {
    const events = await db.events(`${PARTITIONED}; create table events_rest partition of events default`)
    await events.run('insert into events (tenant) values (1), (3), (3), (1)')
    const daemon = await startDaemon(options(events))
    await daemon.waitUntilProjected()
    if (daemonIs === 'stopped') await daemon.stop()
    for (const part of ddl.split('commit;')) await events.run(part)
    await events.append()
    const now = daemonIs === 'running' ? daemon : await startDaemon(options(events))
    await now.waitUntilProjected()
    expect(now.status().highWater).toMatchObject({ state: 'polling', error: undefined })
    expect(await handledBy(db.pool, events, 'all')).toEqual(await appended(db.pool, events))
  })
})
