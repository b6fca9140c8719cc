import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createWatch, type Watch } from '@tidemark/core'
import { postgresCheckpoints, postgresConsumers, watchedPostgresEvents } from '@tidemark/pg-adapter'
import { expect, onTestFinished, test } from 'vitest'
import type { Random } from '../core/model/random.ts'
import { branch, seeded } from './seed.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { until } from './until.ts'
import { startPlainLoop } from './watched.ts'
import { startWriters } from './writers.ts'

const DISTURBANCES = 3
const HEAD = '(select coalesce(max(position), 0) from events)'

/** What is done to the store while it is watched. */
type Disturbance = (store: ChaosStore, random: Random, turn: number) => Promise<void>

const runs =
  (...statements: readonly ((random: Random, turn: number) => string)[]): Disturbance =>
  async (store, random, turn) => {
    for (const statement of statements) await store.query(statement(random, turn))
  }

/** It comes back on another timeline, as a standby does that has become the primary. */
const promoted: Disturbance = async ({ server, query }) => {
  await server.stop('immediate')
  await writeFile(join(server.dataDir, 'standby.signal'), '')
  await server.start()
  await until('it is the primary', async () => (await query('select pg_promote() as done')).rows[0].done)
}

const crashed: Disturbance = async ({ server }) => {
  await server.stop('immediate')
  await server.start()
}

/** Numbers that died are filled by rows that are no events. */
const tombstones = `
  with dead as (
    select n from generate_series(greatest(1, ${HEAD} - 200), ${HEAD} - 50) n
    where not exists (select from events where position = n)
  )
  insert into events (position, id, type) overriding system value select n, 'dead ' || n, 'tombstone' from dead
  on conflict do nothing`

const DISTURBED: readonly (readonly [string, Disturbance])[] = [
  [
    'set back by a few',
    runs((random) => `update loops set position = greatest(0, position - 1 - ${random.below(30)})`),
  ],
  ['rebuilt from nothing', runs(() => 'delete from loops')],
  ['replayed from the beginning', runs(() => 'update loops set position = 0')],
  ['moved by hand to the head', runs(() => `update loops set position = ${HEAD}`)],
  [
    'started anew at the head',
    runs(
      () => 'delete from loops',
      () =>
        `insert into loops select 'plain', ${HEAD} on conflict (name) do update set position = excluded.position`,
    ),
  ],
  ['emptied with its table', runs(() => 'truncate loops')],
  [
    'reading rows that are updated',
    runs(() => `update events set type = type where position > ${HEAD} - 500`),
  ],
  [
    'reading rows that are deleted',
    runs(() => `delete from events where position > ${HEAD} - 60 and position % 3 = 0`),
  ],
  ['reading a table in which dead numbers are filled', runs(() => tombstones)],
  ['reading from a server that crashes', crashed],
  ['reading from a server that fails over', promoted],
]

/** Of two parts: new events, and those that are archived. */
const PARTITIONED = `
  alter table events rename to unused;
  create sequence all_events;
  create table events (position bigint not null default nextval('all_events'), id text not null, type text not null,
    is_archived boolean not null default false, primary key (position, is_archived)) partition by list (is_archived);
  create table events_new partition of events for values in (false);
  create table events_archived partition of events for values in (true)`

const ON_PARTITIONS: readonly (readonly [string, Disturbance])[] = [
  [
    'archived by a move between partitions',
    runs(() => `update events set is_archived = true where position > ${HEAD} - 100 and position % 2 = 0`),
  ],
  [
    'detached and attached again with a partition',
    runs(
      () => `update events set is_archived = true where position > ${HEAD} - 30`,
      () => 'alter table events detach partition events_archived',
      () => 'alter table events attach partition events_archived for values in (true)',
    ),
  ],
]

interface Told {
  readonly position: string
  readonly atMs: number
}

async function startWatch(store: ChaosStore): Promise<{ watch: Watch; told: Told[] }> {
  const pool = store.pool({ max: 5 })
  const told: Told[] = []
  const watch = createWatch({
    source: watchedPostgresEvents({ pool, table: 'events', eventType: 'type' }),
    consumers: postgresConsumers({
      pool,
      table: 'loops',
      consumer: 'name',
      checkpoint: 'position',
      eventTypes: { plain: 'all' },
    }),
    ledger: postgresCheckpoints({ pool }),
    telemetry: {
      consumerLostEvents: ({ events }) =>
        void told.push(...events.map(({ position }) => ({ position: String(position), atMs: Date.now() }))),
    },
  })
  onTestFinished(() => watch.stop())
  await watch.start()
  return { watch, told }
}

