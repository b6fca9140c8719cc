import { readFileSync } from 'node:fs'
import { getPostgreSQLEventStore, postgreSQLEventStoreConsumer } from '@event-driven-io/emmett-postgresql'
import { createDaemon, createHighWaterAgent, createWatch } from '@tidemark/core'
import {
  emmett,
  type PostgresRow,
  postgresCheckpoints,
  postgresConsumers,
  postgresEvents,
  watchedPostgresEvents,
} from '@tidemark/pg-adapter'
import { Client, type ClientBase, Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { ownServer } from '../support/database.ts'
import { eventually } from '../support/event-table.ts'

const PAGE = readFileSync(new URL('../../docs/from-emmett.md', import.meta.url), 'utf8')

/** The statements of docs/from-emmett.md, in their order. */
const [PREPARE, LEFT_BY_EMMETT] = [...PAGE.matchAll(/```sql\n([^`]*)```/g)].map(([, sql]) => sql ?? '')
const [, DUE] = /const DUE = `([^`]*)`/.exec(PAGE) ?? []

interface Message {
  readonly metadata: { readonly globalPosition: bigint }
}

/** The handler, the same under Emmett and under Tidemark. */
const eachMessage = async (
  { metadata }: Message,
  { connection }: { readonly connection: { readonly client: unknown } },
): Promise<void> => {
  await (connection.client as ClientBase).query('insert into orders (position) values ($1)', [
    metadata.globalPosition,
  ])
}

/** As the page has it, but for what this handler does not read. */
const toMessage = (row: PostgresRow, position: bigint) => ({
  type: String(row.message_type),
  data: row.message_data,
  metadata: { streamName: String(row.stream_id), globalPosition: position },
})

test('the way over from Emmett: what it had lost, and what comes after its checkpoint, is handled once', async () => {
  const { url, connect, pool } = await database()
  const store = getPostgreSQLEventStore(url)
  onTestFinished(() => store.close())
  await store.schema.migrate()
  await pool.query('create table orders (position bigint not null); create table elsewhere (a int)')
  const append = (stream: string) => store.appendToStream(stream, [{ type: 'Added', data: {} }])

  // 1. The watch beside it.
  const emmettConsumer = postgreSQLEventStoreConsumer({ connectionString: url })
  emmettConsumer.reactor({ processorId: 'orders', eachMessage })
  emmettConsumer.start().catch(() => {})
  const { events, consumers } = emmett()
  const watch = createWatch({
    source: watchedPostgresEvents({ pool, ...events }),
    consumers: postgresConsumers({ pool, ...consumers, eventTypes: { 'orders:emt:default:1': 'all' } }),
  })
  onTestFinished(() => watch.stop())
  await watch.start()
  await append('first')
  await eventually(() => handled(pool)).toHaveLength(1)
  const lost = await losesOne(connect)
  await eventually(() => watch.status().consumers[0]?.exposedPositions).toBe(1n)
  await lost.commit()
  await append('after it')
  await eventually(() => watch.lost().map(({ position }) => position)).toEqual([lost.position])

  // 2. The table, while Emmett runs.
  await pool.query(PREPARE ?? '')

  // 4. Emmett is stopped, while a transaction is open that holds a number below its checkpoint.
  const open = await losesOne(connect)
  await emmettConsumer.close()
  const before = await handled(pool)
  const source = postgresEvents({ pool, ...events, mapRow: toMessage })
  const { rows } = await pool.query(
    `select last_processed_checkpoint from emt_processors where processor_id = 'orders'`,
  )
  const checkpoint = BigInt(rows[0].last_processed_checkpoint)
  expect(checkpoint).toBeGreaterThan(open.position)
  const highWater = createHighWaterAgent({ source })
  onTestFinished(() => highWater.stop())
  await highWater.start()
  let isSettled = false
  const settled = highWater.waitFor(checkpoint).then(() => {
    isSettled = true
  })
  await eventually(() => highWater.status().holders.length).toBe(1)
  expect(isSettled).toBe(false)
  await open.commit()
  await settled
  await highWater.stop()
  await pool.query(LEFT_BY_EMMETT ?? '')
  const left = await pool.query('select position from left_by_emmett order by position')
  expect(left.rows.map(({ position }) => BigInt(position))).toEqual([lost.position, open.position])

  // 5. The same handler.
  await append('new')
  const daemon = createDaemon({
    source,
    checkpoints: postgresCheckpoints({ pool }),
    projections: [
      {
        name: 'orders',
        handle: async (messages, { tx }) => {
          const { rows } = await tx.query(DUE ?? '', [
            messages.map(({ metadata }) => metadata.globalPosition),
          ])
          const due = new Set(rows.map(({ position }) => BigInt(position)))
          for (const message of messages) {
            if (due.has(message.metadata.globalPosition))
              await eachMessage(message, { connection: { client: tx } })
          }
        },
      },
    ],
  })
  onTestFinished(() => daemon.stop())
  await daemon.start()
  await daemon.waitUntilProjected()
  const stored = await pool.query('select global_position as position from emt_messages order by 1')
  const last = BigInt(stored.rows.at(-1).position)
  expect(await handled(pool)).toEqual([...before, lost.position, open.position, last].toSorted(ascending))
  expect(await handled(pool)).toEqual(stored.rows.map(({ position }) => BigInt(position)))
}, 60_000)

/** A server of its own: Emmett waits for transactions of other databases too. */
async function database() {
  const server = await ownServer()
  onTestFinished(() => server.dispose())
  const { url } = server
  const pool = new Pool({ connectionString: url })
  pool.on('error', () => {})
  onTestFinished(() => pool.end())
  const connect = async (): Promise<Client> => {
    const client = new Client(url)
    client.on('error', () => {})
    await client.connect()
    onTestFinished(() => client.end())
    return client
  }
  return { url, pool, connect }
}

/**
 * An event of a transaction that stays open. Emmett passes it: one that began earlier has appended above it. Resolves when it
 * has been passed.
 */
async function losesOne(connect: () => Promise<Client>) {
  const [older, newer] = [await connect(), await connect()]
  await older.query('begin; insert into elsewhere values (1)')
  await newer.query('begin')
  const position = await append(newer)
  const above = await append(older)
  await older.query('commit')
  await eventually(async () => {
    const { rowCount } = await older.query('select from orders where position = $1', [above])
    return rowCount
  }).toBe(1)
  return { position, commit: () => newer.query('commit') }
}

async function append(client: Client): Promise<bigint> {
  const { rows } = await client.query(
    `select global_positions[1] as position from emt_append_to_stream(array[gen_random_uuid()::text], array['{}'::jsonb],
      array['{}'::jsonb], array['1'], array['Added'], array['E'], gen_random_uuid()::text, 'order', null, 'emt:default')`,
  )
  return BigInt(rows[0].position)
}

async function handled(pool: Pool): Promise<readonly bigint[]> {
  const { rows } = await pool.query('select position from orders order by position')
  return rows.map(({ position }) => BigInt(position))
}

const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0)
