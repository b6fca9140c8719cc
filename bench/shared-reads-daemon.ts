/** The daemons of `bench:shared-reads`, in a process of their own. */
import { createDaemon, type Daemon, type Projection } from '@tidemark/core'
import { type PgClient, type PostgresRow, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import pg from 'pg'
import { machineNowMs } from './mark/writers-protocol.ts'
import type { DaemonLook, DaemonOrder, Delays, Layout } from './shared-reads/protocol.ts'
import { answerQuestions } from './support/child.ts'
import { percentile } from './support/statistics.ts'

/** For each projection in turn, when it has handled each event; `NaN` where it has not. */
let handledAtMs = new Float64Array()
let mostEvents = 0
let handled = 0
let polls = 0
let residentBefore = 0
const daemons: Daemon<bigint>[] = []
const pools: pg.Pool[] = []

answerQuestions<DaemonOrder>(async (order) => {
  if (order.kind === 'start') await start(order)
  if (order.kind === 'stop') {
    await Promise.all(daemons.map((daemon) => daemon.stop()))
    await Promise.all(pools.map((pool) => pool.end()))
  }
  return order.kind === 'delays' ? { ...delays(order.committedAtMs) } : { ...look() }
})

async function start(order: Extract<DaemonOrder, { kind: 'start' }>): Promise<void> {
  const { layout, readAt, writeAt } = order
  mostEvents = order.mostEvents
  handledAtMs = new Float64Array(layout.projections * mostEvents).fill(Number.NaN)
  residentBefore = process.memoryUsage.rss()
  const units = layout.projections * layout.shards
  const reading = new pg.Pool({ connectionString: readAt, max: 10 * layout.daemons })
  const writing = new pg.Pool({ connectionString: writeAt, max: Math.max(10, units / 2) })
  pools.push(reading, writing)
  const projections = Array.from({ length: layout.projections }, (_, index) => projectionOf(layout, index))
  const each = layout.projections / layout.daemons
  for (let from = 0; from < projections.length; from += each) {
    daemons.push(
      createDaemon({
        source: postgresEvents({ pool: reading, table: 'events', eventType: 'type' }),
        checkpoints: postgresCheckpoints({ pool: writing }),
        projections: projections.slice(from, from + each),
        telemetry: { polled: () => void polls++ },
      }),
    )
  }
  await Promise.all(daemons.map((daemon) => daemon.start()))
  await Promise.all(daemons.map((daemon) => daemon.waitUntilProjected()))
}

function projectionOf({ hasTypeEach, shards }: Layout, index: number): Projection<PostgresRow, PgClient> {
  return {
    name: `projection_${index}`,
    ...(hasTypeEach ? { eventTypes: [`type-${index}`] } : {}),
    ...(shards === 1 ? {} : { shards, shardBy: 'stream' }),
    handle: (rows: readonly PostgresRow[]): void => {
      for (const { data } of rows) {
        const { n } = data as { n: number }
        // The first event has shown the columns.
        if (n < 0) continue
        handledAtMs[index * mostEvents + n] = machineNowMs()
        handled++
      }
    },
  }
}

function look(): DaemonLook {
  const { user, system } = process.cpuUsage()
  const resident = process.memoryUsage.rss()
  return { handled, polls, cpuSeconds: (user + system) / 1e6, residentBefore, resident }
}

function delays(committedAtMs: readonly number[]): Delays {
  const all: number[] = []
  for (const [at, ms] of handledAtMs.entries()) {
    const committedMs = committedAtMs[at % mostEvents]
    if (committedMs !== undefined && !Number.isNaN(ms)) all.push(Math.max(0, ms - committedMs))
  }
  return { p50: percentile(all, 50), p99: percentile(all, 99) }
}
