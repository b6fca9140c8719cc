import type { Page } from '@tidemark/core/adapter'
import { type BoundedClient, type BoundedPool, type PgClient, socketOf } from './client.ts'

/** What part of a page that brought too much is asked for next. */
const SMALLER = 32

/**
 * Loads a page that brings no more than `mostBytes`, where that is given. One that does is given up while it comes, and asked for
 * again with fewer events: what follows small events may be large ones. One event passes, however large. What was given up counts
 * as brought, so that the next pages are small.
 */
export async function loadWithin<P extends Pick<Page<unknown, unknown>, 'bytes'>>(
  pool: BoundedPool,
  { limit, mostBytes }: { readonly limit: number; readonly mostBytes?: number | undefined },
  load: (pool: BoundedPool, limit: number) => Promise<P>,
): Promise<P> {
  if (mostBytes === undefined) return await load(pool, limit)
  let events = limit
  let givenUp = 0
  for (;;) {
    try {
      const page = await load(events > 1 ? poolWithin(pool, mostBytes) : pool, events)
      return givenUp === 0 ? page : { ...page, bytes: givenUp + (page.bytes ?? 0) }
    } catch (error) {
      if (!(error instanceof PageTooLargeError)) throw error
      givenUp += mostBytes
      events = Math.max(1, Math.floor(events / SMALLER))
    }
  }
}

/** A page was given up, since it brought more than it may. */
class PageTooLargeError extends Error {
  constructor(mostBytes: number) {
    super(`a page brought more than ${mostBytes} bytes`)
  }
}

/** The same pool. An answer that brings more than that is an error, after which its connection has to be destroyed. */
function poolWithin(pool: BoundedPool, mostBytes: number): BoundedPool {
  return {
    ...pool,
    connect: async () => {
      const client = await pool.connect()
      return { ...client, query: (text, values) => queryWithin(mostBytes, client, text, values) }
    },
  }
}

async function queryWithin(
  mostBytes: number,
  client: BoundedClient,
  ...query: Parameters<PgClient['query']>
): ReturnType<PgClient['query']> {
  const socket = socketOf(client.driver)
  if (socket === undefined) return await client.query(...query)
  const before = socket.bytesRead
  let onData = (): void => {}
  const tooLarge = new Promise<never>((_, reject) => {
    onData = () => {
      if (socket.bytesRead - before > mostBytes) reject(new PageTooLargeError(mostBytes))
    }
  })
  socket.on('data', onData)
  try {
    return await Promise.race([client.query(...query), tooLarge])
  } finally {
    socket.removeListener('data', onData)
  }
}
