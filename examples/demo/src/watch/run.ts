import { setMaxListeners } from 'node:events'
import { auditCommits } from '@tidemark/pg-adapter'
import { installMajor } from '@tidemark-internal/embedded-postgres'
import type pg from 'pg'
import { Registry } from 'prom-client'
import { type DemoDatabase, openDatabase } from '../database.ts'
import { serveMetrics } from '../metrics-server.ts'
import { pause } from '../pause.ts'
import { Random } from '../random.ts'
import { PreparedTransactions } from '../writers/prepared-transactions.ts'
import { runWriters } from '../writers/writers.ts'
import { createEmmettTables } from './emmett.ts'
import { namedByTheQuery } from './emmett-query.ts'
import type { WatchDemoOptions } from './options.ts'
import type { Audited, Told } from './report.ts'
import { type Scene, startScenes, WAIT_MS } from './scenes.ts'
import { appendClosingEvent, createTables } from './store.ts'
import { judge } from './verdict.ts'
import { Voice } from './voice.ts'

const WRITERS = 8
const PACE_PER_SECOND = 300
/** Longer than the loop that waits 1 s does. */
const LONGEST_HOLD_MS = 3_000
/** The writers of both tables, the consumers, and some to spare. */
const SESSIONS = 60
/** Of the watches and the monitors. */
const WATCH_CONNECTIONS = 5
const CATCH_UP_MS = 60_000
const CATCH_UP_INTERRUPTED_MS = 10_000

/** The whole run; `undefined` when it was interrupted before there was anything to judge. */
export async function runWatchDemo(
  options: WatchDemoOptions,
  interrupted: AbortSignal,
): Promise<Told | undefined> {
  installMajor(options.major)
  const registry = new Registry()
  const metricsServer = await serveMetrics(registry, 0)
  const voice = new Voice(metricsServer.url)
  voice.say('starting a PostgreSQL of its own ...')
  try {
    const database = await openDatabase({
      server: {
        major: options.major,
        settings: {
          max_connections: String(2 * WRITERS + SESSIONS),
          track_commit_timestamp: options.trackCommitTimestamp ? 'on' : 'off',
        },
      },
      createTables,
    }).catch((error: unknown) => {
      // A Ctrl-C also ends an initdb that is under way.
      if (interrupted.aborted) return undefined
      throw error
    })
    if (database === undefined) return undefined
    const pools = { watch: database.pool('watch', 2 * WATCH_CONNECTIONS), helper: database.pool('helper', 4) }
    try {
      await createEmmettTables(database.url)
      return interrupted.aborted
        ? undefined
        : await runOn({ database, pools, options, interrupted, voice, registry })
    } finally {
      await Promise.all([pools.watch.end(), pools.helper.end()])
      await database.close()
    }
  } finally {
    voice.stop()
    metricsServer.close()
  }
}

interface Run {
  readonly database: DemoDatabase
  /** `helper`: for writers and the verdict. */
  readonly pools: { readonly watch: pg.Pool; readonly helper: pg.Pool }
  readonly options: WatchDemoOptions
  readonly interrupted: AbortSignal
  readonly voice: Voice
  readonly registry: Registry
}

async function runOn(run: Run): Promise<Told> {
  const { options, interrupted, voice } = run
  const scenes = await startScenes(run)
  try {
    voice.scenes = scenes
    voice.say(`appending for ${options.seconds} s, Ctrl-C ends it early`)
    const seconds = await write(run, scenes)
    voice.say('writers have ended, the consumers come to the end')
    const isCaughtUp = await catchUp(run, scenes, interrupted.aborted ? CATCH_UP_INTERRUPTED_MS : CATCH_UP_MS)
    if (!isCaughtUp)
      voice.trouble('a consumer has not come to the end in time: what it has not read yet counts as lost')
    return await tellOf(run, scenes, seconds)
  } finally {
    await Promise.all(
      scenes.flatMap(({ watch, consumers }) =>
        [watch, ...consumers, ...consumers.map(({ monitor }) => monitor)].map((each) => each.stop()),
      ),
    )
  }
}

