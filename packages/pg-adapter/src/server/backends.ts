import { IncarnationChangedError } from '@tidemark/core/adapter'
import type { PgClient } from '../client.ts'
import { NotPrimaryError } from '../errors.ts'
import { hasSaid } from '../sql-state.ts'
import { BACKEND_KEY_SQL, isSameServerRun, SERVER_IDENTITY_SQL, type ServerIdentity } from './incarnation.ts'

/** Whether a table has partitions, and whether plans of what reads them may be kept. */
export type Partitions = 'none' | 'plans kept' | 'plans made anew'

/**
 * The backends known to belong to an incarnation. A backend compared once need not be compared again: it keeps its pid
 * and start time as long as it lives, and a crash kills every one.
 */
export class KnownBackends {
  /** What the newest poll found: what reads partitions looks whether they have changed meanwhile. */
  partitions: Partitions = 'none'
  #incarnation: string | undefined
  #keys = new Set<string>()

  /** Those of `incarnation`; none when another one is asked for. */
  of(incarnation: string | undefined): string[] {
    return incarnation !== undefined && incarnation === this.#incarnation ? [...this.#keys] : []
  }

  add(incarnation: string, key: string): void {
    if (incarnation !== this.#incarnation || this.#keys.size >= MOST_KEYS) {
      this.#incarnation = incarnation
      this.#keys = new Set()
    }
    this.#keys.add(key)
  }
}

/** Poolers make new backends all the time; the list travels with every page request. */
const MOST_KEYS = 200

/** Whether the key of the backend that runs this is one of those. */
export function isKnownSql(keys: string): string {
  return `coalesce(${BACKEND_KEY_SQL} = any (${keys}), false)`
}

/**
 * TRUE, or fails (as a cast) on an unknown backend. The planner cannot fold it, since it depends on the backend's pid.
 *
 * @param keys - a `text[]` in SQL
 */
export function requireKnownSql(keys: string): string {
  return `(case when ${isKnownSql(keys)} then true else ('${UNKNOWN_BACKEND}' || pg_backend_pid())::boolean end)`
}

const UNKNOWN_BACKEND = 'tidemark: unknown backend '
export const INVALID_TEXT_REPRESENTATION = '22P02'

/**
 * Runs `read`, a transaction that fails on an unknown backend, with the keys of the known ones. If it fails, compares
 * that backend and runs `read` again.
 */
export async function onKnownBackend<T>(
  client: PgClient,
  backends: KnownBackends,
  incarnation: string,
  read: (keys: readonly string[]) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await read(backends.of(incarnation))
    } catch (error) {
      // A pooler in transaction mode may take another backend for each transaction.
      const isUnknown = hasSaid(error, INVALID_TEXT_REPRESENTATION, UNKNOWN_BACKEND)
      if (!isUnknown || tries >= MOST_TRIES) throw error
      await client.query('rollback')
      await compareBackend(client, backends, incarnation)
    }
  }
}

const MOST_TRIES = 20

/** Throws unless the backend behind `client` belongs to `incarnation`, and then remembers it. */
export async function compareBackend(
  client: PgClient,
  backends: KnownBackends,
  incarnation: string,
): Promise<void> {
  const { rows } = await client.query(
    `select ${BACKEND_KEY_SQL} as key, pg_is_in_recovery()::text as "inRecovery",
      case when pg_is_in_recovery() then null else ${SERVER_IDENTITY_SQL}::text end as identity`,
  )
  const row = rows[0] ?? {}
  if (typeof row.identity !== 'string') {
    throw new NotPrimaryError(
      'this connection leads to a server in recovery: polls and loads need the primary',
    )
  }
  const identity = JSON.parse(row.identity) as ServerIdentity
  if (!isSameServerRun(incarnation, identity)) {
    throw new IncarnationChangedError(incarnation, Object.values(identity).join('/'))
  }
  backends.add(incarnation, String(row.key))
}
