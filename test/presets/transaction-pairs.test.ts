import { transactionPairs } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { eventually, fileDatabase } from '../support/event-table.ts'
import {
  type Append,
  startLoop,
  startProjection,
  startWatch,
  storedPositions,
  writeHostilely,
} from './scenario.ts'

const db = fileDatabase()

/** The columns, keys and indexes of `V1__eventsourcing_tables.sql` of eugene-khyst/postgresql-event-sourcing. */
const TABLES = `create table es_aggregate (id uuid primary key, version int not null, aggregate_type text not null);
  create table es_event (
    id bigserial primary key, transaction_id xid8 not null, aggregate_id uuid not null references es_aggregate,
    version int not null, event_type text not null, json_data json not null, unique (aggregate_id, version)
  );
  create index on es_event (transaction_id, id);
  create table es_event_subscription (
    subscription_name text primary key, last_transaction_id xid8 not null, last_event_id bigint not null
  );
  insert into es_aggregate values ('00000000-0000-0000-0000-000000000001', 0, 'Order');
  insert into es_event_subscription values ('orders', '0', 0)`

const append: Append = (client, nth) =>
  client.query(
    `insert into es_event (transaction_id, aggregate_id, version, event_type, json_data)
     values (pg_current_xact_id(), '00000000-0000-0000-0000-000000000001', $1, 'OrderPlaced', '{}')`,
    [nth],
  )

/** As its subscription processor does. */
const startSubscription = () =>
  startLoop(async (handled) => {
    const { rows } = await db.pool.query(
      `select e.id::text, e.transaction_id::text from es_event e, es_event_subscription s
       where (e.transaction_id, e.id) > (s.last_transaction_id, s.last_event_id)
         and e.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
       order by e.transaction_id, e.id`,
    )
    const last = rows.at(-1)
    if (last === undefined) return
    for (const { id } of rows) handled.add(BigInt(id))
    await db.pool.query('update es_event_subscription set last_transaction_id = $1, last_event_id = $2', [
      last.transaction_id,
      last.id,
    ])
  })

test('projects beside hostile writers, and accuses nobody who reads by pairs', async () => {
  await db.pool.query(TABLES)
  const preset = transactionPairs()
  const { daemon, handled } = await startProjection(db, preset)
  const watch = await startWatch(db, preset)
  const loop = startSubscription()
  await writeHostilely(db, append, 2)
  await daemon.waitUntilProjected()
  const stored = await storedPositions(db, preset.events)
  await eventually(() => loop.handled.size).toBe(stored.length)
  const { looks } = watch.status()
  await eventually(() => watch.status().looks).toBeGreaterThan(looks + 1)
  expect(handled).toEqual(stored)
  expect(watch.lost()).toEqual([])
  expect(watch.status().consumers).toMatchObject([
    { consumer: 'es_event_subscription.orders', isUnderstood: true, lost: 0, passed: 0 },
  ])
  expect(watch.status().consumers[0]?.moves).toBeGreaterThan(0)
})

test('a subscription that jumps over an open transaction is told of what it lost', async () => {
  const preset = transactionPairs()
  const watch = await startWatch(db, preset)
  const slow = await db.session()
  await slow.query('begin')
  await append(slow, 1_000)
  const quick = await db.session()
  const jump = async (nth: number) => {
    await append(quick, nth)
    await quick.query(`update es_event_subscription set (last_transaction_id, last_event_id) =
      (select transaction_id, id from es_event order by transaction_id desc, id desc limit 1)`)
    const { looks } = watch.status()
    await eventually(() => watch.status().looks).toBeGreaterThan(looks + 1)
  }
  await jump(1_001)
  await jump(1_002)
  await slow.query('commit')
  await jump(1_003)
  await eventually(() => watch.lost().map(({ type }) => type)).toEqual(['OrderPlaced'])
})
