import type { BoundedClient, BoundedPool, PgClient, PgPool, PgResult } from './client.ts'
import { QueryTimeoutError } from './errors.ts'
import { canceledIn } from './sql-state.ts'

/**
 * 30 s: far beyond what a poll or a page takes, also a page that looks through millions of rows for a rare type, and
 * still short beside the hours for which TCP waits by itself.
 */
export const DEFAULT_QUERY_TIMEOUT_MS = 30_000

/** How much longer than the server's own limit its answer is waited for: a server that can still speak says what it was. */
const ANSWER_GRACE_MS = 1_000

/**
 * The same pool; a statement that is not answered in time rejects. A connection may go silent without being cut (a
 * firewall or a failed host drops it), and then neither an answer nor an error ever comes. `transaction.ts` gives the
 * server the same limit: a statement that only its client has given up goes on, and the next try beside it.
 */
export function boundedPool(pool: PgPool, queryTimeoutMs: number): BoundedPool {
  return { connect: async () => boundedClient(await pool.connect(), queryTimeoutMs), pool, queryTimeoutMs }
}

export function boundedClient(client: PgClient, queryTimeoutMs: number): BoundedClient {
  return {
    queryTimeoutMs,
    driver: client,
    query: (text, values) => answeredWithin(client.query(text, values), queryTimeoutMs),
    release: (destroy) => client.release(destroy),
    on: (event, listener) => client.on(event, listener),
    removeListener: (event, listener) => client.removeListener(event, listener),
  }
}

async function answeredWithin(answer: Promise<PgResult>, queryTimeoutMs: number): Promise<PgResult> {
  const askedAtMs = performance.now()
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new QueryTimeoutError(queryTimeoutMs)), queryTimeoutMs + ANSWER_GRACE_MS)
  })
  try {
    return await Promise.race([answer, tooLate])
  } catch (error) {
    if (canceledIn(error) === undefined) throw error
    throw new QueryTimeoutError(queryTimeoutMs, { cause: error }, performance.now() - askedAtMs)
  } finally {
    clearTimeout(timer)
  }
}
