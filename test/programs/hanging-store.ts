import { setTimeout as delay } from 'node:timers/promises'
import { createDaemon } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { Client, Pool } from 'pg'

// A daemon over `events` one of whose calls to the store is never answered, and is then stopped. It says when
// nothing is left after `stop()` and `start()`, and ends by itself: nothing in here calls process.exit().
const { URL: url = '', SCHEMA: schema = '', METHOD: method = '' } = process.env

const pool = new Pool({ connectionString: url, allowExitOnIdle: true })
const blocker = new Client({ connectionString: url })
await blocker.connect()
// No limit of the adapter's own helps.
const queryTimeoutMs = 600_000
const source = postgresEvents({ pool, table: `${schema}.events`, queryTimeoutMs })
const checkpoints = postgresCheckpoints({ pool, schema, queryTimeoutMs })
await checkpoints.prepare?.(new AbortController().signal)
// It holds its locks until this process has ended, and does not keep it from that.
// @types/pg does not know it.
;(blocker as unknown as { unref(): void }).unref()

let hangs = false
const isWaitedFor = async (): Promise<boolean> => {
  const { rows } = await blocker.query('select exists (select from pg_locks where not granted) as found')
  return rows[0].found === true
}
const hang = async (called: string): Promise<void> => {
  if (called !== method || hangs) return
  hangs = true
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
    open: async (request) => {
      await hang('source.open')
      return await source.open(request)
    },
    readHighWater: async (request) => {
      await hang('readHighWater')
      return await source.readHighWater(request)
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
    advance: async (...args) => {
      await hang('advance')
      return await checkpoints.advance(...args)
    },
    sharesLogWith: (...args) => checkpoints.sharesLogWith(...args),
    isTransient: (error) => checkpoints.isTransient(error),
  },
  projections: [{ name: 'all', handle: () => {} }],
})

const starting = daemon.start()

async function stop(): Promise<void> {
  while (!(await isWaitedFor())) await delay(10)
  await daemon.stop()
  await starting
  // What the driver destroys is gone a turn or two later.
  while (left() > 0) await delay(10)
  console.log('nothing is left')
}

function left(): number {
  const timers = process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout')
  return pool.totalCount - pool.idleCount + pool.waitingCount + timers.length
}