/** Those that the loop had handled when they were told. */
async function falsely(store: ChaosStore, told: readonly Told[]): Promise<readonly string[]> {
  const { rows } = await store.query(
    'select position::text, min(extract(epoch from at) * 1000)::float8 as at from handled group by position',
  )
  const handledAt = new Map(rows.map(({ position, at }) => [position as string, Number(at)]))
  return told
    .filter(({ position, atMs }) => (handledAt.get(position) ?? Number.POSITIVE_INFINITY) < atMs)
    .map(({ position }) => position)
}

/** A loop that is started again wherever its server has gone. */
function keepReading(store: ChaosStore, handlerMs: number): void {
  const over = new AbortController()
  onTestFinished(() => over.abort())
  const read = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const loop = await startPlainLoop(store, { name: 'plain', handlerMs }).catch(() => undefined)
      await loop?.ended.catch(() => {})
      await sleep(100)
    }
  }
  read().catch(() => {})
}

async function disturb(
  store: ChaosStore,
  disturbance: Disturbance,
  random: Random,
): Promise<{ readonly told: readonly Told[]; readonly watch: Watch }> {
  await store.query('alter table handled add column at timestamptz not null default clock_timestamp()')
  // Slower than the looks of a busy machine: what is put back and has come up again between two looks is not seen.
  const handlerMs = 150
  keepReading(store, handlerMs)
  await until('it has a checkpoint', async () => (await store.query('select from loops')).rowCount === 1)
  const { watch, told } = await startWatch(store)
  const writers = startWriters(store, { random, writers: 4 })
  for (let turn = 0; turn < DISTURBANCES; turn++) {
    await sleep(400 + branch(random).below(400))
    await disturbance(store, random, turn)
    const { looks } = watch.status()
    await until('the watch has looked', async () => watch.status().looks > looks + 2)
  }
  await writers.stop()
  await until('the loop has come to the end', async () => {
    const { rows } = await store.query(`select position >= ${HEAD} as done from loops`)
    return rows[0]?.done
  })
  await watch.stop()
  return { told, watch }
}

test.each(DISTURBED)(
  'a consumer that is %s is not accused falsely',
  async (name, disturbance) => {
    const store = await chaosStore()
    const { told, watch } = await disturb(store, disturbance, seeded(`watch: ${name}`))
    const accused = await falsely(store, told)
    console.info(
      JSON.stringify({ name, told: told.length, falsely: accused.length, cannotTell: reasons(watch) }),
    )
    expect(accused).toEqual([])
  },
  60_000,
)

test.each(ON_PARTITIONS)(
  'a consumer of events that are %s is not accused falsely',
  async (name, disturbance) => {
    const store = await chaosStore()
    await store.query(PARTITIONED)
    const { told, watch } = await disturb(store, disturbance, seeded(`watch: ${name}`))
    const accused = await falsely(store, told)
    console.info(
      JSON.stringify({ name, told: told.length, falsely: accused.length, cannotTell: reasons(watch) }),
    )
    expect(accused).toEqual([])
  },
  60_000,
)

const reasons = (watch: Watch): unknown => watch.status().consumers[0]?.cannotTell

test('a watch that is stopped and started again and again tells each loss once', async () => {
  const store = await chaosStore()
  await store.query('alter table handled add column at timestamptz not null default clock_timestamp()')
  const random = seeded('watch: started again')
  await startPlainLoop(store, { name: 'plain' })
  const writers = startWriters(store, { random, writers: 4 })
  const told: Told[] = []
  // On a busy machine looks are seldom, and four turns may see nothing.
  for (let turn = 0; turn < 4 || told.length === 0; turn++) {
    const [one, other] = [await startWatch(store), await startWatch(store)]
    await sleep(600 + branch(random).below(600))
    await Promise.all([one.watch.stop(), other.watch.stop()])
    told.push(...one.told, ...other.told)
  }
  await writers.stop()
  const positions = told.map(({ position }) => position)
  const { rows } = await store.query(
    'select position::text, told_at is not null as told from tidemark.lost_events',
  )
  console.info(JSON.stringify({ told: told.length, kept: rows.length }))
  expect(new Set(positions).size).toBe(positions.length)
  expect(rows.map(({ position }) => position).toSorted()).toEqual(positions.toSorted())
  expect(rows.every(({ told: isTold }) => isTold)).toBe(true)
  expect(await falsely(store, told)).toEqual([])
  expect(told.length).toBeGreaterThan(0)
}, 60_000)
