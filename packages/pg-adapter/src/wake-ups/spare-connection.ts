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
  const before = held.get(pool) ?? 0
  const max = greatestSize(pool)
  if (max !== undefined && max - before <= LEFT_FOR_OTHERS) {
    throw new WakeUpsUnavailableError(
      `the pool has at most ${max} connections, of which ${before} are kept by wake-ups, and ${LEFT_FOR_OTHERS} are left to polls, ` +
        "pages and handlers: raise the pool's max, or set wakeUps: 'none'",
    )
  }
  held.set(pool, before + 1)
  try {
    return await use()
  } finally {
    held.set(pool, (held.get(pool) ?? 1) - 1)
  }
}
