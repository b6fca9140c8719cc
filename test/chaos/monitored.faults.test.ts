import { setTimeout as sleep } from 'node:timers/promises'
import { getPostgreSQLEventStore, postgreSQLEventStoreConsumer } from '@event-driven-io/emmett-postgresql'
import { emmett } from '@tidemark/pg-adapter'
import { expect, onTestFinished, test } from 'vitest'
import { expectAllTold, monitorOf, startMonitoredLoop, startSlowWriter, untilTold } from './monitored.ts'
import { branch, seeded } from './seed.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { startWriters } from './writers.ts'

const RUN_MS = 4_000

/** What a handler is given of Emmett. */
interface Message {
  readonly metadata: { readonly globalPosition: bigint }
}

const positionOf = ({ metadata }: Message): bigint => metadata.globalPosition

async function positions(store: ChaosStore, sql: string): Promise<string[]> {
  const { rows } = await store.query(sql)
  return rows.map(({ position }) => position)
}

test('handlers of loops beside hostile writers: all that they lose is told, and nothing else', async () => {
  const store = await chaosStore()
  const random = seeded('monitor: loops')
  const loop = (name: string, options = {}) =>
    startMonitoredLoop(store, name, { random: branch(random), ...options })
  const loops = [
    await loop('plain'),
    await loop('5 ms', { handlerMs: 5 }),
    await loop('50 ms', { handlerMs: 50 }),
    await loop('failing', { failure: 0.05 }),
    await loop('waiting', { waitMs: 1_000 }),
    await loop('rare', { type: 'rare' }),
  ]
  const writers = startWriters(store, { random, writers: 4, pauseMs: 60 })
  const slow = startSlowWriter(store)
  await sleep(RUN_MS)
  await Promise.all([writers.stop(), slow.stop()])
  let appended = 0
  const append = async (): Promise<string> => {
    const inserted = `insert into events (id, type) values ('${appended++}', 'rare') returning position::text`
    return (await positions(store, inserted))[0] ?? ''
  }
  for (const each of loops) await untilTold(each, append)
  const common = await positions(store, 'select position::text from events')
  const rare = await positions(store, `select position::text from events where type = 'rare'`)
  for (const each of loops) await each.stop()
  for (const each of loops) expectAllTold(each, each.name === 'rare' ? rare : common)
  expect(loops[0]?.monitor.lost().length).toBeGreaterThan(0)
}, 60_000)

test('Emmett, as it is from npm, on its own tables: all that its handlers lose is told, and nothing else', async () => {
  const store = await chaosStore()
  const random = seeded('monitor: Emmett')
  const events = getPostgreSQLEventStore(store.url)
  onTestFinished(() => events.close())
  await events.schema.migrate()
  const consumers = [0, 5, 50].map((handlerMs) => {
    const handed = new Set<string>()
    const monitor = monitorOf<Message>(store, {
      projection: `emmett ${handlerMs} ms`,
      position: positionOf,
      eventTypes: 'all',
      from: 0n,
      lookIntervalMs: 100,
      table: emmett().events,
    })
    const consumer = postgreSQLEventStoreConsumer({ connectionString: store.url })
    consumer.reactor({
      processorId: `orders-${handlerMs}`,
      eachMessage: monitor.wrap(async ({ metadata }) => {
        handed.add(String(metadata.globalPosition))
        await sleep(handlerMs)
      }),
    })
    consumer.start().catch(() => {})
    onTestFinished(() => consumer.close())
    return { name: `emmett ${handlerMs} ms`, monitor, handed }
  })
  const stopping = Date.now() + RUN_MS
  const write = async (writer: number): Promise<void> => {
    for (let n = 0; Date.now() < stopping; n++) {
      await events.appendToStream(`cart-${writer}-${n}`, [{ type: 'Added', data: {} }])
      await sleep(random.below(100))
    }
  }
  const writeElsewhereFirst = async (writer: number): Promise<void> => {
    const client = await store.connect()
    for (let n = 0; Date.now() < stopping; n++) {
      await client.query('begin; insert into unrelated values (1)')
      await sleep(random.below(50))
      await client.query(
        `select * from emt_append_to_stream(array[gen_random_uuid()::text], array['{}'::jsonb], array['{}'::jsonb],
          array['1'], array['Added'], array['E'], $1, 'order', null, 'emt:default')`,
        [`order-${writer}-${n}`],
      )
      await sleep(random.below(100))
      await client.query('commit')
    }
    await client.end()
  }
  await Promise.all([0, 1, 2].flatMap((writer) => [write(writer), writeElsewhereFirst(writer)]))
  const append = async (): Promise<string> => {
    const { lastEventGlobalPosition } = await events.appendToStream(`last-${Date.now()}`, [
      { type: 'Added', data: {} },
    ])
    return String(lastEventGlobalPosition)
  }
  for (const each of consumers) await untilTold(each, append)
  const stored = await positions(store, 'select global_position::text as position from emt_messages')
  for (const each of consumers) expectAllTold(each, stored)
}, 90_000)

test('Emmett starts a processor where another one stands: what it passes over is told, though it was visible', async () => {
  const store = await chaosStore()
  const events = getPostgreSQLEventStore(store.url)
  onTestFinished(() => events.close())
  await events.schema.migrate()
  const handed = { behind: new Set<string>(), ahead: new Set<string>() }
  const append = async (count: number): Promise<string> => {
    const added = Array.from({ length: count }, () => ({ type: 'Added', data: {} }))
    const { lastEventGlobalPosition } = await events.appendToStream(`cart-${Date.now()}`, added)
    return String(lastEventGlobalPosition)
  }
  const handler =
    (name: 'behind' | 'ahead') =>
    async ({ metadata }: Message) =>
      void handed[name].add(String(metadata.globalPosition))
  const run = async (names: readonly ('behind' | 'ahead')[], last: string): Promise<void> => {
    const consumer = postgreSQLEventStoreConsumer({ connectionString: store.url })
    for (const name of names) consumer.reactor({ processorId: name, eachMessage: handler(name) })
    consumer.start().catch(() => {})
    await expect.poll(() => names.every((name) => handed[name].has(last)), { timeout: 20_000 }).toBe(true)
    await consumer.close()
  }
  await run(['behind'], await append(3))
  await run(['ahead'], await append(7))
  const monitor = monitorOf<Message>(store, {
    projection: 'behind',
    position: positionOf,
    eventTypes: 'all',
    from: 3n,
    lookIntervalMs: 50,
    table: emmett().events,
  })
  const consumer = postgreSQLEventStoreConsumer({ connectionString: store.url })
  consumer.reactor({ processorId: 'behind', eachMessage: monitor.wrap(handler('behind')) })
  consumer.reactor({ processorId: 'ahead', eachMessage: handler('ahead') })
  consumer.start().catch(() => {})
  onTestFinished(() => consumer.close())
  await untilTold({ name: 'behind', monitor, handed: handed.behind }, () => append(1))
  expect(monitor.lost().map(({ position }) => position)).toEqual([4n, 5n, 6n, 7n, 8n, 9n, 10n])
  expectAllTold(
    { name: 'behind', monitor, handed: handed.behind },
    await positions(store, 'select global_position::text as position from emt_messages'),
  )
}, 60_000)
