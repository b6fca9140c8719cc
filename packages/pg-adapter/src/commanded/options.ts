import { requireKnownOptions } from '@tidemark/core/adapter'
import type { BoundedPool, PgPool } from '../client.ts'
import { quoteIdentifier, quoteName } from '../identifiers.ts'
import { requirePool, requireText, resolveQueryTimeout } from '../pool-options.ts'
import { boundedPool } from '../query-timeout.ts'

export interface CommandedEventsOptions {
  /** A `pg.Pool`, or anything with its `connect`. Polls take one of its connections at a time, and so does each page. */
  readonly pool: PgPool
  /**
   * The schema of the event store, as its configuration in Elixir has it.
   * - Change it when: the option `schema` of the event store is set.
   * @default 'public'
   */
  readonly schema?: string
  /**
   * Names this store in checkpoints and metrics.
   * - Change it when: the schema is renamed (give the old name, or every checkpoint is refused), or two have the same name.
   * @default the schema, and `.$all`
   */
  readonly name?: string
  /**
   * The longest that a statement of a poll or a page may take, and the wait for a connection of the pool.
   * - Raising it: a connection that has gone silent is noticed later.
   * - Lowering it: on a busy server polls and pages fail, and are tried again.
   * - Change it when: they fail with a `QueryTimeoutError`, or silent connections must be noticed sooner.
   * @default 30000
   */
  readonly queryTimeoutMs?: number
}

export interface ResolvedCommandedEventsOptions {
  readonly pool: BoundedPool
  readonly name: string
  /** Quoted, for SQL. */
  readonly sql: {
    readonly events: string
    readonly streams: string
    /** Which event has which position. */
    readonly table: string
    readonly position: string
  }
}

const COMMANDED_EVENTS_OPTIONS: Readonly<Record<keyof CommandedEventsOptions, true>> = {
  pool: true,
  schema: true,
  name: true,
  queryTimeoutMs: true,
}

/** With every default. Throws `InvalidOptionError`. */
export function resolveCommandedEventsOptions(
  options: CommandedEventsOptions,
): ResolvedCommandedEventsOptions {
  requireKnownOptions(options, COMMANDED_EVENTS_OPTIONS)
  const schema = requireText('schema', options.schema ?? 'public')
  const name = requireText('name', options.name ?? `${schema}.$all`)
  requirePool(options.pool)
  const quoted = (table: string): string => quoteName({ schema, name: table })
  return Object.freeze({
    pool: boundedPool(options.pool, resolveQueryTimeout(options.queryTimeoutMs)),
    name,
    sql: {
      events: quoted('events'),
      streams: quoted('streams'),
      table: quoted('stream_events'),
      position: quoteIdentifier('stream_version'),
    },
  })
}
