import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

// A consumer that Tidemark does not run: the loop that people write. It reads what is above its last position, in order.

const client = new pg.Client({ connectionString: process.env.DATABASE_URL, application_name: 'invoices' })
// Its supervisor stops it. A Ctrl-C of the terminal is for the supervisor.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => process.exit())
process.on('disconnect', () => process.exit())

client.on('error', () => process.exit(1))
await client.connect()
await client.query(
  `insert into consumers select 'invoices', coalesce(max(position), 0) from events on conflict do nothing`,
)
for (;;) {
  await client.query('begin')
  const { rows } = await client.query(`
    select position, type, order_id, amount_cents from events
    where position > (select position from consumers where name = 'invoices') order by position limit 100`)
  for (const { type, order_id, amount_cents } of rows) {
    if (type === 'OrderPlaced') {
      await client.query('insert into invoices values ($1, $2)', [order_id, amount_cents])
    }
  }
  const last = rows.at(-1)?.position
  if (last !== undefined) {
    await client.query(`update consumers set position = $1 where name = 'invoices'`, [last])
  }
  await client.query('commit')
  await sleep(50)
}
