import type { HandlerContext, Projection } from '@tidemark/core'
import type pg from 'pg'
import type { AccountEvent, EventType } from './event.ts'
import { pause } from './pause.ts'

type Handler = (events: readonly AccountEvent[], context: HandlerContext<pg.PoolClient>) => Promise<void>

export type ProjectionName = 'journal' | 'balances' | 'refunds' | 'letters'
export const PROJECTION_NAMES: readonly ProjectionName[] = ['journal', 'balances', 'refunds', 'letters']

/** The types that `refunds` asks for; the others ask for all. */
export const REFUND_TYPES: readonly EventType[] = ['refunded', 'disputed']
/** The one that is slow on purpose. */
export const SLOW_PROJECTION: ProjectionName = 'letters'
/** As long as a mail server takes to answer. */
const SLOW_MS = 100

/** Four projections, each into a table of its own. */
export function createProjections(schema: string): readonly Projection<AccountEvent, pg.PoolClient>[] {
  const record = (name: ProjectionName): Handler => {
    const sql = `insert into ${schema}.${name} (position, type, account, amount)
      select position, type, account, amount
      from unnest($1::bigint[], $2::text[], $3::int[], $4::int[]) with ordinality
        as event (position, type, account, amount, number)
      order by number`
    return async (events, { tx }) => {
      await tx.query(sql, [
        events.map((event) => event.position.toString()),
        events.map((event) => event.type),
        events.map((event) => event.account),
        events.map((event) => event.amount),
      ])
    }
  }
  const journal = record('journal')
  const balances = record('balances')
  const refunds = record('refunds')
  const letters = record('letters')
  return [
    { name: 'journal', handle: journal },
    {
      name: 'balances',
      handle: async (events, context) => {
        await balances(events, context)
        await addToBalances(schema, events, context.tx)
      },
    },
    { name: 'refunds', eventTypes: REFUND_TYPES, handle: refunds },
    {
      name: 'letters',
      batchSize: 1_000,
      handle: async (events, context) => {
        await pause(SLOW_MS, context.signal)
        await letters(events, context)
      },
    },
  ]
}

const SIGN: Readonly<Record<EventType, 1 | -1>> = {
  deposited: 1,
  refunded: 1,
  withdrawn: -1,
  transferred: -1,
  disputed: -1,
}

async function addToBalances(
  schema: string,
  events: readonly AccountEvent[],
  tx: pg.PoolClient,
): Promise<void> {
  const sums = new Map<number, number>()
  for (const { account, amount, type } of events) {
    sums.set(account, (sums.get(account) ?? 0) + SIGN[type] * amount)
  }
  await tx.query(
    `insert into ${schema}.account_balances as balance (account, balance)
     select * from unnest($1::int[], $2::bigint[])
     on conflict (account) do update set balance = balance.balance + excluded.balance`,
    [[...sums.keys()], [...sums.values()]],
  )
}
