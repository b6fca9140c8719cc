import { setTimeout as sleep } from 'node:timers/promises'
import { createDaemon } from '@tidemark/core'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import { postgresEvents } from '@tidemark/pg-adapter'
import { Pool } from 'pg'

// Projections that all catch up at once over `events`, as a process of its own. None is done with a batch before all have one as far, and
// have read the page that follows: so all that they may hold is held at the same time. It says how many events each was given.
const { DATABASE_URL: connectionString, PROJECTIONS = '1', EVENTS = '0', BATCH_SIZE = '5000' } = process.env

const pool = new Pool({ connectionString })
const progress = Array.from({ length: Number(PROJECTIONS) }, () => ({ batches: 0, events: 0 }))
const heldByAll = new Map<number, Promise<void>>()

async function untilHeldByAll(batch: number): Promise<void> {
  const isBehind = ({ batches, events }: { readonly batches: number; readonly events: number }): boolean =>
    batches < batch && events < Number(EVENTS)
  const isReading = (): boolean => pool.waitingCount > 0 || pool.idleCount < pool.totalCount
  do await sleep(20)
  while (progress.some(isBehind) || isReading())
}

const daemon = createDaemon({
  source: postgresEvents({ pool, table: 'public.events', wakeUps: 'none' }),
  checkpoints: inMemoryCheckpoints(),
  projections: progress.map((own, n) => ({
    name: `projection ${n}`,
    batchSize: Number(BATCH_SIZE),
    handle: async (events: readonly unknown[]): Promise<void> => {
      own.batches++
      own.events += events.length
      const held = heldByAll.get(own.batches) ?? untilHeldByAll(own.batches)
      heldByAll.set(own.batches, held)
      await held
    },
  })),
})
await daemon.start()
await daemon.waitUntilProjected({ timeoutMs: 300_000 })
console.log(`handled ${[...new Set(progress.map(({ events }) => events))].join(' ')} by ${progress.length}`)
await daemon.stop()
await pool.end()
