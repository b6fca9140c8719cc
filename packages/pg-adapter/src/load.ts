import { EventMappingError, IncarnationChangedError, type LoadRequest, type Page } from '@tidemark/core'
import type { KnownBackends } from './backends.ts'
import { type PgClient, type PgPool, withConnection } from './client.ts'
import { NotPrimaryError, PostgresConditionError, sqlState } from './errors.ts'
import { quoteIdentifier, quoteLiteral } from './identifiers.ts'
import { BACKEND_KEY_SQL, isSameServerRun, SERVER_IDENTITY_SQL, type ServerIdentity } from './incarnation.ts'
import type { PostgresRow, ResolvedPostgresEventsOptions } from './options.ts'

/**
 * A page of events; events that share a position are never parted, so it may hold more than `limit`. It is read by one
 * statement of its own: its snapshot is taken after the poll that set `upTo`. The statement fails on a backend that is
 * not known to belong to the poll's incarnation (such a backend is compared first), and where rows are hidden.
 */
export async function loadPage<E>(
  options: ResolvedPostgresEventsOptions<E>,
  backends: KnownBackends | undefined,
  request: LoadRequest<bigint>,
): Promise<Page<bigint, E>> {
  const { after, upTo, limit, eventTypes, evidence, signal } = request
  const rows = await withConnection(options.pool, signal, (client) =>
    backends === undefined
      ? readRows(client, pageSql(options, request, ANY_BACKEND), [after ?? null, upTo, limit, eventTypes])
      : onKnownBackend(client, backends, evidence.incarnation, (keys) =>
          readGuarded(
            client,
            options,
            pageSql(options, request, `and ${guard(options, '$5')}`),
            [after ?? null, upTo, limit, eventTypes, keys],
            keys,
          ),
        ),
  )
  const positions = rows.map((row) => toPosition(row, options))
  const last = positions.at(-1)
  const appendedAtMs = appendedAtOf(rows, options)
  return {
    events: rows.map((row, index) => mapRow(row, positions[index], options)),
    positions,
    appendedAtMs,
    through: last !== undefined && rows.length >= limit ? last : upTo,
  }
}

/** The last visible position up to `settled`: one look at the index, on a known backend. */
export async function lookUpMark(
  options: ResolvedPostgresEventsOptions<unknown>,
  backends: KnownBackends,
  incarnation: string,
  settled: bigint,
  signal: AbortSignal,
): Promise<bigint | undefined> {
  const { table, position } = options.sql
  const sql = `select ${position}::text as mark from ${table}
    where ${position} <= $1 and ${guard(options, '$2')} order by ${position} desc limit 1`
  const rows = await withConnection(options.pool, signal, (client) =>
    onKnownBackend(client, backends, incarnation, (keys) =>
      readGuarded(client, options, sql, [settled, keys], keys),
    ),
  )
  const mark = rows[0]?.mark
  return typeof mark === 'string' ? BigInt(mark) : undefined
}

/** Whether the log is flushed up to `lsn`, asked of a known backend. */
export async function isFlushedOnKnownBackend(
  pool: PgPool,
  backends: KnownBackends,
  incarnation: string,
  lsn: string,
  signal: AbortSignal,
): Promise<boolean> {
  const sql = `select (pg_current_wal_flush_lsn() >= $1::pg_lsn)::text as flushed where ${knownBackend('$2')}`
  const rows = await withConnection(pool, signal, (client) =>
    onKnownBackend(client, backends, incarnation, (keys) => readRows(client, sql, [lsn, keys])),
  )
  return rows[0]?.flushed === 'true'
}

/** What fails, as a cast, on a backend that is not known. It is never folded: it hangs on the backend's pid. */
const UNKNOWN_BACKEND = 'tidemark: unknown backend '
export const INVALID_TEXT_REPRESENTATION = '22P02'

function knownBackend(parameter: string): string {
  return `(select case when ${BACKEND_KEY_SQL} = any (${parameter}::text[]) then true
    else ('${UNKNOWN_BACKEND}' || pg_backend_pid())::boolean end)`
}

/** Fails where rows of the table are hidden, and on a backend that is not known. */
function guard({ sql }: Pick<ResolvedPostgresEventsOptions<unknown>, 'sql'>, parameter: string): string {
  return `(select case when row_security_active(${quoteLiteral(sql.table)})
    then ('${ROWS_HIDDEN}' || pg_backend_pid())::boolean else ${knownBackend(parameter)} end)`
}

