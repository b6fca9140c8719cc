import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { createDatabase } from '../support/database.ts'
import { printSizes, type SizedFigures } from './costs-table.ts'
import { figuresOf, HEADINGS, type HowOften, measureHeld, measureTable } from './measure-table.ts'
import { MeasuredSource } from './measured-source.ts'
import {
  appendEvents,
  CREATE_TABLE,
  createPartitions,
  openWriter,
  type PartitionedBy,
  rollBack,
} from './tables.ts'

/** By the number of rows, in one table that grows. */
export async function byRows(
  server: EmbeddedPostgres,
  sizes: readonly number[],
  often: HowOften,
): Promise<void> {
  const name = 'by_rows'
  const pool = await createDatabase(server, name)
  await pool.query(CREATE_TABLE)
  const rows: SizedFigures[] = []
  let events = 0
  for (const size of sizes) {
    await appendEvents(pool, size - events)
    events = size
    await pool.query('vacuum analyze events')
    const costs = await measureTable(pool, server.connectionString(name), often)
    rows.push({ size, figures: figuresOf(costs) })
  }
  printSizes('rows', HEADINGS, rows)
  await pool.query('drop table events')
  await pool.end()
}

export async function byPartitions(
  server: EmbeddedPostgres,
  by: PartitionedBy,
  sizes: readonly number[],
  events: number,
  often: HowOften,
): Promise<void> {
  const rows: SizedFigures[] = []
  for (const size of sizes) {
    const name = `by_partitions_${by}_${size}`
    const pool = await createDatabase(server, name)
    await createPartitions(pool, by, size, events)
    const costs = await measureTable(pool, server.connectionString(name), often)
    rows.push({ size, figures: figuresOf(costs) })
    await pool.end()
  }
  printSizes(`partitions, ${by === 'range' ? 'by position' : 'by tenant'}`, HEADINGS, rows)
}

/** Every other number above an open writer's own was rolled back, and may be that writer's. */
export async function byGaps(
  server: EmbeddedPostgres,
  sizes: readonly number[],
  often: HowOften,
): Promise<void> {
  const rows: SizedFigures[] = []
  for (const size of sizes) {
    const name = `by_gaps_${size}`
    const pool = await createDatabase(server, name)
    await pool.query(CREATE_TABLE)
    await appendEvents(pool, 1_000)
    const writer = await openWriter(pool, 0)
    const { rows: last } = await pool.query<{ head: string }>(
      `select nextval(pg_get_serial_sequence('events', 'position'))::text as head`,
    )
    const head = BigInt(last[0]?.head ?? 0)
    await pool.query(`insert into events (position) overriding system value
      select ${head} + 2 * n from generate_series(1, ${size}) n`)
    await pool.query(`select setval(pg_get_serial_sequence('events', 'position'), ${head} + 2 * ${size})`)
    await pool.query('vacuum analyze events')
    const costs = await measureHeld(server.connectionString(name), often)
    rows.push({ size, figures: figuresOf(costs) })
    await rollBack(writer)
    await pool.query('drop table events')
    await pool.end()
  }
  printSizes('open gaps', HEADINGS, rows)
}

/** Rows of one transaction that is still open, with events of others above them; then it is rolled back. */
export async function byRowsInFlight(
  server: EmbeddedPostgres,
  sizes: readonly number[],
  often: HowOften,
): Promise<void> {
  const rows: SizedFigures[] = []
  const name = 'by_rows_in_flight'
  const pool = await createDatabase(server, name)
  await pool.query(CREATE_TABLE)
  await appendEvents(pool, 100_000)
  await pool.query('vacuum analyze events')
  for (const size of sizes) {
    const writer = await openWriter(pool, 0)
    await writer.query('insert into events (tenant) select 0 from generate_series(2, $1)', [size])
    await appendEvents(pool, 20)
    const costs = await measureHeld(server.connectionString(name), often)
    const source = new MeasuredSource(server.connectionString(name))
    await source.start()
    await rollBack(writer)
    const beganMs = performance.now()
    await source.poll()
    const firstMs = performance.now() - beganMs
    await source.close()
    rows.push({ size, figures: [...figuresOf(costs), firstMs] })
  }
  printSizes('rows in flight', [...HEADINGS, 'first poll after its rollback, ms'], rows)
  await pool.end()
}

/** Held by another session. */
export async function byLocks(
  server: EmbeddedPostgres,
  sizes: readonly number[],
  often: HowOften,
): Promise<void> {
  const rows: SizedFigures[] = []
  const name = 'by_locks'
  const pool = await createDatabase(server, name)
  await pool.query(CREATE_TABLE)
  await appendEvents(pool, 100_000)
  await pool.query('vacuum analyze events')
  for (const size of sizes) {
    const holder = await pool.connect()
    await holder.query('begin')
    await holder.query('select count(pg_advisory_xact_lock(n)) from generate_series(1, $1::int) n', [size])
    const costs = await measureTable(pool, server.connectionString(name), often)
    rows.push({ size, figures: figuresOf(costs) })
    await rollBack(holder)
  }
  printSizes('locks', HEADINGS, rows)
  await pool.end()
}
