/** A daemon over `$all` while events come at an even rate, in a process of its own. */
import { createDaemon } from '@tidemark/core'
import { type EsdbEvent, esdbCheckpoints, esdbEvents } from '@tidemark/esdb-adapter'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import pg from 'pg'
import { connect, evenly } from './all/connect.ts'
import type { Progress } from './all/protocol.ts'
import { percentile } from './support/statistics.ts'

const [name = '', port, eventsPerSecond, seconds, checkpoints, connectionString] = process.argv.slice(2)
const { client, dispose } = await connect(name, Number(port))
const writer = await connect(name, Number(port))
const pool = new pg.Pool({ connectionString })
const delaysMs: number[] = []

const handle = (events: readonly EsdbEvent[]): void => {
  const now = performance.now()
  for (const { event } of events) {
    const { atMs } = (event?.data ?? {}) as { atMs?: number }
    if (atMs !== undefined) delaysMs.push(now - atMs)
  }
}
const source = esdbEvents({ client, filter: { filterOn: 'streamName', prefixes: ['steady-'] } })
const projections = [{ name: `steady ${name} ${eventsPerSecond}`, handle }]
const daemon =
  checkpoints === 'in Postgres'
    ? createDaemon({ source, checkpoints: postgresCheckpoints({ pool }), projections })
    : createDaemon({ source, checkpoints: esdbCheckpoints({ client }), projections })
await daemon.start()
const appends: Promise<void>[] = []
const written = await evenly(Number(eventsPerSecond), Number(seconds), () => {
  appends.push(writer.append(`steady-${appends.length % 10}`, 1, { atMs: performance.now() }))
})
await Promise.all(appends)
await daemon.waitUntilProjected()
await daemon.stop()
await Promise.all([dispose(), writer.dispose(), pool.end()])
process.send?.({
  written,
  handled: delaysMs.length,
  p50Ms: percentile(delaysMs, 50),
  p99Ms: percentile(delaysMs, 99),
  longestMs: delaysMs.reduce((longest, ms) => Math.max(longest, ms), 0),
} satisfies Progress)
process.disconnect()