/** Resolves, with how long they were at it, when the writers and every transaction of theirs have ended. */
async function write({ database, pools, options, interrupted, voice }: Run, scenes: readonly Scene[]) {
  const startedMs = performance.now()
  const ending = new AbortController()
  // Every writer waits for it.
  setMaxListeners(0, ending.signal)
  void pause(options.seconds * 1_000, interrupted).then(() => ending.abort())
  const { schema } = database
  const pool = pools.helper
  await Promise.all(
    scenes.map(({ store: { name, append, ledger }, behaviours }, scene) =>
      runWriters(
        {
          count: WRITERS,
          behaviours,
          numbersPerSecond: PACE_PER_SECOND,
          append,
          randomOf: (writer) => Random.seeded(options.seed * 1_000 + scene * 100 + writer),
        },
        database,
        {
          schema,
          pool,
          ledger,
          prepared: new PreparedTransactions(pool, `${schema} ${name}`, ledger),
          longestHoldMs: LONGEST_HOLD_MS,
          ending: ending.signal,
        },
        (what, error) => voice.trouble(what, error),
      ),
    ),
  )
  return (performance.now() - startedMs) / 1_000
}

/**
 * Whether each consumer has come to the end, and watch and monitors have seen that. Twice: they tell of an event once its consumer
 * has moved on from there.
 */
async function catchUp({ database }: Run, scenes: readonly Scene[], timeoutMs: number): Promise<boolean> {
  const over = AbortSignal.timeout(timeoutMs)
  const client = await database.connect('closing')
  try {
    const closed = async ({ store, consumers, watch }: Scene): Promise<boolean> => {
      for (let round = 0; round < 2; round++) {
        const last = await appendClosingEvent(store, client)
        await until(() => consumers.every(({ handled }) => handled.has(last)), over)
        const { looks } = watch.status()
        await until(() => watch.status().looks > looks + 2, over)
        await until(() => consumers.every(({ monitor }) => monitor.status().lookedTo === BigInt(last)), over)
      }
      return !over.aborted
    }
    return (await Promise.all(scenes.map(closed))).every(Boolean)
  } finally {
    await client.end()
  }
}

async function until(condition: () => boolean, over: AbortSignal): Promise<void> {
  while (!condition() && !over.aborted) await pause(20, over)
}

async function tellOf(run: Run, scenes: readonly Scene[], seconds: number): Promise<Told> {
  const { pools, options, interrupted, database, voice, registry } = run
  const judged = await Promise.all(
    scenes.map(async ({ store, consumers, watch }) => {
      const committed = await store.committed(pools.helper)
      const lost = watch.lost()
      const status = watch.status()
      return consumers.map((consumer) =>
        judge({
          consumer,
          committed,
          committedAt: (position) => store.ledger.committedAt.get(position),
          told: lost.flatMap((each) => (each.consumer === consumer.watchedAs ? [Number(each.position)] : [])),
          toldByMonitor: consumer.monitor.lost().map(({ position }) => Number(position)),
          watched: status.consumers.find((each) => each.consumer === consumer.watchedAs),
        }),
      )
    }),
  )
  return {
    options,
    postgres: database.version,
    seconds: Math.round(seconds * 10) / 10,
    isInterrupted: interrupted.aborted,
    consumers: judged.flat(),
    namedByTheQuery: await namedByTheQuery(pools.helper),
    looksApartMs: Math.max(...scenes.map(({ watch }) => watch.status().looksApartMs?.mean ?? 0)),
    audited: options.trackCommitTimestamp ? await audit(run) : undefined,
    metrics: await registry.metrics(),
    troubles: voice.troubles,
  }
}

/** What the timestamps of past commits tell of the loops' table. */
async function audit({ pools, database }: Run): Promise<Audited> {
  const { past } = await auditCommits({ pool: pools.helper, table: `${database.schema}.events` })
  const { inverted, fixedWaits } = past.inversions
  return { inverted, lostByWaiting: fixedWaits.find(({ waitMs }) => waitMs === WAIT_MS)?.lost ?? 0 }
}
