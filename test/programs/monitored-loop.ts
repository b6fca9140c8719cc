import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { monitorHandler } from '@tidemark/core'
import { postgresCheckpoints, watchedPostgresEvents } from '@tidemark/pg-adapter'
import { Pool } from 'pg'

// A loop that reads what is above its last position, and a monitor of its handler with a ledger, over `events`
// (test/chaos/store.ts). It says on standard output what it hands over, what the monitor tells, and what it sees, and ends by
// itself after SIGTERM.
const { values: options } = parseArgs({ options: { url: { type: 'string', default: '' } } })

const pool = new Pool({ connectionString: options.url, connectionTimeoutMillis: 5_000 })
const monitor = monitorHandler<{ readonly position: string }>({
  projection: 'loop',
  source: watchedPostgresEvents({ pool, table: 'events', eventType: 'type' }),
  position: ({ position }) => position,
  eventTypes: 'all',
  ledger: postgresCheckpoints({ pool }),
  lookIntervalMs: 50,
  telemetry: {
    consumerLostEvents: ({ events }) =>
      console.log(`told ${events.map(({ position }) => position).join(' ')}`),
  },
})
const handle = monitor.wrap(({ position }: { readonly position: string }) =>
  console.log(`handed ${position}`),
)

let seen = ''
const reporting = setInterval(() => {
  const { cannotTell, exposedPositions, lookedTo } = monitor.status()
  const sees = JSON.stringify({ exposed: Number(exposedPositions), lookedTo: Number(lookedTo), cannotTell })
  if (sees !== seen) console.log(`sees ${sees}`)
  seen = sees
}, 20)

await pool.query('create table if not exists stored (position bigint not null)')
let isStopping = false
process.once('SIGTERM', () => {
  isStopping = true
})
console.log('started')
while (!isStopping) {
  const { rows: stored } = await pool.query('select max(position)::text as position from stored')
  const { rows } = await pool.query(
    'select position::text from events where position > $1 order by events.position limit 20',
    [stored[0].position ?? '0'],
  )
  for (const row of rows) handle(row)
  // One that dies here is given these events again.
  await sleep(5)
  const last = rows.at(-1)
  if (last !== undefined) await pool.query('insert into stored values ($1)', [last.position])
}
clearInterval(reporting)
await monitor.stop()
await pool.end()
