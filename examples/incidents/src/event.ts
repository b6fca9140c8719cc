import type { PostgresRow } from '@tidemark/pg-adapter'

type EventType = 'OrderPlaced' | 'OrderPaid' | 'OrderCancelled'

/** What happens to the orders of a small shop. */
export interface ShopEvent {
  readonly position: bigint
  readonly type: EventType
  readonly orderId: number
  readonly customer: string
  /** `null` where whoever wrote the event has left it out. */
  readonly amountCents: number | null
  readonly note: string | null
}

export type NewEvent = Omit<ShopEvent, 'position' | 'note'> & { readonly note?: string }

export function toShopEvent(row: PostgresRow, position: bigint): ShopEvent {
  return {
    position,
    type: row.type as EventType,
    orderId: Number(row.order_id),
    customer: String(row.customer),
    amountCents: row.amount_cents === null ? null : Number(row.amount_cents),
    note: row.note === null ? null : String(row.note),
  }
}
