import type { TestDatabase } from '../support/database.ts'

/** The table of the example's README. */
export const EVENTS = `
  create table events (
    position bigint generated always as identity primary key,
    id uuid not null default gen_random_uuid(),
    key text not null,
    type text not null,
    data jsonb not null
  )`

/** Appends one event for each of these keys, in one transaction, and returns the last position. */
export async function append(database: TestDatabase, keys: readonly string[], note = ''): Promise<bigint> {
  const { rows } = await database.pool.query(
    `with appended as (
       insert into events (key, type, data)
       select key, 'Happened', jsonb_build_object('note', $2::text) from unnest($1::text[]) as key
       returning position
     )
     select max(position) as last from appended`,
    [keys, note],
  )
  return BigInt(rows[0].last)
}

/** What is committed, oldest first. */
export async function committed(
  database: TestDatabase,
): Promise<readonly { readonly position: number; readonly id: string; readonly key: string }[]> {
  const { rows } = await database.pool.query('select position::int, id, key from events order by position')
  return rows
}
