import { createWatch } from '@tidemark/core'
import { messageDb, postgresConsumers, watchedPostgresEvents } from '@tidemark/pg-adapter'
import type { Client } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { asRole, eventually, fileDatabase, refusal } from '../support/event-table.ts'
import { startLoop, startProjection, startWatch, storedPositions, writeHostilely } from './scenario.ts'

const db = fileDatabase()

/** The columns, defaults and indexes of message-db 1.3.0, and its function of the category. */
const tables = (schema: string) => `create schema ${schema};
  create table ${schema}.messages (
    global_position bigserial primary key, position bigint not null, id uuid not null default gen_random_uuid(),
    time timestamp not null default (now() at time zone 'utc'), stream_name text not null, type text not null,
    data jsonb, metadata jsonb
  );
  create function ${schema}.category(name varchar) returns varchar language sql immutable
    as $$ select split_part(name, '-', 1)::varchar $$;
  create unique index on ${schema}.messages (id);
  create unique index on ${schema}.messages (stream_name, position, ${schema}.category(metadata->>'correlationStreamName'));
  create index on ${schema}.messages (${schema}.category(stream_name), global_position,
    ${schema}.category(metadata->>'correlationStreamName'))`

/** A message behind the last one of its stream. */
async function write(client: Pick<Client, 'query'>, schema: string, stream: string, type: string, data = {}) {
  const { rows } = await client.query(
    `insert into ${schema}.messages (stream_name, position, type, data)
     select $1, coalesce(max(position) + 1, 0), $2, $3 from ${schema}.messages where stream_name = $1
     returning global_position::text as position`,
    [stream, type, JSON.stringify(data)],
  )
  return BigInt(rows[0].position)
}

/** As Eventide's consumer: one category, with the position of its last message recorded now and then. */
function startConsumer(schema: string, category: string, positionStream: string) {
  let last = 0n
  return startLoop(async (handled) => {
    const { rows } = await db.pool.query(
      `select global_position::text as position from ${schema}.messages
       where ${schema}.category(stream_name) = $1 and global_position > $2 order by global_position limit 20`,
      [category, String(last)],
    )
    if (rows.length === 0) return
    for (const { position } of rows) handled.add(BigInt(position))
    last = BigInt(rows.at(-1)?.position)
    await write(db.pool, schema, positionStream, 'Recorded', { position: Number(last) })
  })
}

test('projects all categories beside hostile writers, and accuses no consumer of events of another category', async () => {
  await db.pool.query(tables('message_store'))
  const preset = messageDb()
  const { daemon, handled } = await startProjection(db, preset)
  const watch = await startWatch(db, preset)
  // What would be said if every consumer read everything: it shows that something was there to be mistaken for a loss.
  const { category: _, ...ofAll } = preset.consumers
  const mistaken = createWatch({
    source: watchedPostgresEvents({ pool: db.pool, ...preset.events }),
    consumers: postgresConsumers({ pool: db.pool, ...ofAll }),
  })
  onTestFinished(() => mistaken.stop())
  await mistaken.start()
  const loops = [
    startConsumer('message_store', 'account0', 'account0:position'),
    startConsumer('message_store', 'account1', 'account1:position-one'),
    startConsumer('message_store', 'account2:command', 'account2:command+position-one'),
  ]
  // Each session writes to a category of its own, as the lock on the category has it.
  const categories = new Map<Client, string>()
  const append = async (client: Client, nth: number) => {
    const number = categories.size
    const category = categories.get(client) ?? `account${number}${number === 2 ? ':command' : ''}`
    categories.set(client, category)
    await write(client, 'message_store', `${category}-${client.database}-${nth % 4}`, 'Deposited')
  }
  await writeHostilely(db, append, 3)
  await daemon.waitUntilProjected()
  for (const loop of loops) await loop.stop()
  await daemon.waitUntilProjected()
  expect(handled).toEqual(await storedPositions(db, preset.events))
  const { looks } = watch.status()
  await eventually(() => watch.status().looks).toBeGreaterThan(looks + 2)
  await eventually(() => mistaken.lost().length).toBeGreaterThan(0)
  expect(watch.lost()).toEqual([])
  expect(
    watch
      .status()
      .consumers.map(({ consumer, isUnderstood }) => [consumer, isUnderstood])
      .toSorted(),
  ).toEqual([
    ['message_db.account0:position', true],
    ['message_db.account1:position-one', true],
    ['message_db.account2:command+position-one', true],
  ])
  expect(watch.status().consumers.every(({ moves }) => moves > 0)).toBe(true)
})

test('a plain INSERT that goes round the lock on the category is lost, and told', async () => {
  await db.pool.query(tables('plain'))
  const preset = messageDb({ schema: 'plain' })
  const session = await db.session()
  const record = (position: bigint) =>
    write(session, 'plain', 'account:position', 'Recorded', { position: Number(position) })
  await record(await write(session, 'plain', 'account-1', 'Opened'))
  const watch = await startWatch(db, preset)
  const looks = async () => {
    const { looks: before } = watch.status()
    await eventually(() => watch.status().looks).toBeGreaterThan(before + 1)
  }
  const [slow, other] = [await db.session(), await db.session()]
  await slow.query('begin')
  await other.query('begin')
  const lost = await write(slow, 'plain', 'account-2', 'Deposited')
  await write(other, 'plain', 'accounts-2', 'Deposited')
  for (const stream of ['account-3', 'account-4']) {
    await record(await write(session, 'plain', stream, 'Opened'))
    await looks()
  }
  await slow.query('commit')
  await other.query('commit')
  await looks()
  await record(await write(session, 'plain', 'account-5', 'Opened'))
  await eventually(() => watch.lost()).toMatchObject([
    { consumer: 'message_db.account:position', position: lost, type: 'Deposited' },
  ])
})

test('refuses the position within a stream, and says where rights are missing', async () => {
  await db.pool.query(tables('refused'))
  const { events, consumers } = messageDb({ schema: 'refused' })
  const { message } = await refusal({ pool: db.pool, ...events, position: 'position' })
  expect(message).toMatch(/may be a position within one stream/)
  expect(message).toMatch(/Set the option position: "global_position"/)
  const role = await db.role(
    'grant usage on schema refused to :role; grant select on refused.messages_global_position_seq to :role',
  )
  const pool = db.newPool(asRole(db.url, role))
  expect((await refusal({ pool, ...events })).message).toMatch(/GRANT SELECT ON "refused"."messages" TO/)
  await expect(
    postgresConsumers({ pool, ...consumers }).read(AbortSignal.timeout(10_000)),
  ).rejects.toMatchObject({ code: 'TIDEMARK_CONSUMERS_UNREADABLE' })
})

test('a query and a table exclude each other, and a query needs a name', () => {
  const { consumers } = messageDb()
  expect(() => postgresConsumers({ pool: db.pool, ...consumers, table: 'checkpoints' })).toThrow(
    /query.*not both/,
  )
  const { name: _, ...unnamed } = consumers
  expect(() => postgresConsumers({ pool: db.pool, ...unnamed })).toThrow(/name/)
  expect(() => messageDb({ category: 'account' } as never)).toThrow(/category/)
})
