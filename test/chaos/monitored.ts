import { setTimeout as sleep } from 'node:timers/promises'
import { type LossMonitor, type LossMonitorOptions, monitorHandler } from '@tidemark/core'
import { type WatchedPostgresEventsOptions, watchedPostgresEvents } from '@tidemark/pg-adapter'
import { expect, onTestFinished } from 'vitest'
import type { Random } from '../core/model/random.ts'
import type { ChaosStore } from './store.ts'
import { until } from './until.ts'

/** A consumer that a monitor looks at, and what it was handed. */
export interface Monitored {
  readonly name: string
  readonly monitor: LossMonitor<never>
  readonly handed: ReadonlySet<string>
}

interface Row {
  readonly position: string
}

interface LoopOptions {
  readonly random: Random
  /** How long the handler takes for each event. */
  readonly handlerMs?: number
  /** Events that a longer time ago were not there yet are not read. */
  readonly waitMs?: number
  /** It then goes back to its checkpoint. */
  readonly failure?: number
  readonly type?: string
}

export function monitorOf<Item>(
  store: ChaosStore,
  options: Omit<LossMonitorOptions<Item>, 'source'> & {
    readonly table?: Omit<WatchedPostgresEventsOptions, 'pool'>
  },
): LossMonitor<Item> {
  const { table = { table: 'events', eventType: 'type' }, ...rest } = options
  const monitor = monitorHandler<Item>({
    ...rest,
    source: watchedPostgresEvents({ pool: store.pool({ max: 3 }), ...table }),
  })
  onTestFinished(() => monitor.stop())
  return monitor
}

/** The loop that people write: what is above the last position, in order; the checkpoint moves at the end of a page. */
export async function startMonitoredLoop(
  store: ChaosStore,
  name: string,
  { random, handlerMs = 0, waitMs = 0, failure = 0, type }: LoopOptions,
): Promise<Monitored & { stop(): Promise<void> }> {
  const handed = new Set<string>()
  const monitor = monitorOf<Row>(store, {
    projection: name,
    position: ({ position }) => position,
    eventTypes: type === undefined ? 'all' : [type],
    from: 0n,
    lookIntervalMs: 100,
  })
  const handle = monitor.wrap(async ({ position }: Row) => {
    handed.add(position)
    await sleep(handlerMs)
    if (random.chance(failure)) throw new Error('of the handler')
  })
  const client = await store.connect()
  const heads: { readonly atMs: number; readonly head: string }[] = []
  let checkpoint = '0'
  let isStopped = false
  const round = async (): Promise<void> => {
    const { rows: top } = await client.query('select coalesce(max(position), 0)::text as head from events')
    heads.push({ atMs: Date.now(), head: top[0].head })
    while ((heads[1]?.atMs ?? Date.now()) < Date.now() - waitMs) heads.shift()
    const [old] = heads
    const upTo = waitMs === 0 ? top[0].head : old && old.atMs <= Date.now() - waitMs ? old.head : '0'
    const { rows } = await client.query(
      `select position::text from events
       where position > $1 and position <= $2 and ($3::text is null or type = $3) order by events.position limit 50`,
      [checkpoint, upTo, type],
    )
    for (const row of rows) await handle(row)
    checkpoint = rows.at(-1)?.position ?? checkpoint
  }
  const running = (async () => {
    while (!isStopped) {
      await round().catch(() => {})
      await sleep(5)
    }
  })()
  const stop = async (): Promise<void> => {
    isStopped = true
    await running
    await client.end().catch(() => {})
  }
  onTestFinished(stop)
  return { name, monitor, handed, stop }
}

/** One that stays open for longer than a fixed wait. */
export function startSlowWriter(store: ChaosStore): { stop(): Promise<void> } {
  let isStopped = false
  const running = (async () => {
    const client = await store.connect()
    while (!isStopped) {
      await client.query(`begin; insert into events (id, type) values ('slow', 'common'), ('slow', 'rare')`)
      await sleep(1_200)
      await client.query('commit')
    }
    await client.end()
  })()
  const stop = async (): Promise<void> => {
    isStopped = true
    await running
  }
  onTestFinished(stop)
  return { stop }
}

/** Nothing more is told after events that come one after the other, each when the one before was handled. */
export async function untilTold(
  { name, monitor, handed }: Monitored,
  append: () => Promise<string>,
): Promise<void> {
  await until(`all losses of ${name} are told`, async () => {
    const last = await append()
    await until(`${name} has got ${last}`, async () => handed.has(last))
    await sleep(250)
    const { lookedTo, handedTo, unconfirmed, exposedPositions } = monitor.status()
    return lookedTo === handedTo && unconfirmed === 0 && exposedPositions === 0n
  })
}

/** All that it has passed and that was not handed over, and nothing else. */
export function expectAllTold({ name, monitor, handed }: Monitored, stored: readonly string[]): void {
  const { handedTo = 0n } = monitor.status()
  const lost = stored.filter((position) => BigInt(position) <= handedTo && !handed.has(position))
  const said = monitor.lost().map(({ position }) => String(position))
  const falsely = said.filter((position) => handed.has(position)).length
  const seen = monitor.lost().filter(({ missingAt }) => missingAt !== undefined).length
  console.info(
    JSON.stringify({ name, stored: stored.length, lost: lost.length, said: said.length, falsely, seen }),
  )
  expect(said.toSorted()).toEqual(lost.toSorted())
}
