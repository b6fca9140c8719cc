import { createWatch, type LossMonitorOptions, monitorHandler, type Watch } from '@tidemark/core'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { emmett, postgresConsumers, watchedPostgresEvents } from '@tidemark/pg-adapter'
import type pg from 'pg'
import type { Registry } from 'prom-client'
import type { DemoDatabase } from '../database.ts'
import { weightedBehaviours } from '../writers/behaviours.ts'
import type { Writers } from '../writers/writers.ts'
import type { Consumer } from './consumer.ts'
import { EmmettConsumer, type EmmettMessage, WATCHED_PROCESSOR } from './emmett.ts'
import { LOOPS_TABLE, Loop } from './loop.ts'
import type { WatchDemoOptions } from './options.ts'
import { emmettStore, ownStore, type Store } from './store.ts'
import type { Voice } from './voice.ts'

/** A table, who reads it, the monitors around their handlers, and the watch beside them. */
export interface Scene {
  readonly store: Store
  readonly consumers: readonly Consumer[]
  readonly watch: Watch
  readonly behaviours: Writers['behaviours']
}

interface Surroundings {
  readonly database: DemoDatabase
  readonly pools: { readonly watch: pg.Pool }
  readonly options: WatchDemoOptions
  readonly voice: Voice
  readonly registry: Registry
}

/** Of the loop that waits. */
export const WAIT_MS = 1_000

/** The handlers begin with empty tables. */
const MONITORED = {
  eventTypes: 'all',
  from: 0n,
  lookIntervalMs: 100,
} as const satisfies Partial<LossMonitorOptions<never>>

const USUAL = { single: 300, severalStatements: 300, manyRows: 60, savepoint: 100, terminated: 5 }
/** Transactions that stay open are more frequent than in the first demo: they are what is lost. */
const BEHAVIOURS = weightedBehaviours({ ...USUAL, hold: 120, prepare: 20 })
/** A single one of them makes Emmett pass nearly all that is appended meanwhile. */
const BEHAVIOURS_FOR_EMMETT = weightedBehaviours({ ...USUAL, hold: 10, prepare: 5 })

/** Starts consumers and watches: one watch for each table. */
export async function startScenes(surroundings: Surroundings): Promise<readonly Scene[]> {
  const { database, options, voice, registry, pools } = surroundings
  const { schema } = database
  const { handlerMs } = options
  const metrics = promClientMetrics({ registry })
  const pool = pools.watch
  const ownEvents = { pool, table: `${schema}.events`, eventType: 'type', appendedAt: 'appended_at' }
  const loop = async (id: string, name: string, waitMs: number): Promise<Loop> => {
    const monitor = monitorHandler<readonly number[]>({
      ...MONITORED,
      projection: name,
      source: watchedPostgresEvents(ownEvents),
      position: (positions) => positions,
    })
    const client = await database.connect(name)
    return await Loop.start(client, { id, name, schema, waitMs, handlerMs, monitor }, (error) =>
      voice.trouble(name, error),
    )
  }
  const emmettMonitor = monitorHandler<EmmettMessage>({
    ...MONITORED,
    projection: 'emmett',
    source: watchedPostgresEvents({ pool, ...emmett().events }),
    position: ({ metadata }) => metadata.globalPosition,
  })
  const emmettConsumer = new EmmettConsumer(database.url, handlerMs, emmettMonitor)
  const scenes = [
    {
      store: emmettStore(),
      behaviours: BEHAVIOURS_FOR_EMMETT,
      consumers: [emmettConsumer],
      watch: createWatch({
        source: watchedPostgresEvents({ pool, ...emmett().events }),
        consumers: postgresConsumers({
          pool,
          ...emmett().consumers,
          eventTypes: { [WATCHED_PROCESSOR]: 'all' },
        }),
        metrics,
        logger: voice.logger,
      }),
    },
    {
      store: ownStore(schema),
      behaviours: BEHAVIOURS,
      consumers: [
        await loop('plain', 'loop: position > last', 0),
        await loop('waits', 'loop that waits 1 s', WAIT_MS),
      ],
      watch: createWatch({
        source: watchedPostgresEvents(ownEvents),
        consumers: postgresConsumers({
          pool,
          table: `${schema}.${LOOPS_TABLE}`,
          name: LOOPS_TABLE,
          consumer: 'name',
          checkpoint: 'position',
          eventTypes: { plain: 'all', waits: 'all' },
        }),
        metrics,
        logger: voice.logger,
      }),
    },
  ]
  emmettConsumer.start((error) => voice.trouble(emmettConsumer.name, error))
  for (const { watch } of scenes) await watch.start()
  return scenes
}
