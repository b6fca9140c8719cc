import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { type PgClient, postgresEvents } from '@tidemark/pg-adapter'
import { expect, onTestFinished, test } from 'vitest'
import {
  agentOver,
  checkpointsBeside,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()

/** A server that was told to shut down, in the protocol's words. */
const FAREWELL = errorResponse({ S: 'FATAL', V: 'FATAL', C: '57P01', M: 'terminating connection' })
/** ReadyForQuery, outside of a transaction: the connection is complete. */
const READY = Buffer.from('5a0000000549', 'hex')

test('a server that takes its leave in the packet that completes a connection does not end the process', async () => {
  const events = await db.events()
  const last = await events.append(2)
  const leaving = await leavingServer(5)
  const agent = await agentOver({ pool: db.newPool({ connectionString: leaving.url }), table: events.name })
  await agent.waitFor(last)
  await eventually(() => leaving.farewells()).toBe(5)
})

test('a pool whose connections lead to what is now a reader throws each away, and the node goes on by itself on those that lead to the writer', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  // What a standby answers. The rest of it is refused in a transaction that is read-only.
  await events.run(`
    create function pg_is_in_recovery() returns boolean language sql as 'select true';
    create function pg_current_wal_insert_lsn() returns pg_lsn language plpgsql as $$
      begin raise sqlstate '55000' using message = 'recovery is in progress'; end $$`)
  const asReader = `-c default_transaction_read_only=on -c search_path=${events.schema},pg_catalog`
  const pool = db.newPool({ application_name: events.schema })
  const connected: number[] = []
  pool.on('connect', ({ processID }: PgClient) => connected.push(Number(processID)))
  const states: string[] = []
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, pool),
    nodes: {},
    projections: [recorder(events, 'orders')],
    telemetry: { projectionStateChanged: ({ state }) => states.push(state) },
  })
  await events.append()
  await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  connected.splice(0)
  // A failover: the name leads to the former primary, which lets in whoever comes.
  pool.options.options = asReader
  await db.pool.query('select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1', [
    events.schema,
  ])
  await events.append()
  await eventually(() => connected.length).toBeGreaterThanOrEqual(4)
  const readers = [...connected]
  expect(await handledBy(db.pool, events, 'orders')).toEqual([1n])
  pool.options.options = undefined
  await events.append()
  await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  expect(await handledBy(db.pool, events, 'orders')).toEqual([1n, 2n, 3n])
  await eventually(async () => {
    const { rows } = await db.pool.query('select pid, query from pg_stat_activity where pid = any ($1)', [
      readers,
    ])
    return rows
  }).toEqual([])
  expect(states).not.toContain('paused')
})

/** Stands before the server, and ends the first `times` connections as soon as they are there. */
async function leavingServer(times: number) {
  let farewells = 0
  const url = new URL(db.url)
  const listener = createServer((client) => {
    const upstream = connect(Number(url.port), url.hostname)
    client.pipe(upstream)
    upstream.on('data', (data) => {
      if (farewells === times || !data.subarray(-READY.length).equals(READY)) return client.write(data)
      farewells++
      client.end(Buffer.concat([data, FAREWELL]))
    })
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy()).on('close', () => other.destroy())
    }
  })
  onTestFinished(() => void listener.close())
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const leaving = new URL(db.url)
  leaving.hostname = '127.0.0.1'
  leaving.port = String((listener.address() as AddressInfo).port)
  return { url: leaving.href, farewells: () => farewells }
}

function errorResponse(fields: Readonly<Record<string, string>>): Buffer {
  const body = Buffer.from(
    `${Object.entries(fields)
      .map(([name, value]) => `${name}${value}\0`)
      .join('')}\0`,
  )
  const head = Buffer.alloc(5)
  head.write('E')
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}
