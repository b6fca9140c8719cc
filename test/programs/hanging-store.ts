import { setTimeout as delay } from 'node:timers/promises'
import { createDaemon } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { Client, Pool, type PoolClient } from 'pg'

// A daemon over `events` one of whose calls to the store is never answered, and is then stopped. It says when
// nothing is left after `stop()` and `start()`, and ends by itself: nothing in here calls process.exit().
const { URL: url = '', SCHEMA: schema = '', METHOD: method = '' } = process.env

let hangs = false
const pool = new Pool({ connectionString: url, allowExitOnIdle: true })
const blocker = new Client({ connectionString: url })
await blocker.connect()
// No limit of the adapter's own helps.
const queryTimeoutMs = 600_000
const pooled = {
  connect: (): Promise<PoolClient> => (method === 'pool' && hangs ? new Promise(() => {}) : pool.connect()),
}
const source = postgresEvents({ pool: pooled, table: `${schema}.events`, queryTimeoutMs })
const checkpoints = postgresCheckpoints({ pool: pooled, schema, queryTimeoutMs })
await checkpoints.prepare?.(new AbortController().signal)
// It holds its locks until this process has ended, and does not keep it from that.
// @types/pg does not know it.
;(blocker as unknown as { unref(): void }).unref()

const isWaitedFor = async (): Promise<boolean> => {
  // Nobody asks the server for anything.
  if (method === 'handle' || method === 'pool') return hangs
  const { rows } = await blocker.query('select exists (select from pg_locks where not granted) as found')
  return rows[0].found === true
}
const hang = async (called: string): Promise<void> => {
  if (called !== method || hangs) return
  hangs = true
  if (method === 'handle' || method === 'pool') return void stop()
  const tables = ['events', 'migrations', 'checkpoints', 'settled', 'skips'].map(
    (name) => `${schema}.${name}`,
  )
  await blocker.query(`begin; lock table ${tables.join(', ')} in access exclusive mode`)
  void stop()
}

const daemon = createDaemon({
  drainTimeoutMs: 500,
  source: {
    name: source.name,
    order: source.order,
    filtersByType: source.filtersByType,
    isTransient: (error) => source.isTransient(error),
    ...(source.wakeUps ? { wakeUps: source.wakeUps.bind(source) } : {}),
    open: async (request) => {
      await hang('source.open')
      return await source.open(request)
    },
    readHighWater: async (request) => {
      await hang('readHighWater')
      await hang('pool')
      const reading = await source.readHighWater(request)
      // As if it had passed a gap without proof.
      const skipped = [{ stored: 1n, current: 3n, count: 1n }]
      return method === 'skips.record' ? { ...reading, skipped } : reading
    },
    load: async (request) => {
      await hang('load')
      return await source.load(request)
    },
  },
  checkpoints: {
    prepare: async (signal) => {
      await hang('prepare')
      await checkpoints.prepare?.(signal)
    },
    name: checkpoints.name,
    open: async (...args) => {
      await hang('open')
      return await checkpoints.open(...args)
    },
    read: (...args) => checkpoints.read(...args),
    list: (...args) => checkpoints.list(...args),
    progress: async (...args) => {
      await hang('progress')
      return await checkpoints.progress(...args)
    },
    settled: {
      save: async (...args) => {
        await hang('settled.save')
        await checkpoints.settled?.save(...args)
      },
    },
    skips: {
      record: async (...args) => {
        await hang('skips.record')
        await checkpoints.skips?.record(...args)
      },
      list: async () => [],
    },
    ...(checkpoints.lateEvents === undefined ? {} : { lateEvents: checkpoints.lateEvents }),
    advance: async (...args) => {
      await hang('advance')
      return await checkpoints.advance(...args)
    },
    sharesLogWith: async (...args) => {
      await hang('sharesLogWith')
      // Which server it is was asked before: this asks the table that nobody answers for.
      if (method === 'sharesLogWith') await checkpoints.progress('any', args[1])
      return await checkpoints.sharesLogWith(...args)
    },
    isTransient: (error) => checkpoints.isTransient(error),
  },
  projections: [
    {
      name: 'all',
      handle: async () => {
        await hang('handle')
        if (method === 'handle') await new Promise(() => {})
      },
    },
  ],
})

const starting = daemon.start()

async function stop(): Promise<void> {
  while (!(await isWaitedFor())) await delay(10)
  const askedAtMs = performance.now()
  await daemon.stop()
  console.log(`stop() took ${Math.round(performance.now() - askedAtMs)} ms`)
  await starting
  // What the driver destroys is gone a turn or two later.
  while (left() > 0) await delay(10)
  console.log('nothing is left')
}

function left(): number {
  const timers = process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout')
  return pool.totalCount - pool.idleCount + pool.waitingCount + timers.length
}
