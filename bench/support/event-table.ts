import type { PgClient } from '@tidemark/pg-adapter'
import type { Transfer } from './balances.ts'

/** Many, so that a larger page is not less work an event. */
export const ACCOUNTS = 10_000

export const CREATE_EVENTS = `
  create table events (
    position bigint generated always as identity primary key,
    stream text not null,
    type text not null,
    data jsonb not null,
    created_at timestamptz not null default now()
  )`

/** Events with a payload of some 200 bytes. */
export async function fillEvents(client: Pick<PgClient, 'query'>, count: number): Promise<void> {
  await client.query(
    `insert into events (stream, type, data)
     select 'account-' || n % ${ACCOUNTS}, (array['Deposited', 'Withdrawn', 'Transferred'])[n % 3 + 1],
       jsonb_build_object('account', n % ${ACCOUNTS}, 'amount', n % 997, 'currency', 'EUR',
         'reference', md5(n::text), 'channel', 'web', 'note', 'invoice ' || n || ', thank you for your business',
         'correlationId', md5('c' || n))
     from generate_series(1, $1::int) n`,
    [count],
  )
  await client.query('vacuum (analyze) events')
}

export function toTransfer(row: Readonly<Record<string, unknown>>): Transfer {
  return row.data as Transfer
}
