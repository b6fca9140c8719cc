import { createWatch } from '@tidemark/core'
import {
  type Preset,
  postgresCheckpoints,
  postgresConsumers,
  postgresEvents,
  watchedPostgresEvents,
} from '@tidemark/pg-adapter'
import type { Client } from 'pg'
import { expect, onTestFinished } from 'vitest'
import { Random } from '../core/model/random.ts'
import { eventually, type FileDatabase, startDaemon } from '../support/event-table.ts'

/** How an application of some project appends one event, in a transaction that is open. */
export type Append = (client: Client, nth: number) => Promise<unknown>

const WRITERS = 6
const STEPS = 100

/** Writers that stay open, roll back, and commit in any order. Ends when all have ended. */
export async function writeHostilely(db: FileDatabase, append: Append, seed: number): Promise<void> {
  const random = new Random(seed)
  const sessions = await Promise.all(Array.from({ length: WRITERS }, () => db.session()))
  const open = new Set<Client>()
  for (let step = 0; step < STEPS; step++) {
    const client = random.pick(sessions)
    if (client === undefined) continue
    if (open.has(client) && random.chance(0.5)) {
      await client.query(random.chance(0.8) ? 'commit' : 'rollback')
      open.delete(client)
    } else {
      if (!open.has(client)) await client.query('begin')
      open.add(client)
      await append(client, step)
    }
    await new Promise((resolve) => setTimeout(resolve, random.below(8)))
  }
  for (const client of open) await client.query('commit')
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** Every row of that preset's events, in order, by SQL of the test's own. */
export async function storedPositions(
  db: FileDatabase,
  { table, position = 'position', where = {}, eventType, placeholderTypes = [] }: Preset['events'],
): Promise<bigint[]> {
  const conditions = [
    'true',
    ...Object.entries(where).map(([column, value]) => `${column} = ${literal(String(value))}`),
    ...placeholderTypes.map((type) => `${eventType} <> ${literal(type)}`),
  ]
  const { rows } = await db.pool.query(
    `select ${position}::text as position from ${table} where ${conditions.join(' and ')} order by ${position}`,
  )
  return rows.map((row) => BigInt(row.position))
}

/** The smallest program: a projection with the preset and nothing else. Returns what it was given, in order. */
export async function startProjection(db: FileDatabase, { events }: Pick<Preset, 'events'>) {
  const handled: bigint[] = []
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, ...events }),
    checkpoints: postgresCheckpoints({ pool: db.pool, schema: 'tidemark' }),
    projections: [
      {
        name: events.table,
        handle: (rows) => {
          for (const row of rows) handled.push(BigInt(String(row[events.position ?? 'position'])))
        },
      },
    ],
  })
  return { daemon, handled }
}

export interface Loop {
  /** What it was given. */
  readonly handled: Set<bigint>
  stop(): Promise<void>
}

/** A consumer as that project runs it: reads, handles, stores; again and again, until it is stopped. */
export function startLoop(step: (handled: Set<bigint>) => Promise<void>): Loop {
  const handled = new Set<bigint>()
  let isOver = false
  const running = (async () => {
    while (!isOver) {
      await step(handled)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await step(handled)
  })()
  const stop = async () => {
    isOver = true
    await running
  }
  onTestFinished(stop)
  return { handled, stop }
}

/** A watch with the preset and nothing else. */
export async function startWatch(db: FileDatabase, preset: Preset) {
  const watch = createWatch({
    source: watchedPostgresEvents({ pool: db.pool, ...preset.events }),
    consumers: postgresConsumers({ pool: db.pool, ...preset.consumers }),
  })
  onTestFinished(() => watch.stop())
  await watch.start()
  await eventually(() => watch.status().looks).toBeGreaterThan(0)
  return watch
}

/** Nobody is accused of an event that it was given; returns how many were told. */
export function requireTrue(
  told: readonly { readonly consumer: string; readonly position: bigint }[],
  handled: ReadonlyMap<string, ReadonlySet<bigint>>,
): number {
  expect(told.filter(({ consumer, position }) => handled.get(consumer)?.has(position) ?? true)).toEqual([])
  return told.length
}
