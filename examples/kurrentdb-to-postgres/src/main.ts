import { once } from 'node:events'
import { KurrentDBClient, streamNameFilter } from '@kurrent/kurrentdb-client'
import { createDaemon } from '@tidemark/core'
import { esdbEvents } from '@tidemark/esdb-adapter'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import pg from 'pg'

type Deposited = { account: string; amount: number }

const { ESDB_CONNECTION_STRING, DATABASE_URL } = process.env
if (!ESDB_CONNECTION_STRING || !DATABASE_URL) {
  if (!ESDB_CONNECTION_STRING) {
    console.error('ESDB_CONNECTION_STRING is not set: expected, say, kurrentdb://localhost:2113?tls=false')
  }
  if (!DATABASE_URL) {
    console.error('DATABASE_URL is not set: expected, say, postgres://postgres@localhost:5432/postgres')
  }
  process.exit(2)
}
const client = KurrentDBClient.connectionString(ESDB_CONNECTION_STRING)
const pool = new pg.Pool({ connectionString: DATABASE_URL })
await pool.query('create table if not exists balances (account text primary key, amount numeric not null)')

const upsert = `insert into balances values ($1, $2)
  on conflict (account) do update set amount = balances.amount + excluded.amount`
const daemon = createDaemon({
  source: esdbEvents({ client, filter: streamNameFilter({ prefixes: ['account-'] }) }),
  checkpoints: postgresCheckpoints({ pool }),
  projections: [
    {
      name: 'balances',
      eventTypes: ['Deposited'],
      // What is written through `tx` and the checkpoint are one transaction: exactly once.
      handle: async (events, { tx }) => {
        for (const { event } of events) {
          // Missing of a link whose target is gone; links are handed out as they are here.
          if (!event) continue
          const { account, amount } = event.data as Deposited
          await tx.query(upsert, [account, amount])
        }
      },
    },
  ],
  logger: console,
})

await daemon.start()
console.log('projecting; Ctrl-C stops it')
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
await daemon.stop()
await pool.end()
await client.dispose()
