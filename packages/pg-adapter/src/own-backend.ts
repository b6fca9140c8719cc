import type { BoundedClient } from './client.ts'
import { transact } from './transaction.ts'

/** Whether the connection is known to lead to one backend for as long as it lives. A pooler tells a number of its own for the pid. */
export async function isOwnBackend(client: BoundedClient): Promise<boolean> {
  const [found] = await transact(client, 'select pg_backend_pid()::text as pid')
  return String(client.driver.processID) === String(found?.rows[0]?.pid)
}
