import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { startChild } from '../support/child.ts'
import { createDatabase } from '../support/database.ts'
import { serverCpuSeconds } from '../tenants/server-cost.ts'
import type { ShardsOrder, ShardsReport, Work } from './protocol.ts'

export interface Trial {
  readonly work: Work
  readonly shards: number
  /** Processes that share the shards. */
  readonly processes: number
  /** There before the daemons start. */
  readonly events: number
  /** Their keys come in turns. */
  readonly keys: number
}

export interface TrialResult {
  readonly events: number
  readonly eventsPerSecond: number
  /** The events of the shard that had most, against an even share. */
  readonly largestShare: number
  /** Cores that the processes with the daemons, and the server, have used on average. */
  readonly nodeCores: number
  readonly serverCores: number
}

let databases = 0

/** From the first call of a handler to the commit of the last batch. Throws unless each event came once, in the order of its key. */
export async function runTrial(server: EmbeddedPostgres, trial: Trial): Promise<TrialResult> {
  const { work, shards, processes, events, keys } = trial
  const database = `shards_${++databases}`
  const admin = await createDatabase(server, database)
  await admin.query(`create table events (position bigint generated always as identity primary key,
    key text not null, number int not null, data jsonb not null)`)
  await admin.query(
    `insert into events (key, number, data)
     select 'account-' || n % $2::int, n / $2::int, jsonb_build_object('amount', n % 997, 'reference', md5(n::text),
       'note', 'invoice ' || n || ', thank you for your business')
     from generate_series(0, $1::int - 1) n`,
    [events, keys],
  )
  await admin.query('vacuum (analyze) events')
  await admin.end()
  const workers = Array.from({ length: processes }, () => startChild('shards-worker'))
  const connectionString = server.connectionString(database)
  const cpuBefore = await serverCpuSeconds(server.postmasterPid)
  const reports = await Promise.all(
    workers.map((worker, index) => {
      const order: ShardsOrder = { connectionString, shards, index, of: processes, work }
      return worker.ask<ShardsReport>({ ...order })
    }),
  )
  const serverSeconds = (await serverCpuSeconds(server.postmasterPid)) - cpuBefore
  await Promise.all(workers.map((worker) => worker.end()))
  requireEachOnce(reports, events)
  const seconds =
    (Math.max(...reports.map(({ lastAtMs }) => lastAtMs)) -
      Math.min(...reports.map(({ firstAtMs }) => firstAtMs))) /
    1_000
  const nodeSeconds = reports.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0)
  const largest = Math.max(...reports.flatMap(({ byShard }) => byShard))
  return {
    events,
    eventsPerSecond: events / seconds,
    largestShare: (largest * shards) / events,
    nodeCores: nodeSeconds / seconds,
    serverCores: serverSeconds / seconds,
  }
}

/** No key may have come to two processes: each begins with its first event wherever it comes. */
function requireEachOnce(reports: readonly ShardsReport[], events: number): void {
  for (const { outOfOrder } of reports) {
    if (outOfOrder !== undefined) throw new Error(`the order of a key was broken: ${outOfOrder}`)
  }
  const handled = reports.reduce((sum, report) => sum + report.handled, 0)
  if (handled !== events) throw new Error(`${handled} events were handled, expected ${events}`)
}
