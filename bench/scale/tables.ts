import type pg from 'pg'

const COLUMNS = `type text not null default 'Deposited', tenant int not null default 0, data text not null default repeat('x', 60)`
const PARTED = { range: 'range (position)', list: 'list (tenant)' } as const

export type PartitionedBy = keyof typeof PARTED

export const CREATE_TABLE: string = `create table events (position bigint generated always as identity primary key, ${COLUMNS})`

/** Adds events in one statement. */
export async function appendEvents(pool: pg.Pool, count: number, tenants = 1): Promise<void> {
  await pool.query(`insert into events (tenant) select n % ${tenants} from generate_series(1, ${count}) n`)
}

/** All of the same size. Range: by position, and the last takes all that follows. List: by tenant, whose events come in turns. */
export async function createPartitions(
  pool: pg.Pool,
  by: PartitionedBy,
  partitions: number,
  events: number,
): Promise<void> {
  await pool.query(`create table events (position bigint generated always as identity, ${COLUMNS},
    primary key (position, tenant)) partition by ${PARTED[by]}`)
  const each = Math.ceil(events / partitions)
  const bounds = (n: number): string => {
    if (by === 'list') return `in (${n})`
    const to = n === partitions - 1 ? 'maxvalue' : String((n + 1) * each + 1)
    return `from (${n === 0 ? 'minvalue' : n * each + 1}) to (${to})`
  }
  const statements = Array.from(
    { length: partitions },
    (_, n) => `create table events_${n} partition of events for values ${bounds(n)}`,
  )
  // A transaction holds the locks of all that it makes.
  for (let n = 0; n < partitions; n += 50) await pool.query(statements.slice(n, n + 50).join('; '))
  await appendEvents(pool, events, by === 'list' ? partitions : 1)
  await pool.query('vacuum analyze events')
}

/** Numbers of transactions that were rolled back, each with an event behind it: the newest of these runs are looked at again and again. */
export async function rollBackSome(pool: pg.Pool, runs: number): Promise<void> {
  await pool.query(`do $$ begin
    for n in 1..${runs} loop
      insert into events default values; rollback;
      insert into events default values; commit;
    end loop; end $$`)
}

/** A writer that stays open, and events of others above its own. */
export async function openWriter(pool: pg.Pool, events: number): Promise<pg.PoolClient> {
  const writer = await pool.connect()
  await writer.query('begin; insert into events default values')
  await appendEvents(pool, events)
  return writer
}

/** The events stay as they are: nothing that it has written is seen by anybody. */
export async function rollBack(writer: pg.PoolClient): Promise<void> {
  await writer.query('rollback')
  writer.release()
}
