import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { getPostgreSQLEventStore, postgreSQLEventStoreConsumer } from '@event-driven-io/emmett-postgresql'
import { createWatch, type Watch } from '@tidemark/core'
import { emmett, postgresConsumers, watchedPostgresEvents } from '@tidemark/pg-adapter'
import type { Client } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { judge } from './oracle.ts'
import { branch, seeded } from './seed.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { until } from './until.ts'
import { startPlainLoop } from './watched.ts'
import { startWriters } from './writers.ts'

const RUN_MS = 6_000

function watchOf(store: ChaosStore): Watch {
  const pool = store.pool({ max: 4 })
  const watch = createWatch({
    source: watchedPostgresEvents({ pool, table: 'events', eventType: 'type' }),
    consumers: postgresConsumers({
      pool,
      table: 'loops',
      consumer: 'name',
      checkpoint: 'position',
      eventTypes: { plain: 'all', slow: 'all' },
    }),
  })
  onTestFinished(() => watch.stop())
  return watch
}

async function untilRead(store: ChaosStore): Promise<void> {
  await until('the loops have come to the end', async () => {
    const { rows } = await store.query(
      'select (select max(position) from events) = all (select position from loops) as done',
    )
    return rows[0].done
  })
}

const saidOf = (watch: Watch, consumer: string): string[] =>
  watch.lost().flatMap((event) => (event.consumer === consumer ? [String(event.position)] : []))

test('plain loops beside hostile writers: what the watch says is lost was lost', async () => {
  const store = await chaosStore()
  await startPlainLoop(store, { name: 'plain' })
  await startPlainLoop(store, { name: 'slow', handlerMs: 30 })
  const watch = watchOf(store)
  await watch.start()
  const writers = startWriters(store, { random: seeded('watch: loops') })
  await sleep(RUN_MS)
  await writers.stop()
  await untilRead(store)
  await until('some losses are told', async () => watch.lost().length > 0)
  await watch.stop()
  for (const name of ['plain', 'slow']) {
    const { lost, committed } = await judge({ name }, store)
    const said = saidOf(watch, `loops.${name}`)
    console.info(JSON.stringify({ name, committed, lost: lost.length, said: said.length }))
    expect(said.filter((position) => !lost.includes(position))).toEqual([])
  }
}, 60_000)

test('consumers that are reset, moved, deleted and made anew, beside hostile writers: none is accused falsely', async () => {
  const store = await chaosStore()
  const random = seeded('watch: resets')
  // Slower than the looks of a busy machine: what is put back and has come up again between two looks is not seen.
  await startPlainLoop(store, { name: 'plain', handlerMs: 250 })
  const watch = watchOf(store)
  await watch.start()
  const writers = startWriters(store, { random })
  const chosen = branch(random)
  const head = '(select coalesce(max(position), 0) from events)'
  const disturbances = [
    `update loops set position = greatest(0, position - 1 - ${chosen.below(20)})`,
    'update loops set position = 0',
    `update loops set position = ${head}`,
    'delete from loops',
    'truncate loops',
    `update events set type = type where position > ${head} - 50`,
    `delete from events where position = ${head} - 20`,
  ]
  const falsely: string[] = []
  const ended = Date.now() + RUN_MS
  while (Date.now() < ended) {
    const disturbance = chosen.pick(disturbances) ?? ''
    const before = new Set((await handled(store)).map((position) => position))
    const told = watch.lost().length
    await store.query(disturbance)
    const { looks } = watch.status()
    // A watch that has not looked since does not know of it: docs/watch.md says so.
    await until('the watch has looked', async () => watch.status().looks > looks + 1)
    await sleep(chosen.below(400))
    falsely.push(
      ...watch
        .lost()
        .slice(told)
        .map(({ position }) => String(position))
        .filter((position) => before.has(position)),
    )
  }
  await writers.stop()
  await untilRead(store)
  await watch.stop()
  const cannotTell = watch.status().consumers.map(({ cannotTell }) => cannotTell)
  console.info(JSON.stringify({ told: watch.lost().length, falsely: falsely.length, cannotTell }))
  expect(falsely).toEqual([])
}, 60_000)

async function handled(store: ChaosStore): Promise<readonly string[]> {
  const { rows } = await store.query(`select position::text from handled where projection = 'plain'`)
  return rows.map(({ position }) => position)
}

