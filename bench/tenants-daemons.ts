// The daemons of all tenants, in a process of their own: see tenants.ts.
import { createDaemon, type Daemon } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import pg from 'pg'
import { answerQuestions } from './support/child.ts'
import type { Layout, TenantsOrder, TenantsReport } from './tenants/layouts.ts'

/** So many start at once: a start takes more than what follows. */
const STARTS_AT_ONCE = 8

const residentBefore = process.memoryUsage.rss()
const pools = new Map<string, pg.Pool>()
const daemons: Daemon<bigint>[] = []
let handled = 0
let delays: number[] = []

answerQuestions<TenantsOrder>(async (order) => {
  if (order.kind === 'start') await start(order.layout, order.tenants)
  if (order.kind === 'stop') await stop()
  const report: TenantsReport = { residentBefore, resident: process.memoryUsage.rss(), handled, delays }
  delays = []
  return { ...report }
})

async function start(
  layout: Layout,
  tenants: readonly (readonly [url: string, table: string])[],
): Promise<void> {
  const waiting = tenants.map(([url, table]) => daemonOf(layout, poolOf(layout, url), table))
  daemons.push(...waiting)
  const next = async (): Promise<void> => {
    for (let daemon = waiting.pop(); daemon; daemon = waiting.pop()) await daemon.start()
  }
  await Promise.all(Array.from({ length: STARTS_AT_ONCE }, next))
}

function poolOf(layout: Layout, url: string): pg.Pool {
  const pool = pools.get(url) ?? new pg.Pool({ connectionString: url, ...layout.pool })
  pools.set(url, pool)
  return pool
}

function daemonOf({ wakeUps, pollIntervalMs }: Layout, pool: pg.Pool, table: string): Daemon<bigint> {
  return createDaemon({
    source: postgresEvents({
      pool,
      table,
      wakeUps,
      columns: ['created_at'],
      mapRow: ({ created_at }) => created_at as Date,
    }),
    checkpoints: postgresCheckpoints({ pool }),
    ...(pollIntervalMs === undefined ? {} : { pollIntervalMs }),
    projections: [
      {
        name: `of ${table}`,
        handle: async (events, { tx }) => {
          await tx.query('select 1')
          const nowMs = Date.now()
          handled += events.length
          for (const appendedAt of events) delays.push(nowMs - appendedAt.getTime())
        },
      },
    ],
  })
}

async function stop(): Promise<void> {
  await Promise.all(daemons.map((daemon) => daemon.stop()))
  await Promise.all([...pools.values()].map((pool) => pool.end()))
}