const ROWS_HIDDEN = 'tidemark: row security hides rows from backend '

/** PostgreSQL does not ask the guard where it can prove that there are no rows, as of partitions that do not exist. */
async function readGuarded(
  client: PgClient,
  options: ResolvedPostgresEventsOptions<unknown>,
  sql: string,
  values: unknown[],
  keys: string[],
): Promise<Record<string, unknown>[]> {
  try {
    const rows = await readRows(client, sql, values)
    if (rows.length === 0) await readRows(client, `select ${guard(options, '$1')}`, [keys])
    return rows
  } catch (error) {
    if (sqlState(error) !== INVALID_TEXT_REPRESENTATION || !String(error).includes(ROWS_HIDDEN)) throw error
    throw new PostgresConditionError(
      'row_security',
      `row security was switched on for ${options.sql.table} and hides rows from this role; nothing was passed`,
      { cause: error },
    )
  }
}

const ANY_BACKEND = ''

function pageSql(
  { appendedAt, columns, eventType, position, sql }: ResolvedPostgresEventsOptions<unknown>,
  { after, eventTypes }: LoadRequest<bigint>,
  onBackend: string,
): string {
  const selected = columns
    ? [...new Set([position, ...columns, ...(appendedAt === undefined ? [] : [appendedAt])])]
        .map((c) => `e.${quoteIdentifier(c)}`)
        .join(', ')
    : 'e.*'
  const ofTypes =
    eventTypes && eventType !== undefined
      ? `and e.${quoteIdentifier(eventType)}::text = any ($4::text[])`
      : 'and $4::text[] is null'
  return `select ${selected} from ${sql.table} e
    where ${after === undefined ? '$1::bigint is null' : `e.${sql.position} > $1`} and e.${sql.position} <= $2
      ${ofTypes} ${onBackend}
    order by e.${sql.position} fetch first $3 rows with ties`
}

/** Runs `read` with the keys of the known backends; on another backend that one is compared, and `read` runs again. */
async function onKnownBackend<T>(
  client: PgClient,
  backends: KnownBackends,
  incarnation: string,
  read: (keys: string[]) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await read(backends.of(incarnation))
    } catch (error) {
      // A pooler in transaction mode may take another backend for each statement.
      const isUnknown =
        sqlState(error) === INVALID_TEXT_REPRESENTATION && String(error).includes(UNKNOWN_BACKEND)
      if (!isUnknown || tries >= MOST_TRIES) throw error
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

async function readRows(
  client: PgClient,
  sql: string,
  values: unknown[],
): Promise<Record<string, unknown>[]> {
  const { rows } = await client.query(
    sql,
    values.map((value) => (typeof value === 'bigint' ? value.toString() : (value ?? null))),
  )
  return rows
}

function toPosition(row: PostgresRow, { position, sql }: ResolvedPostgresEventsOptions<unknown>): bigint {
  const value = row[position]
  if (typeof value === 'bigint') return value
  if (typeof value === 'string' || Number.isSafeInteger(value)) return BigInt(value as string | number)
  throw new EventMappingError(
    String(value),
    new TypeError(`${sql.table}.${sql.position} is no integer: ${String(value)}`),
  )
}

/** Read before `mapRow` has seen the rows. A value that is no time is unknown. */
function appendedAtOf(
  rows: readonly PostgresRow[],
  { appendedAt }: Pick<ResolvedPostgresEventsOptions<unknown>, 'appendedAt'>,
): Page<bigint, unknown>['appendedAtMs'] {
  if (appendedAt === undefined) return undefined
  const [first, last] = [rows[0], rows.at(-1)].map((row) =>
    new Date(row?.[appendedAt] as string | Date).getTime(),
  )
  if (first === undefined || last === undefined || Number.isNaN(first) || Number.isNaN(last)) return undefined
  return { first, last }
}

function mapRow<E>(
  row: Record<string, unknown>,
  position: bigint | undefined,
  options: ResolvedPostgresEventsOptions<E>,
): E {
  if (position === undefined) throw new TypeError('every row has a position')
  row[options.position] = position
  try {
    return options.mapRow(row, position)
  } catch (error) {
    throw new EventMappingError(position.toString(), error)
  }
}
