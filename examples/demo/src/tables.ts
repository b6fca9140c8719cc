import type { ClientBase } from 'pg'
import { PROJECTION_NAMES } from './projections.ts'
import type { Append } from './writers/writer-session.ts'

/**
 * What an application would have. The tables of projections have no unique key on position, and a number for the order
 * of their rows: what is handled twice or out of order is observed, not prevented.
 */
export async function createTables(client: ClientBase, schema: string): Promise<void> {
  await createEventTable(client, schema)
  await client.query(`
    create table ${schema}.reports (title text not null);
    create table ${schema}.account_balances (account int primary key, balance bigint not null)`)
  for (const name of PROJECTION_NAMES) {
    await client.query(`
      create table ${schema}.${name} (
        row_number bigserial primary key,
        position bigint not null,
        type text not null,
        account int not null,
        amount int not null
      )`)
  }
}

export async function createEventTable(client: ClientBase, schema: string): Promise<void> {
  await client.query(`
    create table ${schema}.events (
      position bigint generated always as identity primary key,
      type text not null,
      account int not null,
      amount int not null,
      appended_at timestamptz not null default clock_timestamp()
    )`)
}

/** Appends to that table. */
export function appendRows(schema: string): Append {
  return async (client, events) => {
    const { rows } = await client.query<{ position: string }>(
      `insert into ${schema}.events (type, account, amount)
       select * from unnest($1::text[], $2::int[], $3::int[]) returning position`,
      [events.map((e) => e.type), events.map((e) => e.account), events.map((e) => e.amount)],
    )
    return rows.map(({ position }) => Number(position))
  }
}
