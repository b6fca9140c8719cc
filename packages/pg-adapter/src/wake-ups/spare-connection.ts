import type { PgClient, PgPool } from '../client.ts'
import { WakeUpsUnavailableError } from '../errors.ts'

/** What is left to polls, pages and handlers: a handler holds one while a poll takes another. */
const LEFT_FOR_OTHERS = 2
export const LEAST_SIZE: number = LEFT_FOR_OTHERS + 1

const held = new WeakMap<object, number>()

/** How many connections the pool makes at most, where it says so. */
export function greatestSize(pool: object): number | undefined {
  const max = (pool as { readonly options?: { readonly max?: unknown } }).options?.max
  return typeof max === 'number' ? max : undefined
}

/**
 * Runs what keeps one connection of the pool to itself. Sources that share a pool would else take all of it: each is told when
 * there is no connection to spare.
 */
export async function withSpareConnection<T>(pool: PgPool<PgClient>, use: () => Promise<T>): Promise<T> {
  if (!hasSpareConnection(pool)) {
    throw new WakeUpsUnavailableError(
      `the pool has at most ${greatestSize(pool)} connections, of which ${held.get(pool) ?? 0} are kept by wake-ups or leases, and ` +
        `${LEFT_FOR_OTHERS} are left to polls, pages and handlers: raise the pool's max, or set wakeUps: 'none'`,
    )
  }
  return await keepingConnection(pool, use)
}

/** Also where the pool does not say how many it makes. */
export function hasSpareConnection(pool: PgPool<PgClient>): boolean {
  const max = greatestSize(pool)
  return max === undefined || max - (held.get(pool) ?? 0) > LEFT_FOR_OTHERS
}

/** One connection of the pool is kept while it runs. */
export async function keepingConnection<T>(pool: PgPool<PgClient>, use: () => Promise<T>): Promise<T> {
  held.set(pool, (held.get(pool) ?? 0) + 1)
  try {
    return await use()
  } finally {
    held.set(pool, (held.get(pool) ?? 1) - 1)
  }
}
