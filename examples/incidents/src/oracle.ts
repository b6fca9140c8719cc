import type { ProjectionName } from './projections.ts'

/**
 * What each read model has to hold, made from the events up to `$1` anew, without the event at `$2`; and what it holds. The
 * handlers have no part in it.
 */
export const ORACLES: Readonly<
  Record<ProjectionName, { readonly expected: string; readonly found: string }>
> = {
  orders: {
    expected: `select distinct on (order_id) order_id, customer, lower(substr(type, 6)), amount_cents from events
      where position <= $1 and position is distinct from $2 order by order_id, position desc`,
    found: 'select order_id, customer, state, amount_cents from orders',
  },
  revenue: {
    expected: `select customer, sum(coalesce(amount_cents, 0))::bigint, count(*)::int from events
      where type = 'OrderPaid' and position <= $1 and position is distinct from $2 group by customer`,
    found: 'select customer, paid_cents, payments from revenue',
  },
  mails: {
    expected: `select position, customer from events
      where type = 'OrderPaid' and position <= $1 and position is distinct from $2`,
    found: 'select position, customer from sent_mails',
  },
}
