import { setTimeout as sleep } from 'node:timers/promises'
import { getPostgreSQLEventStore, postgreSQLEventStoreConsumer } from '@event-driven-io/emmett-postgresql'
import { createWatch } from '@tidemark/core'
import { emmett, postgresConsumers, watchedPostgresEvents } from '@tidemark/pg-adapter'
import type { Client } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { branch, seeded } from './seed.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { until } from './until.ts'

/** Events a second, by all writers together. */
const RATES = [10, 50, 200]
const RUN_MS = 8_000
const WRITERS = 4
const RARE = 'Paid'

/** A consumer of this test: what its handler was given. */
interface Reader {
  /** As its row says: processor, partition, version. */
  readonly key: string
  readonly types: readonly string[] | 'all'
  readonly got: ReadonlySet<string>
}

test('Emmett at low and high rates, and the pairs of 0.43: none of them is accused of an event that it handled', async () => {
  const store = await chaosStore()
  const random = seeded('Emmett at many rates')
  const events = getPostgreSQLEventStore(store.url)
  onTestFinished(() => events.close())
  await events.schema.migrate()
  const readers = [
    startEmmett(store, 'usual', {}),
    // Short pulls, and a processor that handles some types.
    startEmmett(store, 'tuned', { pulling: { pullingFrequencyInMs: 10, batchSize: 500 }, types: [RARE] }),
    await startPairs(store),
  ]
  const { events: table, consumers } = emmett()
  const pool = store.pool({ max: 4 })
  const watch = createWatch({
    source: watchedPostgresEvents({ pool, ...table }),
    consumers: postgresConsumers({
      pool,
      ...consumers,
      eventTypes: Object.fromEntries(readers.map(({ key, types }) => [key, types])),
    }),
  })
  onTestFinished(() => watch.stop())
  await watch.start()
  await until('all have a checkpoint', async () => watch.status().consumers.length === readers.length)

  for (const rate of RATES) {
    const stopping = Date.now() + RUN_MS
    const writers = Array.from({ length: WRITERS }, async (_, writer) => {
      const chosen = branch(random)
      const client = await store.connect()
      for (let n = 0; Date.now() < stopping; n++) {
        await sleep((chosen.below(2_000) * WRITERS) / rate)
        const type = chosen.chance(0.3) ? RARE : 'Added'
        if (writer > 0) await events.appendToStream(`cart-${rate}-${writer}-${n}`, [{ type, data: {} }])
        else await appendAfterAnotherWrite(client, `order-${rate}-${n}`, type)
      }
      await client.end()
    })
    const passed = async (): Promise<void> => {
      for (let n = 0; Date.now() < stopping; n++) await isPassedWhileOpen(store, `open-${rate}-${n}`)
    }
    await Promise.all([...writers, passed()])
    const last = await events.appendToStream(`last-${rate}`, [{ type: RARE, data: {} }])
    const end = String(last.lastEventGlobalPosition)
    await until(`all have come to ${end}`, async () => readers.every(({ got }) => got.has(end)))
  }
  const { looks } = watch.status()
  await until('the watch has looked', async () => watch.status().looks > looks + 2)
  await watch.stop()

  const { rows } = await store.query(
    'select global_position::text as position, message_type as type from emt_messages',
  )
  for (const { key, types, got } of readers) {
    const wanted = rows.filter(({ type }) => types === 'all' || types.includes(type))
    const lost = wanted.map(({ position }) => position).filter((position) => !got.has(position))
    const said = watch
      .lost()
      .flatMap(({ consumer, position }) => (consumer === `emt_processors.${key}` ? [String(position)] : []))
    console.info(JSON.stringify({ key, stored: wanted.length, lost: lost.length, said: said.length }))
    expect(said.filter((position) => !lost.includes(position))).toEqual([])
    if (key.startsWith('usual')) expect(said.length).toBeGreaterThan(0)
    if (key.startsWith('pairs')) expect({ lost, said }).toEqual({ lost: [], said: [] })
  }
}, 120_000)

