import type pg from 'pg'
import { pause } from './pause.ts'
import { append, CUSTOMERS } from './tables.ts'

const EVERY_MS = 100
/** Above those of the history, and of whatever an incident appends. */
const FIRST_ORDER = 10_000

/** Customers who order, pay and cancel, until `signal` fires. One after the other: no two events are open at a time. */
export async function runWriter(pool: pg.Pool, signal: AbortSignal): Promise<void> {
  const unpaid: { orderId: number; customer: string; amountCents: number }[] = []
  for (let orderId = FIRST_ORDER; !signal.aborted; orderId++) {
    const customer = CUSTOMERS[orderId % CUSTOMERS.length] ?? ''
    const order = { orderId, customer, amountCents: 1_000 + ((orderId * 7_919) % 90_000) }
    await append(pool, { type: 'OrderPlaced', ...order })
    unpaid.push(order)
    await pause(EVERY_MS, signal)
    const oldest = unpaid.length > 5 ? unpaid.shift() : undefined
    if (oldest !== undefined) {
      await append(pool, { type: orderId % 5 === 0 ? 'OrderCancelled' : 'OrderPaid', ...oldest })
    }
    await pause(EVERY_MS, signal)
  }
}
