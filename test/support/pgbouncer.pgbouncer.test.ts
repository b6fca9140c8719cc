import { hasPgBouncer, startPgBouncer } from '@tidemark-internal/embedded-postgres/pgbouncer'
import { Client } from 'pg'
import { expect, test } from 'vitest'
import { ownServer } from './database.ts'

test.skipIf(!hasPgBouncer)('passes transactions on to the server behind it', async () => {
  const server = await ownServer()
  const pooler = await startPgBouncer(server)
  const client = new Client(pooler.connectionString())
  await client.connect()
  const { rows } = await client.query('select inet_server_port() as port')
  expect(rows).toEqual([{ port: server.port }])
  await client.end()
  await pooler.stop()
  await server.dispose()
})
