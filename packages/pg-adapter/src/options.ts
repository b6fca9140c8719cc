import { InvalidOptionError, requireKnownOptions } from '@tidemark/core/adapter'
import { type BoundedPool, type PgPool, survivePoolErrors } from './client.ts'
import { parseQualifiedName, type QualifiedName, quoteIdentifier, quoteName } from './identifiers.ts'
import { boundedPool, DEFAULT_QUERY_TIMEOUT_MS } from './query-timeout.ts'

/** A row as node-postgres returns it, its position column as `bigint`. */
export type PostgresRow = Readonly<Record<string, unknown>>

export interface PostgresEventsOptions<E = PostgresRow, K extends PropertyKey = PropertyKey> {
  /**
   * A `pg.Pool`, or anything with its `connect`. Polls take one of its connections at a time, and so does each page. A pool of
   * its own keeps the application's requests from waiting behind a daemon that catches up.
   */
  readonly pool: PgPool
  /**
   * `events`, `sales.events` or `"Quoted"."Names"`; taken as it stands, case included. Without a schema it is the table
   * that the search path finds at the first poll, and stays that one.
   */
  readonly table: string
  /**
   * The column filled by the sequence.
   * - Change it when: it has another name. It has to order all events of the table.
   * @default 'position'
   */
  readonly position?: string
  /**
   * The columns to read besides `position`, `eventType` and `appendedAt`, which are always read.
   * - Change it when: rows have large columns that no handler needs: they are then not read, sent or parsed.
   * @default every column
   */
  readonly columns?: readonly string[]
  /**
   * The column that holds the event's type. With it projections may filter by `eventTypes`, placeholders are left out, and
   * messages name types.
   * - Change it when: the table has one. It costs the transfer of one column.
   * @default none
   */
  readonly eventType?: string
  /**
   * Types of rows that fill the number of a failed append on purpose, and are no events: Marten writes `tombstone`,
   * Eventuous `$tombstone`. They are never handed to a handler. Needs `eventType`.
   * - Change it when: one of the two is a type of your own events (leave it out), or your writers have another (add it).
   * @default ['tombstone', '$tombstone'], where `eventType` is set
   */
  readonly placeholderTypes?: readonly string[]
  /**
   * The column with the time at which an event was appended, by the database's clock, for lag and delay in seconds. It is
   * of type `timestamptz`; a `timestamp` without time zone needs the zone that its times are in, as in
   * `{ column: 'time', timeZone: 'UTC' }`. NULL and infinity are unknown times. Without this option lag counts from when
   * this process first saw that an event waits.
   * - Change it when: the table has such a column. It costs the transfer of one column.
   * @default none
   */
  readonly appendedAt?: string | { readonly column: string; readonly timeZone: string }
  /**
   * Makes an event of a row. Throwing pauses the projection after its attempts.
   * - Change it when: handlers want something else than the row, as a parsed event. It runs once for each row of each page.
   * @default the row itself
   */
  readonly mapRow?: (row: PostgresRow, position: bigint) => E
  /**
   * The field that has the type, of the events that `mapRow` makes. With `eventTypes` a handler is given these of their union
   * alone. For the types of TypeScript; nothing is read from the field. It has to say the same as the column `eventType`.
   * - Change it when: the events are a union, told apart by such a field.
   * @default none
   */
  readonly typeField?: K & keyof E
  /**
   * Names this store in checkpoints and metrics.
   * - Change it when: the table is renamed (give the old name, or every checkpoint is refused), or two have the same name.
   * @default the table's name as given
   */
  readonly name?: string
  /**
   * How gaps in the numbers are passed.
   * - `{ mode: 'proof' }`: never passes a gap that may still be filled. A transaction that stays open holds up the mark.
   * - `{ mode: 'stale-threshold', thresholdMs }`: a gap older than `thresholdMs` (default 3000, Marten's) is skipped and counted,
   * and **its events are lost** if they come later. Raising it: fewer are lost, and each gap holds up the mark for longer.
   * Lowering it: the mark follows sooner, and more are lost.
   * - Change it when: writers cannot be named (numbers taken ahead, explicit positions), so that no proof is possible.
   * @default { mode: 'proof' }
   */
  readonly highWater?:
    | { readonly mode: 'proof' }
    | { readonly mode: 'stale-threshold'; readonly thresholdMs?: number }
  /**
   * Accept a table without an index led by the position.
   * - `true`: every page reads the whole table.
   * - Change it when: the table is small and must not be changed.
   * @default false
   */
  readonly allowMissingIndex?: boolean
  /**
   * The longest that a statement of a poll or a page may take, and the wait for a connection of the pool. The server ends the
   * statement then (`statement_timeout`, for these alone); a second later it is given up here too, and its connection is
   * destroyed, in case that it has gone silent. A page that takes longer, as one for rare `eventTypes` may, is asked for again
   * in smaller parts.
   * - Raising it: a connection that has gone silent is noticed later.
   * - Lowering it: slow pages are parted more often; below what a poll takes on your server, the mark stands still.
   * - Change it when: polls fail with a `QueryTimeoutError` on a busy server, or silent connections must be noticed sooner.
   * @default 30000
   */
  readonly queryTimeoutMs?: number
}

export interface ResolvedPostgresEventsOptions<E> {
  readonly pool: BoundedPool
  readonly table: QualifiedName
  readonly position: string
  readonly columns: readonly string[] | undefined
  readonly eventType: string | undefined
  readonly placeholderTypes: readonly string[]
  readonly appendedAt: AppendedAt | undefined
  readonly mapRow: (row: PostgresRow, position: bigint) => E
  readonly name: string
  readonly staleThresholdMs: number | undefined
  readonly allowMissingIndex: boolean
  /** Quoted, for SQL. */
  readonly sql: { readonly table: string; readonly position: string }
}

