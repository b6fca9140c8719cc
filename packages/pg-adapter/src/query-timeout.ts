import type { PgClient, PgPool, PgResult } from './client.ts'
import { QueryTimeoutError } from './errors.ts'

/**
 * 30 s: far beyond what a poll or a page takes, also a page that looks through millions of rows for a rare type, and
 * still short beside the hours for which TCP waits by itself.
 */
export const DEFAULT_QUERY_TIMEOUT_MS = 30_000

/**
 * The same pool; a statement that is not answered within that time rejects. A connection may go silent without being
 * cut (a firewall or a failed host drops it), and then neither an answer nor an error ever comes.
 */
export function boundedPool(pool: PgPool, timeoutMs: number): PgPool {
  return { connect: async () => boundedClient(await pool.connect(), timeoutMs) }
}

export function boundedClient(client: PgClient, timeoutMs: number): PgClient {
  return {
    query: (text, values) => answeredWithin(client.query(text, values), timeoutMs),
    release: (destroy) => client.release(destroy),
    on: (event, listener) => client.on(event, listener),
    removeListener: (event, listener) => client.removeListener(event, listener),
  }
}

async function answeredWithin(answer: Promise<PgResult>, timeoutMs: number): Promise<PgResult> {
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new QueryTimeoutError(timeoutMs)), timeoutMs)
  })
  try {
    return await Promise.race([answer, tooLate])
  } finally {
    clearTimeout(timer)
  }
}
