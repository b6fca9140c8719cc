import { getPostgreSQLEventStore, postgreSQLEventStoreConsumer } from '@event-driven-io/emmett-postgresql'
import { createDaemon } from '@tidemark/core'
import {
  type PostgresRow,
  postgresCheckpoints,
  postgresEvents,
  type WakeUpsOption,
} from '@tidemark/pg-adapter'
import pg from 'pg'

export const CONSUMERS = ['wait', 'listen', 'none', 'Emmett'] as const
export type ConsumerName = (typeof CONSUMERS)[number]

export const CHANNEL = 'appended'

/** Called at the end of the handler, with the number of its event. */
type OnHandled = (n: number) => void

export interface Consumer {
  stop(): Promise<void>
}

/** Prepares the events for it, as their owner does. */
export async function prepare(name: ConsumerName, connectionString: string): Promise<void> {
  if (name !== 'Emmett') return
  const store = getPostgreSQLEventStore(connectionString)
  await store.schema.migrate()
  await store.close()
}

export async function startConsumer(
  name: ConsumerName,
  connectionString: string,
  projections: number,
  onHandled: OnHandled,
): Promise<Consumer> {
  return name === 'Emmett'
    ? startEmmett(connectionString, onHandled)
    : await startTidemark(name, connectionString, projections, onHandled)
}

/** One of the projections is looked at. */
async function startTidemark(
  name: 'wait' | 'listen' | 'none',
  connectionString: string,
  projections: number,
  onHandled: OnHandled,
): Promise<Consumer> {
  const pool = new pg.Pool({ connectionString })
  const wakeUps: WakeUpsOption = name === 'listen' ? { listen: CHANNEL } : name
  const daemon = createDaemon({
    source: postgresEvents({ pool, table: 'events', eventType: 'type', wakeUps }),
    checkpoints: postgresCheckpoints({ pool }),
    projections: Array.from({ length: projections }, (_, index) => ({
      name: `projection_${index + 1}`,
      handle: (rows: readonly PostgresRow[]) => {
        if (index === 0) for (const { data } of rows) onHandled((data as { n: number }).n)
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