test('Emmett, as it is from npm, on its own tables: what the watch says is lost was lost, and a query tells of all', async () => {
  const store = await chaosStore()
  const random = seeded('watch: Emmett')
  const events = getPostgreSQLEventStore(store.url)
  onTestFinished(() => events.close())
  await events.schema.migrate()
  const got = new Set<string>()
  const consumer = postgreSQLEventStoreConsumer({ connectionString: store.url })
  consumer.reactor({
    processorId: 'orders',
    eachMessage: async ({ metadata }) => void got.add(String(metadata.globalPosition)),
  })
  const consuming = consumer.start()
  consuming.catch(() => {})
  onTestFinished(async () => {
    await consumer.close()
  })
  const { consumers, events: table } = emmett()
  const pool = store.pool({ max: 4 })
  const watch = createWatch({
    source: watchedPostgresEvents({ pool, ...table }),
    consumers: postgresConsumers({ pool, ...consumers, eventTypes: { 'orders:emt:default:1': 'all' } }),
  })
  onTestFinished(() => watch.stop())
  await watch.start()
  await until('Emmett has a checkpoint', async () => watch.status().consumers.length === 1)
  const stopping = Date.now() + RUN_MS
  const byItsApi = async (writer: number): Promise<void> => {
    for (let n = 0; Date.now() < stopping; n++) {
      await events.appendToStream(`cart-${writer}-${n}`, [{ type: 'Added', data: {} }])
      await sleep(random.below(20))
    }
  }
  const afterAnotherWrite = async (writer: number): Promise<void> => {
    const client = await store.connect()
    for (let n = 0; Date.now() < stopping; n++) {
      // It writes something else first, as with an outbox: its transaction id is then older than its position.
      await client.query('begin; insert into unrelated values (1)')
      await sleep(random.below(20))
      await append(client, `order-${writer}-${n}`)
      await sleep(random.below(40))
      await client.query('commit')
    }
    await client.end()
  }
  await Promise.all([0, 1, 2, 3].flatMap((writer) => [byItsApi(writer), afterAnotherWrite(writer)]))
  // One that outlives the page in which Emmett passes it: so much can be seen by its checkpoint.
  const [older, newer] = [await store.connect(), await store.connect()]
  await older.query('begin; insert into unrelated values (1)')
  await newer.query('begin')
  await append(newer, 'newer')
  await append(older, 'older')
  await older.query('commit')
  await until('it is exposed', async () => (watch.status().consumers[0]?.exposedPositions ?? 0n) > 0n)
  await newer.query('commit')
  await events.appendToStream('last', [{ type: 'Added', data: {} }])
  await until('it is told', async () => watch.lost().length > 0)
  await Promise.all([older.end(), newer.end()])
  await until('Emmett has come to the end', async () => {
    const { rows } = await store.query('select max(global_position)::text as last from emt_messages')
    return got.has(rows[0].last)
  })
  await watch.stop()
  const { rows: late } = await store.query(queryOfThePage())
  const { rows } = await store.query('select global_position::text as position from emt_messages')
  const lost = rows.map(({ position }) => position).filter((position) => !got.has(position))
  const said = saidOf(watch, 'emt_processors.orders:emt:default:1')
  console.info(JSON.stringify({ stored: rows.length, lost: lost.length, said: said.length }))
  expect(said.filter((position) => !lost.includes(position))).toEqual([])
  expect(said.length).toBeGreaterThan(0)
  // All of them are told by the order in which Emmett 0.42 reads, from the table alone.
  expect(late.map(({ position }) => position).toSorted()).toEqual(lost.toSorted())
}, 90_000)

/** What docs/watch.md tells users of Emmett to run. */
function queryOfThePage(): string {
  const page = readFileSync(new URL('../../docs/watch.md', import.meta.url), 'utf8')
  const statements = page.split('```sql').map((part) => part.split('```')[0] ?? '')
  return statements.find((statement) => statement.includes('emt_messages')) ?? expect.fail('no such query')
}

async function append(client: Client, stream: string): Promise<void> {
  await client.query(
    `select * from emt_append_to_stream(array[gen_random_uuid()::text], array['{}'::jsonb], array['{}'::jsonb],
      array['1'], array['Added'], array['E'], $1, 'order', null, 'emt:default')`,
    [stream],
  )
}
