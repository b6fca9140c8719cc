import { parseArgs } from 'node:util'
import { createDaemon } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { Pool, type PoolClient } from 'pg'

// A daemon as a process of its own, over `events` and `handled` (test/chaos/store.ts). It says on standard output what
// it is at, a word a line, and ends by itself after SIGTERM: nothing in here calls process.exit().
const { values: options } = parseArgs({
  options: {
    url: { type: 'string', default: '' },
    schema: { type: 'string', default: 'tidemark' },
    projections: { type: 'string', default: 'all' },
    'batch-size': { type: 'string', default: '50' },
    /** How long a batch takes, after it was written and before it is committed. */
    'handle-ms': { type: 'string', default: '0' },
    /** How long a statement of each batch takes in the server. */
    'statement-ms': { type: 'string', default: '0' },
    /** How long it keeps the event loop busy at an event of the type `blocks <name of the projection>`. */
    'block-ms': { type: 'string', default: '0' },
    'drain-timeout-ms': { type: 'string', default: '10000' },
    'stale-threshold-ms': { type: 'string' },
    'on-late-event': { type: 'boolean', default: false },
    effects: { type: 'string', default: 'always' },
    hang: { type: 'boolean', default: false },
    /** It shares the projections with others by leases. */
    'lease-ms': { type: 'string' },
    /** It says what it logs, too. */
    log: { type: 'boolean', default: false },
  },
})

const say = (line: string): void => console.log(line)

const keepBusy = (ms: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

type Event = { readonly position: bigint; readonly id: string; readonly type: string }

const pool = new Pool({ connectionString: options.url, connectionTimeoutMillis: 5_000 })
const threshold = options['stale-threshold-ms']
const daemon = createDaemon<bigint, Event, PoolClient>({
  source: postgresEvents<Event>({
    pool,
    table: 'events',
    eventType: 'type',
    mapRow: (row) => row as unknown as Event,
    ...(threshold === undefined
      ? {}
      : { highWater: { mode: 'stale-threshold', thresholdMs: Number(threshold) } as const }),
  }),
  checkpoints: postgresCheckpoints({ pool, schema: options.schema }),
  drainTimeoutMs: Number(options['drain-timeout-ms']),
  ...(options.log ? { logger: { info: say, warn: say, error: say } } : {}),
  ...(options['lease-ms'] === undefined
    ? {}
    : { nodes: { leaseMs: Number(options['lease-ms']), name: String(process.pid) } }),
  projections: options.projections.split(',').map((name) => {
    const handle = async (events: readonly Event[], { tx }: { readonly tx: PoolClient }): Promise<void> => {
      await tx.query(
        `insert into handled (projection, position, id, process)
         select $1, e.position, e.id, $2 from unnest($3::bigint[], $4::text[]) with ordinality as e (position, id, n)
         order by e.n`,
        [name, process.pid, events.map(({ position }) => String(position)), events.map(({ id }) => id)],
      )
      console.log('handling')
      if (options.hang) await new Promise(() => {})
      const statementMs = Number(options['statement-ms'])
      if (statementMs > 0) await tx.query('select pg_sleep($1)', [statementMs / 1_000])
      if (events.some(({ type }) => type === `blocks ${name}`)) keepBusy(Number(options['block-ms']))
      const handleMs = Number(options['handle-ms'])
      if (handleMs > 0) await new Promise((resolve) => setTimeout(resolve, handleMs))
    }
    return {
      name,
      batchSize: Number(options['batch-size']),
      effects: options.effects as 'always' | 'live_only',
      ...(name.startsWith('rare') ? { eventTypes: ['rare'] } : {}),
      ...(options['on-late-event'] ? { onLateEvent: handle } : {}),
      handle,
    }
  }),
})

const stop = async (): Promise<void> => {
  process.removeListener('SIGTERM', onSignal)
  await daemon.stop()
  await pool.end()
  console.log('stopped')
}
const onSignal = (): void => void stop()
process.on('SIGTERM', onSignal)

await daemon.start()
console.log('started')
