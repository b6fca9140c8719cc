import { randomUUID } from 'node:crypto'
import type { ChaosStore } from './store.ts'

type Queryable = Pick<ChaosStore, 'query'>

/** Appends them with one statement, and returns the last position. */
export async function append(client: Queryable, count: number): Promise<number> {
  const { rows } = await client.query(
    `with appended as (
       insert into events (id, type) select e, 'common' from unnest($1::text[]) e returning position
     )
     select max(position)::int as last from appended`,
    [Array.from({ length: count }, () => randomUUID())],
  )
  return rows[0].last
}

/** A commit that waits for the log takes everything before it along. */
export async function flush(store: ChaosStore): Promise<void> {
  await store.query('insert into unrelated values (1)')
}

export async function lastPosition(client: Queryable): Promise<number> {
  const { rows } = await client.query('select coalesce(max(position), 0)::int as last from events')
  return rows[0].last
}
