import { setMaxListeners } from 'node:events'
import { createDaemon, type Daemon, type Metrics } from '@tidemark/core'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type pg from 'pg'
import { Registry } from 'prom-client'
import { type DemoDatabase, openDatabase } from './database.ts'
import { toAccountEvent } from './event.ts'
import { Ledger } from './ledger.ts'
import { type MetricsServer, serveMetrics } from './metrics-server.ts'
import { Observer } from './observer.ts'
import type { DemoOptions } from './options.ts'
import { pause } from './pause.ts'
import { createProjections } from './projections.ts'
import { Random } from './random.ts'
import { appendRows, createTables } from './tables.ts'
import type { Told } from './verdict/report.ts'
import { judge } from './verdict/verdict.ts'
import { startLiveView } from './view/live-view.ts'
import { paintFor } from './view/paint.ts'
import { snapshots } from './view/snapshot.ts'
import { weightedBehaviours } from './writers/behaviours.ts'
import { standBy } from './writers/bystanders.ts'
import { PreparedTransactions } from './writers/prepared-transactions.ts'
import { runWriters } from './writers/writers.ts'

/** Four runners with a batch and the next page each, and the polls. */
const DAEMON_CONNECTIONS = 12
const HELPER_CONNECTIONS = 4
/** Besides the writers: the daemon, those who stand by, and some to spare. */
const OTHER_SESSIONS = 50
const CATCH_UP_MS = 60_000
const CATCH_UP_INTERRUPTED_MS = 10_000
/**
 * Numbers taken a second: well above the 1,000 that make a run worth looking at, well below what keeps two cores busy.
 */
const PACE_PER_SECOND = 2_000
const LONGEST_HOLD_MS = 1_500
/** As in an application with a few bad habits. */
const BEHAVIOURS = weightedBehaviours({
  single: 250,
  severalStatements: 300,
  manyRows: 300,
  savepoint: 100,
  hold: 9,
  prepare: 4,
  terminated: 5,
})

/** Called with the verdict, before any lingering. */
export type Tell = (told: Told) => void

/** The whole run; `undefined` when it was interrupted before there was anything to judge. */
export async function runDemo(
  options: DemoOptions,
  interrupted: AbortSignal,
  tell: Tell,
): Promise<Told | undefined> {
  const registry = new Registry()
  const metricsServer = await serveMetrics(registry, options.port)
  try {
    process.stderr.write(`Metrics are at ${metricsServer.url}\n`)
    const metrics = promClientMetrics({ registry })
    return await runWithMetrics({ options, interrupted, tell, metrics, metricsServer })
  } finally {
    metricsServer.close()
  }
}

interface Run {
  readonly options: DemoOptions
  readonly interrupted: AbortSignal
  readonly tell: Tell
  readonly metrics: Metrics
  readonly metricsServer: MetricsServer
}

async function runWithMetrics(run: Run): Promise<Told | undefined> {
  const { options, interrupted } = run
  process.stderr.write(options.databaseUrl ? 'Connecting ...\n' : 'Starting a PostgreSQL of its own ...\n')
  const database = await openDatabase({
    databaseUrl: options.databaseUrl,
    server: { settings: { max_connections: String(options.writers + OTHER_SESSIONS) } },
    createTables,
  }).catch((error: unknown) => {
    // A Ctrl-C also ends an initdb that is under way.
    if (interrupted.aborted) return undefined
    throw error
  })
  if (database === undefined) return undefined
  const pools = {
    daemon: database.pool('daemon', DAEMON_CONNECTIONS),
    helper: database.pool('helper', HELPER_CONNECTIONS),
  }
  try {
    return interrupted.aborted ? undefined : await runOn(database, pools, run)
  } finally {
    await Promise.all([pools.daemon.end(), pools.helper.end()])
    await database.close()
  }
}

interface Pools {
  readonly daemon: pg.Pool
  /** For writers and the verdict. */
  readonly helper: pg.Pool
}

