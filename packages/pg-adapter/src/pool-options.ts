import { InvalidOptionError } from '@tidemark/core/adapter'
import { type PgPool, survivePoolErrors } from './client.ts'
import { DEFAULT_QUERY_TIMEOUT_MS } from './query-timeout.ts'

export function requirePool(pool: unknown): asserts pool is PgPool {
  if (
    typeof pool !== 'object' ||
    pool === null ||
    !('connect' in pool) ||
    typeof pool.connect !== 'function'
  ) {
    throw new InvalidOptionError('pool', 'a pg.Pool, or anything with its connect()', pool)
  }
  if (isSingleConnection(pool)) {
    throw new InvalidOptionError(
      'pool',
      'a pg.Pool, whose connect() gives one connection after another (new pg.Pool({ connectionString, max: 5 }))',
      'a pg.Client, which is a single connection',
    )
  }
  survivePoolErrors(pool as PgPool)
}

/** A client has a connect() too, which gives no connection. What it was made with is a property of clients alone. */
function isSingleConnection(pool: object): boolean {
  return 'connectionParameters' in pool
}

export function resolveQueryTimeout(queryTimeoutMs: unknown = DEFAULT_QUERY_TIMEOUT_MS): number {
  if (typeof queryTimeoutMs !== 'number' || !Number.isFinite(queryTimeoutMs) || queryTimeoutMs <= 0) {
    throw new InvalidOptionError('queryTimeoutMs', 'a number of milliseconds above 0', queryTimeoutMs)
  }
  return queryTimeoutMs
}

export function requireText(option: string, value: unknown): string {
  // Postgres cannot store a NUL character, in a value or a name.
  if (typeof value !== 'string' || value === '' || value.includes('\0'))
    throw new InvalidOptionError(option, 'a non-empty string without NUL', value)
  return value
}
