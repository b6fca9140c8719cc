import { type BoundedPool, type PgClient, withConnection } from '../client.ts'
import type { Finding } from './finding.ts'

/**
 * Whether a pooler stands between. A driver is told the process id of its server when it connects. A pooler tells a number of
 * its own, and then passes statements on to a process that has another one.
 */
export async function poolerFinding(
  { pool, queryTimeoutMs }: BoundedPool,
  signal: AbortSignal,
): Promise<Finding> {
  // The driver's own client: a bounded one does not show what it was told.
  const own = { pool, queryTimeoutMs, connect: () => pool.connect() }
  return await withConnection(own, signal, async (client) => {
    const { rows } = await client.query('select pg_backend_pid()::text as pid')
    const { processID: told }: PgClient & { readonly processID?: unknown } = client
    if (typeof told !== 'number' || told === 0) {
      throw new TypeError('this driver does not tell the process id that it was given')
    }
    return String(told) === rows[0]?.pid ? NONE : BETWEEN
  })
}

const NONE: Finding = { code: 'pooler', severity: 'ok', about: 'server', found: 'no pooler between' }
const BETWEEN: Finding = {
  code: 'pooler',
  severity: 'note',
  about: 'server',
  found: 'a pooler stands between, as PgBouncer',
  expected: 'none, or one in transaction mode',
  toDo: 'Tidemark works through it in transaction mode. Readers that LISTEN or take session locks do not.',
}
