import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createDaemon, type Projection } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { Pool, type PoolClient } from 'pg'

// A daemon as a process of its own, with two versions of one projection (test/chaos/switches.ts). It says on standard output
// where it is in a switch, a word a line.
const { values: options } = parseArgs({
  options: {
    url: { type: 'string', default: '' },
    /** How long `onSwitch` takes, before and after what it changes. */
    'switch-ms': { type: 'string', default: '20' },
  },
})

type Event = { readonly position: bigint; readonly id: string; readonly type: string }

const pool = new Pool({ connectionString: options.url, connectionTimeoutMillis: 5_000 })
const halfMs = Number(options['switch-ms']) / 2

const versionOf = (version: number): Projection<Event, PoolClient> => ({
  name: 'orders',
  version,
  batchSize: 50,
  handle: async (events, { tx }) => {
    // What is handled twice fails.
    await tx.query(`insert into orders_${version} select unnest($1::bigint[])`, [
      events.map(({ position }) => String(position)),
    ])
  },
  onSwitch: async (tx, { to }) => {
    console.log('begun')
    await sleep(halfMs)
    await tx.query(`create or replace view orders as select position from orders_${to}`)
    await tx.query('update serving set version = $1', [to])
    await tx.query(
      `insert into switches (live, first, second)
       select $1, (select count(*) from orders_1), (select count(*) from orders_2)`,
      [to],
    )
    console.log('changed')
    await sleep(halfMs)
  },
})

const daemon = createDaemon<bigint, Event, PoolClient>({
  source: postgresEvents<Event>({ pool, table: 'events', mapRow: (row) => row as unknown as Event }),
  checkpoints: postgresCheckpoints({ pool }),
  projections: [versionOf(1), versionOf(2)],
})

process.once('SIGTERM', () => void daemon.stop().then(() => pool.end()))
await daemon.start()
console.log('started')