interface EmmettOptions {
  readonly pulling?: { readonly pullingFrequencyInMs: number; readonly batchSize: number }
  readonly types?: readonly string[]
}

function startEmmett(store: ChaosStore, processorId: string, { pulling, types }: EmmettOptions): Reader {
  const got = new Set<string>()
  const consumer = postgreSQLEventStoreConsumer({
    connectionString: store.url,
    ...(pulling === undefined ? {} : { pulling }),
  })
  consumer.reactor({
    processorId,
    ...(types === undefined ? {} : { canHandle: [...types] }),
    eachMessage: async ({ metadata }) => void got.add(String(metadata.globalPosition)),
  })
  consumer.start().catch(() => {})
  onTestFinished(() => consumer.close())
  return { key: `${processorId}:emt:default:1`, types: types ?? 'all', got }
}

/** Reads, and keeps its checkpoint, as 0.43 does: pairs of transaction and position, as text. */
async function startPairs(store: ChaosStore): Promise<Reader> {
  const client = await store.connect()
  const got = new Set<string>()
  await client.query(
    `insert into emt_processors (processor_id, last_processed_checkpoint, last_processed_transaction_id)
     values ('pairs', $1, '0')`,
    [pairText('0', '0')],
  )
  let isStopped = false
  let after = ['0', '0']
  const round = async (): Promise<void> => {
    await client.query('begin')
    const { rows } = await client.query(
      `select transaction_id::text as transaction, global_position::text as position from emt_messages
       where partition = 'emt:default' and not is_archived
         and transaction_id < pg_snapshot_xmin(pg_current_snapshot())
         and (transaction_id, global_position) > ($1::xid8, $2::bigint)
       order by transaction_id, global_position limit 100`,
      after,
    )
    const last = rows.at(-1)
    if (last !== undefined) {
      after = [last.transaction, last.position]
      await client.query(
        `update emt_processors set last_processed_checkpoint = $1 where processor_id = 'pairs'`,
        [pairText(last.transaction, last.position)],
      )
    }
    await client.query('commit')
    for (const { position } of rows) got.add(position)
  }
  const running = (async () => {
    while (!isStopped) {
      await round()
      await sleep(20)
    }
  })()
  running.catch(() => {})
  onTestFinished(async () => {
    isStopped = true
    await running
    await client.end()
  })
  return { key: 'pairs:emt:default:1', types: 'all', got }
}

function pairText(transaction: string, position: string): string {
  return `${transaction.padStart(20, '0')}:${position.padStart(19, '0')}`
}

/** As with an outbox: its transaction id is older than its position. */
async function appendAfterAnotherWrite(client: Client, stream: string, type: string): Promise<void> {
  await client.query('begin; insert into unrelated values (1)')
  await sleep(20)
  await append(client, stream, type)
  await client.query('commit')
}

/** Open for longer than a pull takes, while an older transaction appends above: Emmett 0.42 loses it, and 0.43 reads it later. */
async function isPassedWhileOpen(store: ChaosStore, stream: string): Promise<void> {
  const [older, newer] = [await store.connect(), await store.connect()]
  await older.query('begin; insert into unrelated values (1)')
  await newer.query('begin')
  await append(newer, `${stream}-newer`, RARE)
  await append(older, `${stream}-older`, RARE)
  await older.query('commit')
  await sleep(1_500)
  await newer.query('commit')
  await Promise.all([older.end(), newer.end()])
}

async function append(client: Client, stream: string, type: string): Promise<void> {
  await client.query(
    `select * from emt_append_to_stream(array[gen_random_uuid()::text], array['{}'::jsonb], array['{}'::jsonb],
      array['1'], array[$2::text], array['E'], $1, 'order', null, 'emt:default')`,
    [stream, type],
  )
}
