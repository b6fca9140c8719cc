import { parseArgs } from 'node:util'
import { createDaemon } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { Pool, type PoolClient } from 'pg'

// A daemon as a process of its own, over `events`, `handled` and `calls` (test/chaos/deadly-events.test.ts). The handler of the
// first projection ends the process at one event; it first writes down, for good, how many events it was called with.
const { values: options } = parseArgs({
  options: {
    url: { type: 'string', default: '' },
    'deadly-position': { type: 'string', default: '0' },
    how: { type: 'string', default: 'exit' },
    attempts: { type: 'string', default: '5' },
    'on-failure': { type: 'string', default: 'pause' },
    'batch-size': { type: 'string', default: '100' },
  },
})

type Event = { readonly position: bigint; readonly id: string; readonly type: string }

const ENDS: Readonly<Record<string, () => void>> = {
  exit: () => process.exit(7),
  kill: () => process.kill(process.pid, 'SIGKILL'),
  memory: () => {
    const kept: unknown[] = []
    for (;;) kept.push(new Array(1_000_000).fill(kept.length + 0.5))
  },
  lives: () => {},
}

const pool = new Pool({ connectionString: options.url, connectionTimeoutMillis: 30_000 })
const deadly = BigInt(options['deadly-position'])
const handlerOf =
  (name: string) =>
  async (events: readonly Event[], { tx }: { readonly tx: PoolClient }): Promise<void> => {
    await tx.query(
      `insert into handled (projection, position, id, process)
       select $1, e.position, e.id, $2 from unnest($3::bigint[], $4::text[]) with ordinality as e (position, id, n)
       order by e.n`,
      [name, process.pid, events.map(({ position }) => String(position)), events.map(({ id }) => id)],
    )
    if (name !== 'deadly' || !events.some(({ position }) => position === deadly)) return
    await pool.query('insert into calls (events, process) values ($1, $2)', [events.length, process.pid])
    ENDS[options.how]?.()
  }

const daemon = createDaemon<bigint, Event, PoolClient>({
  source: postgresEvents<Event>({
    pool,
    table: 'events',
    eventType: 'type',
    mapRow: (row) => row as unknown as Event,
  }),
  checkpoints: postgresCheckpoints({ pool }),
  projections: ['deadly', 'second', 'third'].map((name) => ({
    name,
    batchSize: Number(options['batch-size']),
    attempts: Number(options.attempts),
    onFailure:
      options['on-failure'] === 'retry' ? () => 'retry' : (options['on-failure'] as 'pause' | 'skip'),
    handle: handlerOf(name),
  })),
})

process.on('SIGTERM', () => void daemon.stop().then(() => pool.end()))
await daemon.start()
console.log('started')
for (;;) {
  const isPaused = daemon.status().projections[0]?.state === 'paused'
  const { rows } = await pool.query(
    `select count(*) = 3 and bool_and(coalesce(position::bigint = (select max(position) from events), false)
       or projection = 'deadly' and $1) as "isDone" from tidemark.checkpoints`,
    [isPaused],
  )
  if (rows[0].isDone === true) break
  await new Promise((resolve) => setTimeout(resolve, 20))
}
console.log('settled')