export interface AppendedAt {
  readonly column: string
  /** Of a `timestamp` without time zone; `undefined` for a `timestamptz`. */
  readonly timeZone: string | undefined
}

/** position: what most event tables call it; thresholdMs: Marten's; placeholderTypes: Marten's and Eventuous's. */
export const POSTGRES_EVENTS_DEFAULTS: {
  readonly position: string
  readonly thresholdMs: number
  readonly placeholderTypes: readonly string[]
} = Object.freeze({
  position: 'position',
  thresholdMs: 3_000,
  placeholderTypes: Object.freeze(['tombstone', '$tombstone']),
})

const POSTGRES_EVENTS_OPTIONS: Readonly<Record<keyof PostgresEventsOptions, true>> = {
  pool: true,
  table: true,
  position: true,
  columns: true,
  eventType: true,
  placeholderTypes: true,
  appendedAt: true,
  mapRow: true,
  typeField: true,
  name: true,
  highWater: true,
  allowMissingIndex: true,
  queryTimeoutMs: true,
}

export function resolvePostgresEventsOptions<E>(
  options: PostgresEventsOptions<E>,
): ResolvedPostgresEventsOptions<E> {
  requireKnownOptions(options, POSTGRES_EVENTS_OPTIONS)
  const table = parseQualifiedName('table', options.table)
  const position = requireText('position', options.position ?? POSTGRES_EVENTS_DEFAULTS.position)
  const name = requireText('name', options.name ?? options.table)
  if (options.eventType !== undefined) requireText('eventType', options.eventType)
  if (options.columns !== undefined && !Array.isArray(options.columns)) {
    throw new InvalidOptionError('columns', 'an array of column names', options.columns)
  }
  for (const column of options.columns ?? []) requireText('columns', column)
  if (options.mapRow !== undefined && typeof options.mapRow !== 'function') {
    throw new InvalidOptionError('mapRow', 'a function', options.mapRow)
  }
  requirePool(options.pool)
  return Object.freeze({
    pool: boundedPool(options.pool, resolveQueryTimeout(options.queryTimeoutMs)),
    table,
    position,
    columns: options.columns,
    eventType: options.eventType,
    placeholderTypes: resolvePlaceholderTypes(options),
    appendedAt: resolveAppendedAt(options.appendedAt),
    mapRow: options.mapRow ?? ((row) => row as E),
    name,
    staleThresholdMs: resolveThreshold(options.highWater),
    allowMissingIndex: options.allowMissingIndex ?? false,
    sql: { table: quoteName(table), position: quoteIdentifier(position) },
  })
}

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

function resolvePlaceholderTypes({
  eventType,
  placeholderTypes,
}: Pick<PostgresEventsOptions, 'eventType' | 'placeholderTypes'>): readonly string[] {
  if (placeholderTypes === undefined) return POSTGRES_EVENTS_DEFAULTS.placeholderTypes
  if (!Array.isArray(placeholderTypes)) {
    throw new InvalidOptionError('placeholderTypes', 'an array of event types', placeholderTypes)
  }
  if (eventType === undefined) {
    throw new InvalidOptionError(
      'placeholderTypes',
      'the option eventType beside it, which names the column of the type',
      placeholderTypes,
    )
  }
  return Object.freeze(placeholderTypes.map((type) => requireText('placeholderTypes', type)))
}

function resolveAppendedAt(appendedAt: PostgresEventsOptions['appendedAt']): AppendedAt | undefined {
  if (appendedAt === undefined) return undefined
  if (typeof appendedAt !== 'object' || appendedAt === null) {
    return { column: requireText('appendedAt', appendedAt), timeZone: undefined }
  }
  requireKnownOptions(appendedAt, { column: true, timeZone: true }, 'appendedAt')
  return {
    column: requireText('appendedAt.column', appendedAt.column),
    timeZone: requireTimeZone('appendedAt.timeZone', appendedAt.timeZone),
  }
}

/** A name alone: PostgreSQL reads the sign of an offset the other way round ('+02:00' is west of Greenwich there). */
function requireTimeZone(option: string, value: unknown): string {
  try {
    if (typeof value !== 'string' || !/^[A-Z]/i.test(value)) throw new RangeError('an offset')
    new Intl.DateTimeFormat('en', { timeZone: value })
    return value
  } catch {
    throw new InvalidOptionError(option, "the name of a time zone, as 'UTC' or 'Europe/Berlin'", value)
  }
}

function resolveThreshold(highWater: PostgresEventsOptions['highWater']): number | undefined {
  if (highWater === undefined) return undefined
  if (highWater.mode === 'proof') {
    requireKnownOptions(highWater, { mode: true }, 'highWater')
    return undefined
  }
  if (highWater.mode !== 'stale-threshold') {
    throw new InvalidOptionError(
      'highWater.mode',
      `'proof' or 'stale-threshold'`,
      (highWater as { mode: unknown }).mode,
    )
  }
  requireKnownOptions(highWater, { mode: true, thresholdMs: true }, 'highWater')
  const thresholdMs = highWater.thresholdMs ?? POSTGRES_EVENTS_DEFAULTS.thresholdMs
  if (typeof thresholdMs !== 'number' || !Number.isFinite(thresholdMs) || thresholdMs <= 0) {
    throw new InvalidOptionError('highWater.thresholdMs', 'a number of milliseconds above 0', thresholdMs)
  }
  return thresholdMs
}
