import { getPostgreSQLEventStore, postgreSQLEventStoreConsumer } from '@event-driven-io/emmett-postgresql'
import { createDaemon } from '@tidemark/core'
import {
  type PostgresRow,
  postgresCheckpoints,
  postgresEvents,
  type WakeUpsOption,
} from '@tidemark/pg-adapter'
import { Logger, run, runMigrations } from 'graphile-worker'
import pg from 'pg'
import type { AppendOrder } from './protocol.ts'

export const CONSUMERS = ['wait', 'listen', 'none', 'Emmett', 'graphile-worker'] as const
export type ConsumerName = (typeof CONSUMERS)[number]

export const CHANNEL = 'appended'

/** Called at the end of the handler, with the number of its event. */
type OnHandled = (n: number) => void | Promise<void>

/** How often Tidemark's daemon polls. */
export interface Cadence {
  readonly pollDelayMs?: number
}

/** What only Tidemark's daemon is given. */
interface Settings extends Cadence {
  readonly projections: number
}

export interface Consumer {
  stop(): Promise<void>
}

/** What the writers have to do for it. */
export function storeFor(name: ConsumerName): AppendOrder['store'] {
  if (name === 'Emmett') return 'emmett'
  return name === 'graphile-worker' ? 'table and jobs' : 'table'
}

/** Prepares the events for it, as their owner does. */
export async function prepare(name: ConsumerName, connectionString: string): Promise<void> {
  if (name === 'graphile-worker') await runMigrations({ connectionString, logger: SILENT })
  if (name !== 'Emmett') return
  const store = getPostgreSQLEventStore(connectionString)
  await store.schema.migrate()
  await store.close()
}

export async function startConsumer(
  name: ConsumerName,
  connectionString: string,
  settings: Settings,
  onHandled: OnHandled,
): Promise<Consumer> {
  if (name === 'Emmett') return startEmmett(connectionString, onHandled)
  if (name === 'graphile-worker') return await startGraphileWorker(connectionString, onHandled)
  return await startTidemark(name, connectionString, settings, onHandled)
}

/** One of the projections is looked at. */
async function startTidemark(
  name: 'wait' | 'listen' | 'none',
  connectionString: string,
  { projections, ...cadence }: Settings,
  onHandled: OnHandled,
): Promise<Consumer> {
  const pool = new pg.Pool({ connectionString })
  const wakeUps: WakeUpsOption = name === 'listen' ? { listen: CHANNEL } : name
  const daemon = createDaemon({
    ...cadence,
    source: postgresEvents({ pool, table: 'events', eventType: 'type', wakeUps }),
    checkpoints: postgresCheckpoints({ pool }),
    projections: Array.from({ length: projections }, (_, index) => ({
      name: `projection_${index + 1}`,
      handle: async (rows: readonly PostgresRow[]) => {
        if (index === 0) for (const { data } of rows) await onHandled((data as { n: number }).n)
      },
    })),
  })
  await daemon.start()
  await daemon.waitUntilProjected()
  return {
    stop: async () => {
      await daemon.stop()
      await pool.end()
    },
  }
}

/** With its defaults: it pulls again 50 ms after a page. */
function startEmmett(connectionString: string, onHandled: OnHandled): Consumer {
  const consumer = postgreSQLEventStoreConsumer({ connectionString })
  consumer.reactor<{ type: string; data: { n: number }; kind?: 'Event' }>({
    processorId: 'delay',
    eachMessage: ({ data }) => onHandled(data.n),
  })
  void consumer.start()
  return { stop: () => consumer.close() }
}

/** With its defaults: one job at a time, and a notification from each transaction that adds one. */
async function startGraphileWorker(connectionString: string, onHandled: OnHandled): Promise<Consumer> {
  return await run({
    connectionString,
    logger: SILENT,
    noHandleSignals: true,
    taskList: {
      appended: async (payload) => {
        const { first, last } = payload as { first: number; last: number }
        for (let n = first; n <= last; n++) await onHandled(n)
      },
    },
  })
}

const SILENT = new Logger(() => () => {})
