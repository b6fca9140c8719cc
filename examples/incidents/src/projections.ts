import type { Projection } from '@tidemark/core'
import type pg from 'pg'
import type { ShopEvent } from './event.ts'

export const RELEASES = ['2.2', '2.3', '2.4', '2.5'] as const
export type Release = (typeof RELEASES)[number]
export type ProjectionName = 'orders' | 'revenue' | 'mails'
type ShopProjection = Projection<ShopEvent, pg.PoolClient>

/** What the shop projects in a release. `mailUrl`: where mails are sent. */
export function createProjections(release: Release, mailUrl: string): readonly ShopProjection[] {
  return [
    orders(release),
    revenue(release, 1),
    ...(release === '2.5' ? [revenue(release, 2)] : []),
    mails(mailUrl),
  ]
}

/** The last that has happened to each order. */
function orders(release: Release): ShopProjection {
  return {
    name: 'orders',
    handle: async (events, { tx }) => {
      if (isOlder(release, '2.4')) for (const { note } of events) renderLabel(note)
      const last = [...new Map(events.map((event) => [event.orderId, event])).values()]
      await tx.query(
        `insert into orders (order_id, customer, state, amount_cents)
         select * from unnest($1::int[], $2::text[], $3::text[], $4::int[])
         on conflict (order_id) do update set state = excluded.state, amount_cents = excluded.amount_cents`,
        [
          last.map(({ orderId }) => orderId),
          last.map(({ customer }) => customer),
          last.map(({ type }) => type.slice('Order'.length).toLowerCase()),
          last.map(({ amountCents }) => amountCents),
        ],
      )
    },
    reset: async (tx) => {
      await tx.query('truncate orders')
    },
  }
}

/** Stands for native code that crashes where text is written from right to left. */
function renderLabel(note: string | null): void {
  if (note?.includes('\u202e')) process.exit(134)
}

/** What each customer has paid. */
function revenue(release: Release, version: 1 | 2): ShopProjection {
  return {
    name: 'revenue',
    version,
    eventTypes: ['OrderPaid'],
    handle: async (events, { tx }) => {
      for (const event of events) {
        await tx.query(
          `insert into revenue_${version} as paid values ($1, $2, 1)
           on conflict (customer) do update
           set paid_cents = paid.paid_cents + excluded.paid_cents, payments = paid.payments + 1`,
          [event.customer, centsOf(release, event)],
        )
      }
    },
    reset: async (tx) => {
      await tx.query(`truncate revenue_${version}`)
    },
    onSwitch: async (tx) => {
      await tx.query("set local lock_timeout = '2s'")
      await tx.query(`create or replace view revenue as select * from revenue_${version}`)
    },
  }
}

function centsOf(release: Release, { amountCents, orderId }: ShopEvent): number {
  if (amountCents === null) {
    if (isOlder(release, '2.4')) throw new TypeError(`the payment of order ${orderId} has no amount`)
    return 0
  }
  return release === '2.2' ? Math.floor(amountCents / 100) * 100 : amountCents
}

/** A mail for each payment, of each customer in order. */
function mails(mailUrl: string): ShopProjection {
  return {
    name: 'mails',
    eventTypes: ['OrderPaid'],
    effects: 'live_only',
    attempts: 2,
    onFailure: 'park_key',
    keyOf: ({ customer }) => customer,
    handle: async (events, { tx, signal }) => {
      for (const { customer, position } of events) {
        await fetch(mailUrl, { method: 'POST', body: `to ${customer}: thank you`, signal })
        await tx.query('insert into sent_mails values ($1, $2)', [position.toString(), customer])
      }
    },
  }
}

function isOlder(release: Release, than: Release): boolean {
  return RELEASES.indexOf(release) < RELEASES.indexOf(than)
}
