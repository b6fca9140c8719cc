import pg from 'pg'
import { firing } from '../alert.ts'
import type { Incident } from '../incident.ts'
import { append } from '../tables.ts'

/** A program has begun a transaction, written an order, and does nothing more. */
export const heldMark: Incident = {
  prepare: async ({ url, ending }) => {
    const client = new pg.Client({ connectionString: url, application_name: 'checkout' })
    // Whoever ends its session ends it here.
    client.on('error', () => {})
    await client.connect()
    ending.addEventListener('abort', () => void client.end().catch(() => {}))
    await client.query('begin')
    await append(client, { type: 'OrderPlaced', orderId: 901, customer: 'ivo', amountCents: 4_990 })
    return {
      told: firing({
        name: 'TidemarkMarkStale',
        severity: 'critical',
        labels: { source: 'events' },
        summary: 'The high-water mark of events has been stale for a minute: every projection waits',
        section: 'mark-stale',
      }),
    }
  },
}
