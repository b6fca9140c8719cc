import type { WakeUp } from '@tidemark/core/adapter'
import type { BoundedPool } from '../client.ts'
import { WakeUpsUnavailableError } from '../errors.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { boundedPool } from '../query-timeout.ts'
import { INSUFFICIENT_PRIVILEGE, sqlState } from '../sql-state.ts'
import { listenOn } from './listen.ts'
import { newestOf } from './newest.ts'
import { withSpareConnection } from './spare-connection.ts'
import { waitForNumbers } from './wait.ts'

/** Far above what a look takes, its wait for a lock and for its last second included, and short beside `queryTimeoutMs`. */
const ANSWER_WITHIN_MS = 3_000

/** See `EventSource.wakeUps`; `sequence` is the one that polls read. */
export function wakeUps(
  options: Pick<ResolvedPostgresEventsOptions<unknown>, 'name' | 'pool' | 'staleThreshold' | 'wakeUps'>,
  sequence: () => string | undefined,
  signal: AbortSignal,
): AsyncIterable<WakeUp<bigint> | undefined> {
  const { wakeUps: how, staleThreshold } = options
  const pool: BoundedPool = boundedPool(options.pool.pool, ANSWER_WITHIN_MS)
  return newestOf(
    (tell, ended) =>
      withSpareConnection(pool.pool, async () => {
        if (typeof how === 'object') return await listenOn(pool, how.listen, () => tell(undefined), ended)
        // Without a proof nobody knows which transaction has the number: whether it is visible yet has to be looked at.
        const tellsAll = staleThreshold === undefined
        await waitForNumbers(pool, namedBy(sequence), (handedOut) => tell({ handedOut, tellsAll }), ended)
      }).catch((error: unknown) => {
        throw sqlState(error) === INSUFFICIENT_PRIVILEGE ? withoutRight(error) : error
      }),
    signal,
  )
}

function withoutRight(cause: unknown): WakeUpsUnavailableError {
  return new WakeUpsUnavailableError(
    `${cause instanceof Error ? cause.message : String(cause)}: grant the right, or set wakeUps: 'none'`,
    { cause },
  )
}

function namedBy(sequence: () => string | undefined): () => string {
  return () => {
    const name = sequence()
    if (name !== undefined) return name
    throw new WakeUpsUnavailableError(
      "it is not known which sequence fills the position: name it in the option sequence, or set wakeUps: 'none'",
    )
  }
}
