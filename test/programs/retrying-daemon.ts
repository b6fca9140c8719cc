import { createDaemon } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { Pool, type PoolClient } from 'pg'

// Writes down each event that it is given. Ends with the process.
const { DATABASE_URL, SCHEMA } = process.env
const pool = new Pool({ connectionString: DATABASE_URL })
const daemon = createDaemon({
  source: postgresEvents({ pool, table: `${SCHEMA}.events`, eventType: 'type' }),
  checkpoints: postgresCheckpoints<PoolClient>({ pool, schema: SCHEMA ?? '' }),
  pollIntervalMs: 50,
  projections: [
    {
      name: 'orders',
      handle: async (batch, { tx }) => {
        await tx.query(`insert into ${SCHEMA}.handled (position) select unnest($1::bigint[])`, [
          batch.map(({ position }) => String(position)),
        ])
      },
    },
  ],
})
await daemon.start()
console.log('started')
