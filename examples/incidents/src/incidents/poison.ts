import { firing } from '../alert.ts'
import type { Incident } from '../incident.ts'
import { append } from '../tables.ts'

/** The handler of one projection throws at one event. */
export const poison: Incident = {
  prepare: async ({ pool }) => {
    const order = { orderId: 902, customer: 'berta' }
    await append(pool, { type: 'OrderPlaced', ...order, amountCents: 1_250 })
    const leftOut = await append(pool, { type: 'OrderPaid', ...order, amountCents: null })
    return { told: notRunning('revenue'), leftOut }
  },
}

export function notRunning(projection: string): readonly string[] {
  return firing({
    name: 'TidemarkProjectionNotRunning',
    severity: 'critical',
    labels: { projection_name: projection },
    summary: `Projection ${projection} is paused or stopped, and no other process runs it`,
    section: 'projection-not-running',
  })
}
