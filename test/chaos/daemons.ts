import { setTimeout as sleep } from 'node:timers/promises'
import {
  createDaemon,
  type Daemon,
  type DaemonOptions,
  type EventSource,
  type Projection,
} from '@tidemark/core'
import {
  type PgClient,
  type PostgresEventsOptions,
  postgresCheckpoints,
  postgresEvents,
} from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { onTestFinished } from 'vitest'
import type { ChaosStore } from './store.ts'

export interface ChaosEvent {
  readonly position: bigint
  readonly id: string
  readonly type: string
}

export type ChaosProjection = Projection<ChaosEvent, PgClient>

/** Every event, a filter, and one that is slower than its writers. */
export const PROJECTIONS: readonly ChaosProjection[] = [
  projection('all'),
  projection('rare', { eventTypes: ['rare'] }),
  projection('slow', { batchSize: 30, handleMs: 4 }),
]

/** Writes down what it gets, in the checkpoint's transaction. */
export function projection(
  name: string,
  { handleMs = 0, ...more }: Partial<ChaosProjection> & { readonly handleMs?: number } = {},
): ChaosProjection {
  return {
    name,
    batchSize: 100,
    handle: async (events, { tx }) => {
      await tx.query(
        `insert into handled (projection, position, id, process)
         select $1, e.position, e.id, $2 from unnest($3::bigint[], $4::text[]) with ordinality as e (position, id, n)
         order by e.n`,
        [name, process.pid, events.map(({ position }) => String(position)), events.map(({ id }) => id)],
      )
      if (handleMs > 0) await sleep(handleMs)
    },
    ...more,
  }
}

export function eventsOf(
  pool: Pool,
  more: Partial<PostgresEventsOptions<ChaosEvent>> = {},
): EventSource<bigint, ChaosEvent> {
  return postgresEvents<ChaosEvent>({
    pool,
    table: 'events',
    eventType: 'type',
    mapRow: (row) => row as unknown as ChaosEvent,
    ...more,
  })
}

export type ChaosDaemonOptions = Partial<DaemonOptions<bigint, ChaosEvent, PgClient>> & {
  /** Where checkpoints and effects are. @default the events' own server */
  readonly elsewhere?: ChaosStore
}

/** Started, and stopped when the test has finished. */
export async function startDaemon(
  store: ChaosStore,
  { elsewhere = store, ...more }: ChaosDaemonOptions = {},
): Promise<Daemon<bigint>> {
  const daemon = createDaemon<bigint, ChaosEvent, PgClient>({
    source: more.source ?? eventsOf(store.pool()),
    checkpoints: more.checkpoints ?? postgresCheckpoints({ pool: elsewhere.pool() }),
    projections: PROJECTIONS,
    drainTimeoutMs: 5_000,
    ...more,
  })
  // Before the pools are ended, which were made before: what is registered last is done first.
  onTestFinished(() => daemon.stop())
  await daemon.start()
  return daemon
}

/** The same source, with some of its methods replaced. */
export function replaced<P, E>(source: EventSource<P, E>, by: Partial<EventSource<P, E>>): EventSource<P, E> {
  return {
    name: source.name,
    order: source.order,
    filtersByType: source.filtersByType,
    open: (request) => source.open(request),
    readHighWater: (request) => source.readHighWater(request),
    load: (request) => source.load(request),
    ...(source.wakeUps ? { wakeUps: source.wakeUps.bind(source) } : {}),
    isTransient: (error) => source.isTransient(error),
    ...by,
  }
}
