import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { inspect, parseArgs } from 'node:util'
import { type Clock, createDaemon, type Projection } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { Pool, type PoolClient } from 'pg'
import { noteCommit } from './nodes-commits.ts'
import { MischiefOfHandlers } from './nodes-mischief.ts'
import {
  ATTEMPTS,
  HANDLER_TIMEOUT_MS,
  isPoison,
  keyOf,
  LEASE_MS,
  type NodeProjection,
  nameOf,
  PROJECTIONS,
  type Told,
  versionsOf,
} from './nodes-projections.ts'

// One node of several (test/chaos/nodes), as a process of its own. Its parent tells it by messages what its handlers and its
// clock do wrong. Ends by itself after SIGTERM; with the status 75 where it could not start, to be started again.
const { values: options } = parseArgs({
  options: {
    url: { type: 'string', default: '' },
    /** Without the newest versions, as a node of the release before. */
    earlier: { type: 'boolean', default: false },
  },
})

const COULD_NOT_START = 75
const QUERY_TIMEOUT_MS = 3_000
/** Node fires longer timers at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

type Event = { readonly position: bigint; readonly id: string; readonly type: string }

const trueNow = (): number => performance.timeOrigin + performance.now()
const mischief = new MischiefOfHandlers(trueNow)
let jumpedMs = 0
const clock: Clock = {
  nowMs: () => trueNow() + Math.max(0, jumpedMs),
  sleep: async (ms, signal, { unref = false } = {}) => {
    if (signal.aborted) return
    if (ms <= 0) await turn()
    else await sleep(Math.min(ms, LONGEST_TIMER_MS), undefined, { signal, ref: !unref }).catch(() => {})
  },
}

/** What time Node says it is jumps both ways; that of the daemon, which never goes back, as after a sleep of the machine. */
function jump(byMs: number): void {
  const { now } = Date
  Date.now = () => now() + byMs
  if (byMs > 0) jumpedMs += byMs
}

function versionOf(projection: NodeProjection, version: number): Projection<Event, PoolClient> {
  const { name, policy, rebuilt, eventTypes, batchSize, shards, handleMs = 0 } = projection
  const table = nameOf(name, version)
  return {
    name,
    version,
    attempts: ATTEMPTS[policy],
    longestPauseMs: 1_000,
    handlerTimeoutMs: HANDLER_TIMEOUT_MS,
    ...(eventTypes === undefined ? {} : { eventTypes }),
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(policy === 'park_key' || shards?.by === 'function' ? { keyOf } : {}),
    ...(shards === undefined ? {} : { shards: shards.count }),
    ...(shards?.by === 'column' ? { shardBy: 'key' } : {}),
    onFailure:
      policy === 'decides'
        ? ({ events }) => (events.some(({ type }) => type === 'poison') ? 'skip' : 'retry')
        : policy,
    handle: async (events, { tx }) => {
      await noteCommit(tx, projection, version, events)
      await tx.query(
        `insert into handled (projection, position, id, process)
         select $1, e.position, e.id, $2 from unnest($3::bigint[], $4::text[]) with ordinality as e (position, id, n)
         order by e.n`,
        [table, process.pid, events.map(({ position }) => String(position)), events.map(({ id }) => id)],
      )
      if (handleMs > 0) await sleep(handleMs)
      await mischief.strike(name, tx)
      if (events.some(({ id }) => isPoison(id, policy, trueNow())))
        throw new Error('chaos: the event is poison')
    },
    ...(rebuilt === undefined
      ? {}
      : { reset: async (tx) => void (await tx.query('delete from handled where projection = $1', [table])) }),
    ...(rebuilt === 'beside'
      ? {
          onSwitch: async (tx, { to }) => {
            await tx.query(
              `insert into switches (live, first, second)
               select $1, count(*) filter (where projection = $2), count(*) filter (where projection = $3)
               from handled`,
              [to, nameOf(name, 1), nameOf(name, 2)],
            )
          },
        }
      : {}),
  }
}

// Statements of handlers too are given up where the network is silent.
const pool = new Pool({
  connectionString: options.url,
  connectionTimeoutMillis: 5_000,
  query_timeout: 2 * QUERY_TIMEOUT_MS,
  max: 20,
})
pool.on('error', () => {})
const daemon = createDaemon<bigint, Event, PoolClient>({
  source: postgresEvents<Event>({
    pool,
    table: 'events',
    eventType: 'type',
    mapRow: (row) => row as unknown as Event,
    queryTimeoutMs: QUERY_TIMEOUT_MS,
  }),
  checkpoints: postgresCheckpoints({ pool, queryTimeoutMs: QUERY_TIMEOUT_MS }),
  projections: PROJECTIONS.flatMap((projection) =>
    versionsOf(projection)
      .slice(0, options.earlier ? 1 : undefined)
      .map((version) => versionOf(projection, version)),
  ),
  drainTimeoutMs: 3_000,
  nodes: { leaseMs: LEASE_MS, name: String(process.pid) },
  clock,
  logger: console,
})

let isStopping = false
const stop = async (): Promise<void> => {
  isStopping = true
  await daemon.stop()
  await pool.end()
  if (process.connected) process.disconnect()
}
process.once('SIGTERM', () => void stop())
process.on('message', (told: Told) => {
  if (told.kind === 'clock') jump(told.byMs)
  else if (told.kind === 'mischief') mischief.tell(told.projection, told.how, told.forMs)
  else process.send?.(inspect(daemon.status(), { depth: 5, breakLength: 160 }))
})
// Of a parent that has ended.
process.once('disconnect', () => isStopping || process.exit(1))
console.log('ready')
try {
  await daemon.start()
  console.log('started')
} catch (error) {
  if (!isStopping) {
    console.error(error)
    process.exitCode = COULD_NOT_START
    await stop()
  }
}
