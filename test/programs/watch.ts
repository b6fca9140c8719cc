import { parseArgs } from 'node:util'
import { createWatch } from '@tidemark/core'
import { postgresCheckpoints, postgresConsumers, watchedPostgresEvents } from '@tidemark/pg-adapter'
import { Pool } from 'pg'

// A watch with a ledger as a process of its own, over `events` and `loops` (test/chaos/store.ts, watched.ts). It says on standard
// output what it tells, what it sees, and of what it cannot tell, and ends by itself after SIGTERM.
const { values: options } = parseArgs({ options: { url: { type: 'string', default: '' } } })

const pool = new Pool({ connectionString: options.url, connectionTimeoutMillis: 5_000 })
const say = (line: string): void => console.log(`log ${line}`)
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
  logger: { info: say, warn: say, error: say },
  telemetry: {
    consumerLostEvents: ({ events }) =>
      console.log(`told ${events.map(({ position }) => position).join(' ')}`),
  },
})

let seen = ''
const reporting = setInterval(() => {
  const [consumer] = watch.status().consumers
  if (consumer === undefined) return
  const { cannotTell, exposedPositions } = consumer
  const sees = JSON.stringify({ exposed: Number(exposedPositions), cannotTell })
  if (sees !== seen) console.log(`sees ${sees}`)
  seen = sees
}, 20)

process.once('SIGTERM', () => {
  clearInterval(reporting)
  void watch.stop().then(() => pool.end())
})

await watch.start()
console.log('started')
