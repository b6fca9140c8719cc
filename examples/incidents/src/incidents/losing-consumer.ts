import pg from 'pg'
import { firing } from '../alert.ts'
import { hasEachInvoiceOnce } from '../checks.ts'
import type { Incident, Scene } from '../incident.ts'
import { pause, until } from '../pause.ts'
import { append } from '../tables.ts'

const LOST = 3
/** The watch looks twice a second: once while the consumer has passed the number and the event is not there. */
const HELD_MS = 1_500

/** A loop that reads what is above its last position has lost orders of a slow import. */
export const losingConsumer: Incident = {
  prepare: async (scene) => {
    const { pool, ending, startInvoices } = scene
    startInvoices()
    await until('the loop runs', async () => (await numberOf(pool, LOOP)) > 0, ending)
    const from = await numberOf(pool, LOOP)
    for (let order = 905; (await numberOf(pool, TOLD)) < LOST; order++) await importSlowly(scene, order)
    return {
      told: [
        ...firing({
          name: 'TidemarkConsumerLosesEvents',
          severity: 'critical',
          labels: { consumer: 'consumers.invoices', verdict: 'lost' },
          summary: `Consumer consumers.invoices, which Tidemark does not run, has lost about ${LOST} events that became visible below its checkpoint`,
          section: 'consumer-loses-events',
        }),
        `The import that caused it has ended. Every order above position ${from}, where the loop began, needs its invoice, once. For an event`,
        'the loop does no more than this:',
        'insert into invoices (order_id, amount_cents) select order_id, amount_cents from events where position = ...',
      ],
      checks: [hasEachInvoiceOnce(BigInt(from))],
    }
  },
}

const LOOP = `select max(position)::int as number from consumers where name = 'invoices'`
const TOLD = 'select count(*)::int as number from tidemark.lost_events where told_at is not null'

async function numberOf(pool: pg.Pool, sql: string): Promise<number> {
  const { rows } = await pool.query<{ number: number | null }>(sql)
  return rows[0]?.number ?? 0
}

/** An order whose transaction is still open when the loop has passed its number. */
async function importSlowly({ url, pool, ending }: Scene, orderId: number): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: 'import-of-orders' })
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query('begin')
    const position = await append(client, {
      type: 'OrderPlaced',
      orderId,
      customer: 'pia',
      amountCents: orderId * 10,
    })
    await until('the loop has passed', async () => (await numberOf(pool, LOOP)) > Number(position), ending)
    await pause(HELD_MS, ending)
    await client.query('commit')
    await pause(HELD_MS, ending)
  } finally {
    await client.end()
  }
}
