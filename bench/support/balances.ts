import type { PgClient } from '@tidemark/pg-adapter'

/** What the projection of these benchmarks needs of an event. */
export interface Transfer {
  readonly account: number
  readonly amount: number
}

export const CREATE_BALANCES = `
  create table balances (account int primary key, amount bigint not null, events bigint not null)`

/** The work of every contender: one statement for what it is given, whether a batch or a single event. */
export async function addToBalances(
  tx: Pick<PgClient, 'query'>,
  transfers: readonly Transfer[],
): Promise<void> {
  await tx.query(
    `insert into balances as b (account, amount, events)
     select account, sum(amount), count(*) from unnest($1::int[], $2::bigint[]) as t (account, amount)
     group by account order by account
     on conflict (account) do update set amount = b.amount + excluded.amount, events = b.events + excluded.events`,
    [transfers.map(({ account }) => account), transfers.map(({ amount }) => amount)],
  )
}

/** Throws unless exactly `expected` events were projected since the table was emptied. */
export async function requireProjected(client: Pick<PgClient, 'query'>, expected: number): Promise<void> {
  const { rows } = await client.query('select coalesce(sum(events), 0)::text as events from balances')
  if (rows[0]?.events !== String(expected)) {
    throw new Error(`${String(rows[0]?.events)} events were projected, expected ${expected}`)
  }
}
