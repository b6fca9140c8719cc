/** Events of another shape than those of the first table, each beside the bare loop, with the memory that a run takes. */
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import type pg from 'pg'
import { CREATE_BALANCES } from '../support/balances.ts'
import { createDatabase } from '../support/database.ts'
import { ACCOUNTS, CREATE_EVENTS, toTransfer } from '../support/event-table.ts'
import { median } from '../support/statistics.ts'
import { printTable, wholeNumber } from '../support/table.ts'
import { bareLoop, CREATE_LOOP_CHECKPOINTS } from './bare-loop.ts'
import { runInterleaved, weighed } from './contender.ts'
import { tidemark } from './tidemark.ts'

const MIB = 2 ** 20

interface Shape {
  readonly title: string
  readonly pool: pg.Pool
  readonly events: number
  readonly handled: number
  readonly eventTypes?: readonly string[]
  readonly pageSizes: readonly number[]
  readonly rounds: number
}

const TYPES = 200

/** Events of some 30 bytes of 200 types, of which a projection wants two: 1 of 100 events. */
export async function replayManyTypes(
  server: EmbeddedPostgres,
  events: number,
  rounds: number,
): Promise<void> {
  const pool = await createdPool(server, 'many_types')
  await pool.query(
    `insert into events (stream, type, data)
     select 'account-' || n % ${ACCOUNTS}, 'type-' || n * 7919 % ${TYPES}, jsonb_build_object('account', n % ${ACCOUNTS}, 'amount', n % 997)
     from generate_series(1, $1::int) n`,
    [events],
  )
  await pool.query('vacuum (analyze) events')
  const eventTypes = ['type-17', 'type-71']
  const { rows } = await pool.query<{ count: string }>('select count(*) from events where type = any ($1)', [
    eventTypes,
  ])
  const handled = Number(rows[0]?.count)
  const shape = { pool, events, handled, eventTypes, pageSizes: [1_000], rounds }
  await compare({
    ...shape,
    title: `${wholeNumber(handled)} of ${wholeNumber(events)} events are of 2 of 200 types, no index on the type`,
  })
  await pool.query('create index on events (type, position)')
  await compare({ ...shape, title: 'the same with an index on (type, position)' })
  await pool.end()
}

/** Of 5 kB each: the server keeps them apart from their rows. */
export async function replayLargeEvents(
  server: EmbeddedPostgres,
  events: number,
  rounds: number,
): Promise<void> {
  const pool = await createdPool(server, 'large_events')
  await pool.query(
    `insert into events (stream, type, data)
     select 'account-' || n % ${ACCOUNTS}, 'Imported', jsonb_build_object('account', n % ${ACCOUNTS}, 'amount', n % 997,
       'document', (select string_agg(md5(n || '-' || part), '') from generate_series(1, 154) part))
     from generate_series(1, $1::int) n`,
    [events],
  )
  await pool.query('vacuum (analyze) events')
  await compare({
    ...{ pool, events, handled: events, pageSizes: [100, 1_000], rounds },
    title: `${wholeNumber(events)} events of 5 kB`,
  })
  await pool.end()
}

async function createdPool(server: EmbeddedPostgres, name: string): Promise<pg.Pool> {
  const pool = await createDatabase(server, name)
  await pool.query(`${CREATE_EVENTS}; ${CREATE_BALANCES}; ${CREATE_LOOP_CHECKPOINTS}`)
  return pool
}

async function compare(shape: Shape): Promise<void> {
  const { title, pool, events, handled, eventTypes, pageSizes, rounds } = shape
  console.log(`\n${title}; ${rounds} rounds`)
  const shared = { pool, handled, events, rounds, ...(eventTypes === undefined ? {} : { eventTypes }) }
  const columns = ['stream', 'type', 'data', 'created_at']
  const ofTidemark = { ...shared, table: 'events', position: 'position', columns, toTransfer }
  const peaks = new Map<string, number[]>()
  const contenders = [
    ...pageSizes.flatMap((pageSize) => [
      bareLoop({ ...shared, pageSize }),
      tidemark({ ...ofTidemark, name: `Tidemark, batchSize ${pageSize}`, batchSize: pageSize }),
    ]),
    tidemark({ ...ofTidemark, name: 'Tidemark, batchSize by default' }),
  ]
  const rates = await runInterleaved(contenders.map((contender) => weighed(contender, peaks)))
  const [baseline = ''] = rates.keys()
  const base = rates.get(baseline) ?? []
  console.log()
  printTable(
    ['median of interleaved runs', 'events/s looked through', `x "${baseline}"`, 'most memory, MiB'],
    [...rates].map(([name, of]) => [
      name,
      wholeNumber(median(of)),
      `${median(of.map((rate, round) => rate / (base[round] ?? Number.NaN))).toFixed(2)} x`,
      (median(peaks.get(name) ?? []) / MIB).toFixed(0),
    ]),
  )
}
