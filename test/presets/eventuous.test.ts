import { eventuous, postgresConsumers } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { agentOver, eventually, fileDatabase } from '../support/event-table.ts'
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

/** The columns, keys and identity of `1_Schema.sql` of Eventuous 0.15. */
const tables = (schema: string) => `create schema ${schema};
  create table ${schema}.streams (
    stream_name varchar(1000) not null unique, stream_id int primary key generated always as identity,
    version int not null default -1
  );
  create table ${schema}.messages (
    message_id uuid not null, message_type varchar not null, stream_id int not null references ${schema}.streams,
    stream_position int not null, global_position bigint primary key generated always as identity,
    json_data jsonb not null, json_metadata jsonb, created timestamp not null,
    unique (stream_id, stream_position), unique (stream_id, message_id)
  );
  create table ${schema}.checkpoints (id varchar primary key, position bigint);
  insert into ${schema}.streams (stream_name) values ('orders-1')`

let streamPosition = 0
const appendTo =
  (schema: string): Append =>
  (client) =>
    client.query(
      `insert into ${schema}.messages (message_id, message_type, stream_id, stream_position, json_data, created)
       values (gen_random_uuid(), 'OrderPlaced', 1, $1, '{}', now() at time zone 'utc')`,
      [++streamPosition],
    )

/** As `PostgresAllStreamSubscription` of 0.15 reads, with its checkpoint at each event. */
function startSubscription(schema: string, id: string) {
  return startLoop(async (handled) => {
    const { rows } = await db.pool.query(
      `select global_position::text as position from ${schema}.messages
       where global_position > (select coalesce(position, -1) from ${schema}.checkpoints where id = $1)
       order by global_position limit 100`,
      [id],
    )
    for (const { position } of rows) {
      handled.add(BigInt(position))
      await db.pool.query(`update ${schema}.checkpoints set position = $2 where id = $1`, [id, position])
    }
  })
}

test('projects beside hostile writers, and tells what a subscription to $all has lost, of no other checkpoint', async () => {
  await db.pool.query(tables('eventuous'))
  await db.pool.query(
    `insert into eventuous.checkpoints values ('all', null), ('one-stream', 3), ('esdb', 99999999)`,
  )
  const preset = eventuous({ allStream: ['all'] })
  const { daemon, handled } = await startProjection(db, preset)
  const watch = await startWatch(db, preset)
  const loop = startSubscription('eventuous', 'all')
  await writeHostilely(db, appendTo('eventuous'), 1)
  // Somebody moves the others too.
  await db.pool.query(`update eventuous.checkpoints set position = position + 1 where id <> 'all'`)
  await daemon.waitUntilProjected()
  await loop.stop()
  const stored = await storedPositions(db, preset.events)
  expect(handled).toEqual(stored)
  expect(watch.status().consumers.map(({ consumer }) => consumer)).toEqual(['eventuous.checkpoints.all'])
  const lost = stored.filter((position) => !loop.handled.has(position))
  expect(lost.length).toBeGreaterThan(0)
  await eventually(() => watch.lost().length).toBeGreaterThan(0)
  requireTrue(watch.lost(), new Map([['eventuous.checkpoints.all', loop.handled]]))
})

test('a tombstone, written at an explicit position into a gap that was proven empty, is no event and no alarm', async () => {
  await db.pool.query(tables('other'))
  const preset = eventuous({ schema: 'other', allStream: ['all'] })
  const { daemon, handled } = await startProjection(db, preset)
  const append = appendTo('other')
  const undone = await db.session()
  await undone.query('begin')
  await append(undone, 0)
  const session = await db.session()
  await append(session, 0)
  await undone.query('rollback')
  await daemon.waitUntilProjected()
  await session.query(
    `insert into other.messages (message_id, message_type, stream_id, stream_position, global_position, json_data, created)
     overriding system value values (gen_random_uuid(), '$tombstone', 1, 0, 1, '{}', now())`,
  )
  await append(session, 0)
  await daemon.waitUntilProjected()
  expect(handled).toEqual([2n, 3n])
  expect(daemon.status().highWater.state).toBe('polling')
  // An event there is an alarm.
  await session.query("update other.messages set message_type = 'OrderPlaced' where global_position = 1")
  await eventually(() => daemon.status().highWater).toMatchObject({
    state: 'halted',
    error: { events: [{ position: '1', type: 'OrderPlaced' }] },
  })
})

test('its checkpoints are read only by those who say which of them are positions of $all', async () => {
  expect(() => postgresConsumers({ pool: db.pool, ...eventuous().consumers })).toThrow(
    /allStream.*positions of single streams and of other stores, and nothing in it tells them apart/,
  )
  expect(() => eventuous({ allStream: 'all' as never })).toThrow(/allStream/)
  expect(() => eventuous({ stream: 'all' } as never)).toThrow(/stream/)
  await expect(
    agentOver({ pool: db.pool, ...eventuous({ schema: 'nowhere' }).events }),
  ).rejects.toMatchObject({
    condition: 'table_exists',
  })
})
