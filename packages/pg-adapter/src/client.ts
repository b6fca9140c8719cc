import { type PollWait, TidemarkError, traced } from '@tidemark/core/adapter'
import { ConnectionLostError, NoConnectionError } from './errors.ts'
import { sqlState } from './sql-state.ts'

/**
 * The part of node-postgres that is used, as structural types, so that any pool with its shape will do and no driver is
 * imported at run time.
 */
export interface PgPool<C extends PgClient = PgClient> {
  connect(): Promise<C>
  on?(event: 'error', listener: (error: Error) => void): unknown
  // NoInfer: `on` of @types/pg is generic, and C would be found there instead of at `connect`.
  on?(event: 'connect', listener: (client: NoInfer<C>) => void): unknown
}

/** A pool whose `connect` takes a callback too, as `@types/pg` and Neon's types say: the type of its clients is found here. */
export interface PgCallbackPool<C extends PgClient> extends PgPool<C> {
  connect(): Promise<C>
  connect(callback: (...args: never) => unknown): unknown
}

export interface PgClient {
  query(text: string, values?: unknown[]): Promise<PgResult>
  /** With `true` the connection is destroyed, not returned to the pool. */
  release(destroy?: boolean): void
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
  /** The pid of its backend, as the server or a pooler has told it when it connected. */
  readonly processID?: unknown
}

export interface PgResult {
  /** The command tag's first word; `ROLLBACK` for a COMMIT of a failed transaction. */
  readonly command: string
  readonly rows: Record<string, unknown>[]
  readonly rowCount: number | null
}

/** A connection whose statements are given up in time, at both ends. */
export interface BoundedClient extends PgClient {
  readonly queryTimeoutMs: number
  /** The pool's own: the same object each time that the connection is handed out. */
  readonly driver: PgClient
}

/** A pool of which nothing is waited for longer than that: no connection, and, where its clients are bounded, no answer. */
export interface BoundedPool<C extends PgClient = BoundedClient> {
  connect(): Promise<C>
  /** The user's own, to say how much of it is in use. */
  readonly pool: PgPool<PgClient>
  readonly queryTimeoutMs: number
}

export interface Connection {
  /** What its `error` event said while it was used: the server's last words, before it is merely "not queryable". */
  readonly lostReason: Error | undefined
  /** Set to `true`, the connection is destroyed after its use, though nothing failed. */
  isSpent: boolean
}

const listened = new WeakSet<object>()

/**
 * A pool reports an idle connection that died by an `error` event, which ends the process where nobody listens. The
 * pool drops such a connection by itself, and the next statement tells of a server that is gone. A new connection reports
 * by an event of its own, and whoever asked for it can listen only a microtask later: too late where the server takes its
 * leave in the packet that completes the connection, as when it restarts.
 */
export function survivePoolErrors(pool: PgPool<PgClient>): void {
  if (listened.has(pool)) return
  listened.add(pool)
  pool.on?.('error', () => {})
  pool.on?.('connect', (client) => client.on('error', () => {}))
}

/** The same pool, that tells of each connection that it is asked for, and that it has given it. */
export function toldPool(pool: BoundedPool, waiting: ((what: PollWait) => void) | undefined): BoundedPool {
  return {
    ...pool,
    connect: async () => {
      waiting?.('connection')
      const client = await pool.connect()
      waiting?.('answer')
      return client
    },
  }
}

/**
 * Runs `use` on one connection. After an error, or once `signal` fires, the connection is destroyed: what its backend
 * was in the middle of is not known.
 */
export async function withConnection<C extends PgClient, T>(
  pool: BoundedPool<C>,
  signal: AbortSignal,
  use: (client: C, connection: Connection) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted()
  const client = await connectUntil(pool, signal)
  let released = false
  const release = (destroy: boolean): void => {
    if (released) return
    released = true
    // A destroyed connection may still report its end.
    if (!destroy) client.removeListener('error', onError)
    // What waits for a connection may be a statement of the application's, which the pool then sends from in here.
    traced(() => client.release(destroy))
  }
  // A connection lost between two statements is reported by an event, and by the next statement.
  const connection: { lostReason: Error | undefined; isSpent: boolean } = {
    lostReason: undefined,
    isSpent: false,
  }
  const onError = (error: Error): void => {
    connection.lostReason ??= error
  }
  client.on('error', onError)
  let abort = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    abort = () => {
      release(true)
      reject(signal.reason)
    }
  })
  aborted.catch(() => {})
  signal.addEventListener('abort', abort)
  try {
    // It may have fired since the pool gave the connection, before anybody listened.
    signal.throwIfAborted()
    const result = await Promise.race([use(client, connection), aborted])
    release(connection.isSpent)
    return result
  } catch (error) {
    release(true)
    const saysNoMore = !(error instanceof TidemarkError) && sqlState(error) === undefined
    if (connection.lostReason === undefined || signal.aborted || !saysNoMore) throw error
    throw new ConnectionLostError(connection.lostReason, { cause: error })
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** A pool itself waits for ever, unless it is told `connectionTimeoutMillis`. */
async function connectUntil<C extends PgClient>(pool: BoundedPool<C>, signal: AbortSignal): Promise<C> {
  const connecting = pool.connect()
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<never>((_, reject) => {
    const giveUp = (): void => reject(new NoConnectionError(pool.queryTimeoutMs, pool.pool))
    timer = setTimeout(giveUp, pool.queryTimeoutMs)
  })
  let stop = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
  })
  signal.addEventListener('abort', stop)
  try {
    return await Promise.race([connecting, aborted, tooLate])
  } catch (error) {
    connecting.then(
      (client) => traced(() => client.release()),
      () => {},
    )
    throw error
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}

interface Socket {
  readonly bytesRead: number
  on(event: 'data', listener: () => void): unknown
  removeListener(event: 'data', listener: () => void): unknown
}

/** node-postgres has its socket there, also one of TLS; others that have its shape may not. */
export function socketOf(client: PgClient): Socket | undefined {
  const { connection } = client as { readonly connection?: { readonly stream?: Partial<Socket> } }
  const socket = connection?.stream
  const isOne = typeof socket?.bytesRead === 'number' && typeof socket.on === 'function'
  return isOne && typeof socket.removeListener === 'function' ? (socket as Socket) : undefined
}
