import { setMaxListeners } from 'node:events'
import { createDaemon, type Daemon } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type pg from 'pg'
import { type DemoDatabase, openDatabase } from './database.ts'
import { toAccountEvent } from './event.ts'
import { Ledger } from './ledger.ts'
import { Observer } from './observer.ts'
import type { DemoOptions } from './options.ts'
import { pause } from './pause.ts'
import { createProjections } from './projections.ts'
import type { Told } from './verdict/report.ts'
import { judge } from './verdict/verdict.ts'
import { startLiveView } from './view/live-view.ts'
import { paintFor } from './view/paint.ts'
import { snapshots } from './view/snapshot.ts'
import { standBy } from './writers/bystanders.ts'
import { PreparedTransactions } from './writers/prepared-transactions.ts'
import { runWriters } from './writers/writers.ts'

/** Four runners with a batch and the next page each, and the polls. */
const DAEMON_CONNECTIONS = 12
const HELPER_CONNECTIONS = 4
const CATCH_UP_MS = 60_000
const CATCH_UP_INTERRUPTED_MS = 10_000

/** The whole run; `undefined` when it was interrupted before there was anything to judge. */
export async function runDemo(options: DemoOptions, interrupted: AbortSignal): Promise<Told | undefined> {
  process.stderr.write(options.databaseUrl ? 'Connecting ...\n' : 'Starting a PostgreSQL of its own ...\n')
  const database = await openDatabase(options).catch((error: unknown) => {
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
    return interrupted.aborted ? undefined : await runOn(database, pools, options, interrupted)
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

async function runOn(
  database: DemoDatabase,
  pools: Pools,
  options: DemoOptions,
  interrupted: AbortSignal,
): Promise<Told> {
  const ledger = new Ledger()
  const observer = new Observer()
  const bystanders = await standBy(database)
  const daemon = daemonOn(database, pools.daemon, options, observer)
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
    await catchUp(daemon, interrupted.aborted ? CATCH_UP_INTERRUPTED_MS : CATCH_UP_MS).catch(
      (error: unknown) => observer.trouble('not all was projected', error),
    )
    await daemon.stop()
    await bystanders.leave()
    view.phase = 'comparing with what was committed'
    const verdict = await judge({ options, seconds, database, pool: pools.helper, daemon, ledger, observer })
    view.phase = `ended after ${seconds.toFixed(1)} s`
    const { allowsPreparedTransactions } = database
    return {
      verdict,
      options,
      ledger,
      observer,
      isInterrupted: interrupted.aborted,
      allowsPreparedTransactions,
    }
  } finally {
    view.stop()
    await daemon.stop()
  }
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
  { thresholdMs }: DemoOptions,
  observer: Observer,
): Daemon<bigint> {
  return createDaemon({
    source: postgresEvents({
      pool,
      table: `${schema}.events`,
      columns: ['type', 'account', 'amount'],
      eventType: 'type',
      mapRow: toAccountEvent,
      highWater: thresholdMs === undefined ? { mode: 'proof' } : { mode: 'stale-threshold', thresholdMs },
    }),
    checkpoints: postgresCheckpoints<pg.PoolClient>({ pool, schema }),
    projections: createProjections(schema).map((projection) => observer.watch(projection)),
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
    options.writers,
    database,
    { schema, pool, ledger, prepared, ending: ending.signal },
    (what, error) => observer.trouble(what, error),
  )
  return (performance.now() - startedMs) / 1_000
}

/**
 * Everything appended is projected, and the checkpoints say so: one whose filter matches nothing follows the mark once
 * a second, and counts the skips on its way only then.
 */
async function catchUp(daemon: Daemon<bigint>, timeoutMs: number): Promise<void> {
  const over = AbortSignal.timeout(timeoutMs)
  await daemon.waitUntilProjected({ timeoutMs })
  const isBehind = (): boolean => {
    const { highWater, projections } = daemon.status()
    return projections.some(({ position }) => position !== highWater.mark)
  }
  while (isBehind() && !over.aborted) await pause(50, over)
}
