import { setTimeout as sleep } from 'node:timers/promises'
import { type BoundedClient, type BoundedPool, withConnection } from '../client.ts'
import { WakeUpsUnavailableError } from '../errors.ts'
import { canceledIn, sqlState } from '../sql-state.ts'
import { pauseMs, toldBy, waitSql } from './wait-sql.ts'

/** Somebody ended a wait (`pg_cancel_backend`, a limit that was set meanwhile): no failure, and no reason to hurry. */
const AFTER_CANCEL_MS = 1_000

/** Tells of each number that the sequence hands out, in time, until `signal` fires. Rejects where it can not. */
export async function waitForNumbers(
  pool: BoundedPool,
  sequence: () => string,
  tell: (handedOut: bigint) => void,
  signal: AbortSignal,
): Promise<void> {
  const wait = async (client: BoundedClient): Promise<void> => {
    const told = new Told(client, tell)
    const run = async (): Promise<void> =>
      await runOnce(client, waitSql(sequence(), told.pauseMs), told, signal)
    try {
      await requireRoom(pool, run, signal)
      while (!signal.aborted) await run()
    } finally {
      told.leave()
    }
  }
  try {
    await withConnection(pool, signal, wait)
  } catch (error) {
    // A pool hands out what it was given back, also a connection on which somebody has left a transaction open. It is destroyed.
    if (!isInTransaction(error)) throw error
    await withConnection(pool, signal, wait).catch((again: unknown) => {
      throw isInTransaction(again) ? new WakeUpsUnavailableError(NOT_ALONE, { cause: again }) : again
    })
  }
}

function isInTransaction(error: unknown): boolean {
  return sqlState(error) === INVALID_TRANSACTION_TERMINATION
}

const INVALID_TRANSACTION_TERMINATION = '2D000'

const NOT_ALONE =
  'a wait commits, and has to be a statement of its own: the pool, or a pooler behind it, runs it in a transaction; connect the ' +
  "pool to the server itself, or set wakeUps: 'none'"

/**
 * A pooler with few connections to the server may have none left beside the wait: polls would then come when a wait has ended. So
 * the first waits are run beside a statement that has to be answered while they last.
 */
async function requireRoom(pool: BoundedPool, run: () => Promise<void>, signal: AbortSignal): Promise<void> {
  for (let tries = 1; tries <= TRIES_FOR_ROOM; tries++) {
    let isOver = false
    const running = run().finally(() => {
      isOver = true
    })
    const asked = withConnection(pool, signal, async (client) => {
      await client.query('select 1')
      return !isOver
    })
    const [hadRoom] = await Promise.all([asked, running])
    if (hadRoom) return
  }
  throw new WakeUpsUnavailableError(
    'while it waits, no other statement gets through: a pooler has no connection to the server left beside it; give it a ' +
      "larger pool (default_pool_size), or set wakeUps: 'none'",
  )
}

/** A busy machine may answer one of them late. */
const TRIES_FOR_ROOM = 3

async function runOnce(client: BoundedClient, sql: string, told: Told, signal: AbortSignal): Promise<void> {
  told.isTold = false
  if (await isCancelled(client, sql)) await sleep(AFTER_CANCEL_MS, undefined, { signal })
  else if (!told.isTold) throw new WakeUpsUnavailableError(NO_NOTICES)
}

const NO_NOTICES =
  "the server's notices do not arrive: the client of the pool has no event 'notice', or a pooler keeps them; set wakeUps: " +
  "'none', or { listen: 'channel' }"

async function isCancelled(client: BoundedClient, sql: string): Promise<boolean> {
  try {
    await client.query(sql)
    return false
  } catch (error) {
    if (canceledIn(error) !== undefined) return true
    throw error
  }
}

/** What a connection has told. */
class Told {
  /** Whether the statement at hand has told anything. */
  isTold = false
  readonly #client: Noticing
  readonly #tell: (handedOut: bigint) => void
  #newest: bigint | undefined
  #newestAtMs = performance.now()

  constructor(client: BoundedClient, tell: (handedOut: bigint) => void) {
    this.#client = client as unknown as Noticing
    this.#tell = tell
    this.#client.on('notice', this.#onNotice)
  }

  get pauseMs(): number {
    return pauseMs(performance.now() - this.#newestAtMs)
  }

  leave(): void {
    this.#client.removeListener('notice', this.#onNotice)
  }

  #onNotice = ({ message }: Notice): void => {
    const number = toldBy(message)
    if (number === undefined) return
    this.isTold = true
    if (number === this.#newest) return
    this.#newest = number
    this.#newestAtMs = performance.now()
    this.#tell(number)
  }
}

interface Notice {
  readonly message?: string | undefined
}

/** What node-postgres offers besides. Of pools that are another's, nobody knows. */
interface Noticing {
  on(event: 'notice', listener: (notice: Notice) => void): unknown
  removeListener(event: 'notice', listener: (notice: Notice) => void): unknown
}
