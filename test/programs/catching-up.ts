import { createDaemon } from '@tidemark/core'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import { postgresEvents } from '@tidemark/pg-adapter'
import { Pool } from 'pg'

// Projections that all catch up at once over `events`, as a process of its own. It says how many events each of them was given.
const { DATABASE_URL: connectionString, PROJECTIONS = '1', BATCH_SIZE } = process.env

const pool = new Pool({ connectionString })
const handled = new Map<string, number>()
const daemon = createDaemon({
  source: postgresEvents({ pool, table: 'public.events', wakeUps: 'none' }),
  checkpoints: inMemoryCheckpoints(),
  projections: Array.from({ length: Number(PROJECTIONS) }, (_, n) => ({
    name: `projection ${n}`,
    ...(BATCH_SIZE === undefined ? {} : { batchSize: Number(BATCH_SIZE) }),
    handle: (events: readonly unknown[]) =>
      void handled.set(`projection ${n}`, (handled.get(`projection ${n}`) ?? 0) + events.length),
  })),
})
await daemon.start()
await daemon.waitUntilProjected({ timeoutMs: 300_000 })
console.log(`handled ${[...new Set(handled.values())].join(' ')} by ${handled.size}`)
await daemon.stop()
await pool.end()