async function runOn(database: DemoDatabase, pools: Pools, run: Run): Promise<Told> {
  const { options, interrupted } = run
  const ledger = new Ledger()
  const observer = new Observer()
  const bystanders = await standBy(database)
  const daemon = daemonOn(database, pools.daemon, run, observer)
  await daemon.start()
  const { stderr } = process
  const take = snapshots({ mode: options.mode, daemon, database, ledger, observer })
  const view = startLiveView(stderr, titleOf(options, database), paintFor(stderr), take)
  try {
    view.phase = `appending for ${options.seconds} s, Ctrl-C ends it early`
    interrupted.addEventListener('abort', () => {
      view.phase = 'interrupted, ending what is open; Ctrl-C once more ends it at once'
    })
    const seconds = await write(database, pools.helper, options, ledger, observer, interrupted)
    view.phase = 'writers have ended, projecting the rest'
    const isCaughtUp = await catchUp(
      daemon,
      interrupted.aborted ? CATCH_UP_INTERRUPTED_MS : CATCH_UP_MS,
    ).catch((error: unknown) => {
      observer.trouble('not all was projected', error)
      return false
    })
    // What is judged must not move. A daemon with nothing left to do goes on while the run lingers, for its gauges.
    if (!isCaughtUp || !lingers(run)) await daemon.stop()
    await bystanders.leave()
    view.phase = 'comparing with what was committed'
    const verdict = await judge({ options, seconds, database, pool: pools.helper, daemon, ledger, observer })
    view.phase = `ended after ${seconds.toFixed(1)} s`
    view.stop()
    const { allowsPreparedTransactions } = database
    const isInterrupted = interrupted.aborted
    const told = { verdict, options, ledger, observer, isInterrupted, allowsPreparedTransactions }
    run.tell(told)
    if (lingers(run)) await linger(run)
    return told
  } finally {
    view.stop()
    await daemon.stop()
  }
}

function lingers({ options, interrupted }: Run): boolean {
  return options.lingerSeconds > 0 && !interrupted.aborted
}

async function linger({ options, interrupted, metricsServer }: Run): Promise<void> {
  const { lingerSeconds } = options
  process.stderr.write(`Metrics stay at ${metricsServer.url} for ${lingerSeconds} s, Ctrl-C ends it\n`)
  await pause(lingerSeconds * 1_000, interrupted)
  // Before the daemon stops: the last scrape has its gauges.
  metricsServer.close()
}

function titleOf(
  { mode, thresholdMs, writers }: DemoOptions,
  { version, isEmbedded, schema }: DemoDatabase,
): string {
  const place = isEmbedded ? 'embedded' : `schema ${schema}`
  const threshold = thresholdMs === undefined ? '' : ` ${thresholdMs} ms`
  return `PostgreSQL ${version}, ${place}; mode ${mode}${threshold}; ${writers} writers`
}

function daemonOn(
  { schema }: DemoDatabase,
  pool: pg.Pool,
  { options: { thresholdMs }, metrics }: Run,
  observer: Observer,
): Daemon<bigint> {
  return createDaemon({
    source: postgresEvents({
      pool,
      table: `${schema}.events`,
      columns: ['type', 'account', 'amount'],
      eventType: 'type',
      appendedAt: 'appended_at',
      mapRow: toAccountEvent,
      highWater: thresholdMs === undefined ? { mode: 'proof' } : { mode: 'stale-threshold', thresholdMs },
    }),
    checkpoints: postgresCheckpoints({ pool, schema }),
    projections: createProjections(schema).map((projection) => observer.observe(projection)),
    metrics,
    telemetry: observer.telemetry,
    onTelemetryError: (error) => observer.trouble('telemetry failed', error),
  })
}

/** Resolves, with how long they were at it, when the writers and every transaction of theirs have ended. */
async function write(
  database: DemoDatabase,
  pool: pg.Pool,
  options: DemoOptions,
  ledger: Ledger,
  observer: Observer,
  interrupted: AbortSignal,
): Promise<number> {
  const { schema, allowsPreparedTransactions } = database
  const startedMs = performance.now()
  const ending = new AbortController()
  // Every writer waits for it.
  setMaxListeners(0, ending.signal)
  void pause(options.seconds * 1_000, interrupted).then(() => ending.abort())
  const prepared = allowsPreparedTransactions ? new PreparedTransactions(pool, schema, ledger) : undefined
  await runWriters(
    {
      count: options.writers,
      behaviours: BEHAVIOURS,
      numbersPerSecond: PACE_PER_SECOND,
      append: appendRows(schema),
      randomOf: () => new Random(),
    },
    database,
    { schema, pool, ledger, prepared, longestHoldMs: LONGEST_HOLD_MS, ending: ending.signal },
    (what, error) => observer.trouble(what, error),
  )
  return (performance.now() - startedMs) / 1_000
}

/**
 * Whether everything appended is projected, and the checkpoints say so: one whose filter matches nothing follows the mark once
 * a second, and counts the skips on its way only then.
 */
async function catchUp(daemon: Daemon<bigint>, timeoutMs: number): Promise<boolean> {
  const over = AbortSignal.timeout(timeoutMs)
  await daemon.waitUntilProjected({ timeoutMs })
  const isBehind = (): boolean => {
    const { highWater, projections } = daemon.status()
    return projections.some(({ position }) => position !== highWater.mark)
  }
  while (isBehind() && !over.aborted) await pause(50, over)
  return !isBehind()
}
