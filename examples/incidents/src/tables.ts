import type pg from 'pg'
import type { NewEvent } from './event.ts'

export const CUSTOMERS = ['abel', 'berta', 'carla', 'dario', 'elif', 'frida', 'goran', 'hanna'] as const

const HISTORY_ORDERS = 120

/** The events of the shop, with some of the days before, and its read models. */
export async function createTables(pool: pg.Pool): Promise<void> {
  await pool.query(`
    create table events (
      position bigint generated always as identity primary key,
      type text not null,
      order_id int not null,
      customer text not null,
      amount_cents int,
      note text,
      appended_at timestamptz not null default clock_timestamp()
    );
    create index on events (order_id, position);
    create table orders (order_id int primary key, customer text not null, state text not null, amount_cents int);
    create table revenue_1 (customer text primary key, paid_cents bigint not null, payments int not null);
    create table revenue_2 (like revenue_1 including all);
    create view revenue as select * from revenue_1;
    create table sent_mails (position bigint not null, customer text not null);
    create table invoices (order_id int not null, amount_cents int not null);
    create table consumers (name text primary key, position bigint not null)`)
  await pool.query(
    `insert into events (type, order_id, customer, amount_cents, appended_at)
     select type, number, ($1::text[])[1 + number % cardinality($1::text[])], 1000 + number * 7919 % 90000,
       now() - interval '3 days' + number * interval '13 minutes'
     from generate_series(1, $2::int) number, unnest(array['OrderPlaced', 'OrderPaid']) type
     order by number, type = 'OrderPaid'`,
    [CUSTOMERS, HISTORY_ORDERS],
  )
}

/** The position of the event. */
export async function append(client: pg.Pool | pg.Client, event: NewEvent): Promise<bigint> {
  const { type, orderId, customer, amountCents, note } = event
  const { rows } = await client.query<{ position: string }>(
    `insert into events (type, order_id, customer, amount_cents, note) values ($1, $2, $3, $4, $5) returning position`,
    [type, orderId, customer, amountCents, note ?? null],
  )
  return BigInt(rows[0]?.position ?? '')
}
