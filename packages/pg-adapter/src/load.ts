import { EventMappingError, type LoadRequest, type Page } from '@tidemark/core/adapter'
import { type ClockReading, nowMs, SERVER_NOW_SQL } from './append-time.ts'
import { type BoundedClient, withConnection } from './client.ts'
import { PartitionsChangedError, PostgresConditionError, sqlState } from './errors.ts'
import { quoteIdentifier, quoteLiteral, quoteTexts } from './identifiers.ts'
import type { PostgresRow, ResolvedPostgresEventsOptions } from './options.ts'
import { type PageColumns, pageColumnsSql, type ReadAsText } from './page-columns.ts'
import type { PageRanges } from './page-range.ts'
import { partitionsSql } from './proof/fingerprint.ts'
import { noPlaceholderSql } from './proof/late-events.ts'
import {
  INVALID_TEXT_REPRESENTATION,
  type KnownBackends,
  onKnownBackend,
  requireKnownSql,
} from './server/backends.ts'
import { locksSql, lockTableSql, transactUnlessLocked } from './transaction.ts'

/** What is known of a source's pages and connections. */
export interface PageKnowledge {
  /** `undefined`: pages may come from another incarnation than the poll's. */
  readonly backends: KnownBackends | undefined
  readonly ranges: PageRanges
  readonly columns: PageColumns
}

/**
 * A page of events; events that share a position are never parted, so it may hold more than `limit`. It is read in a
 * transaction of its own: its snapshot is taken after the poll that set `upTo`, and no row is hidden from it. With
 * `backends`, it is of the poll's incarnation.
 */
export async function loadPage<E>(
  options: ResolvedPostgresEventsOptions<E>,
  known: PageKnowledge,
  request: LoadRequest<bigint>,
): Promise<Page<bigint, E>> {
  const { ranges, columns } = known
  const { limit, eventTypes } = request
  const read = (sql: string): Promise<Read> => readPage(options, known.backends, sql, request)
  const { upTo, positions: through } = await lookedThrough(options, ranges.of(eventTypes), request, read)
  const { asText } = columns
  const { rows, clock } = await ranges.learn(eventTypes, through, options.pool.queryTimeoutMs, () =>
    read(pageSql(options, { ...request, upTo }, asText)),
  )
  const own = columns.take(options, rows, asText, clock)
  if (own === undefined) return await loadPage(options, known, request)
  const { positions } = own
  const last = positions.at(-1)
  // Before `mapRow` has the rows, which may change them.
  const types = typesOf(rows, options)
  return {
    types,
    events: rows.map((row, index) => mapRow(row, positions[index], types?.[index], options)),
    positions,
    appendedAtMs: own.appendedAtMs,
    through: last !== undefined && rows.length >= limit ? last : upTo,
  }
}

/** What a page looks through: what was asked for, or no more positions of it than lately came in time. */
async function lookedThrough(
  { sql: { table, position } }: Pick<ResolvedPostgresEventsOptions<unknown>, 'sql'>,
  range: bigint | undefined,
  { after, upTo }: LoadRequest<bigint>,
  read: (sql: string) => Promise<Read>,
): Promise<{ readonly upTo: bigint; readonly positions: bigint }> {
  let from = after
  if (from === undefined && range !== undefined) {
    const { rows } = await read(`select min(${position})::text as first from ${table}`)
    const first = rows[0]?.first
    if (typeof first === 'string') from = BigInt(first) - 1n
  }
  // Where the first position is not known yet: more than there are does no harm.
  const positions = upTo - (from ?? 0n)
  if (from === undefined || range === undefined || positions <= range) return { upTo, positions }
  return { upTo: from + range, positions: range }
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
    where ${position} <= ${settled} order by ${position} desc limit 1`
  const { rows } = await readProvenRows(options, backends, incarnation, sql, signal)
  const [row] = rows
  return typeof row?.mark === 'string' ? BigInt(row.mark) : undefined
}

type Row = Record<string, unknown>

interface Read {
  readonly rows: Row[]
  readonly clock: ClockReading
}

/**
 * Fails where rows of the table are hidden. That is a statement of its own, since PostgreSQL asks for no part of one that
 * it can prove to be empty, as of partitions that do not exist. It comes second: the lock that the first one holds keeps
 * row security as it was.
 */
async function readRows(
  client: BoundedClient,
  { sql: { table } }: Pick<ResolvedPostgresEventsOptions<unknown>, 'sql'>,
  sql: string,
  otherwise: string,
  hasPartitions: boolean,
): Promise<Read> {
  const partitions = `${partitionsSql(`to_regclass(${quoteLiteral(table)})::oid`)} as partitions`
  const sentAtMs = nowMs()
  try {
    const results = await transactUnlessLocked(
      client,
      `${hasPartitions ? `${lockTableSql(table)} select ${partitions};` : ''}
      ${locksSql(sql)} ${sql};
      select case when row_security_active(${quoteLiteral(table)})
        then ('${ROWS_HIDDEN}' || pg_backend_pid())::boolean else ${otherwise} end, ${SERVER_NOW_SQL} as now
        ${hasPartitions ? `, ${partitions}` : ''}`,
    )
    const [read, checked] = results.slice(-2)
    if (hasPartitions && results[1]?.rows[0]?.partitions !== checked?.rows[0]?.partitions) {
      throw new PartitionsChangedError(table)
    }
    const serverMs = Number(checked?.rows[0]?.now)
    return { rows: read?.rows ?? [], clock: { sentAtMs, serverMs, answeredAtMs: nowMs() } }
  } catch (error) {
    if (sqlState(error) !== INVALID_TEXT_REPRESENTATION || !String(error).includes(ROWS_HIDDEN)) throw error
    throw new PostgresConditionError(
      'row_security',
      `row security was switched on for ${table} and hides rows from this role; nothing was passed`,
      { cause: error },
    )
  }
}

async function readPage(
  options: Pick<ResolvedPostgresEventsOptions<unknown>, 'pool' | 'sql'>,
  backends: KnownBackends | undefined,
  sql: string,
  { evidence, signal }: LoadRequest<bigint>,
): Promise<Read> {
  return backends === undefined
    ? await withConnection(options.pool, signal, (client) => readRows(client, options, sql, 'true', false))
    : await readProvenRows(options, backends, evidence.incarnation, sql, signal)
}

/**
 * Fails on a backend that is not known to belong to the poll's incarnation: it is compared, then asked again. Where
 * partitions were attached meanwhile it is asked again on another connection: see `send` in `high-water.ts`.
 */
export async function readProvenRows(
  options: Pick<ResolvedPostgresEventsOptions<unknown>, 'pool' | 'sql'>,
  backends: KnownBackends,
  incarnation: string,
  sql: string,
  signal: AbortSignal,
): Promise<Read> {
  for (let looks = 1; ; looks++) {
    try {
      return await withConnection(options.pool, signal, (client) =>
        onKnownBackend(client, backends, incarnation, (keys) =>
          readRows(client, options, sql, requireKnownSql(keys), backends.hasPartitions),
        ),
      )
    } catch (error) {
      if (!(error instanceof PartitionsChangedError) || looks >= MOST_LOOKS) throw error
    }
  }
}

const MOST_LOOKS = 4

/** What fails as a cast. It is never folded: it hangs on the backend's pid. */
const ROWS_HIDDEN = 'tidemark: row security hides rows from backend '

function pageSql(
  options: ResolvedPostgresEventsOptions<unknown>,
  { after, upTo, limit, eventTypes }: LoadRequest<bigint>,
  asText: ReadAsText,
): string {
  const { eventType, sql } = options
  const above = after === undefined ? '' : `and e.${sql.position} > ${after}`
  const ofTypes =
    eventTypes && eventType !== undefined
      ? `and e.${quoteIdentifier(eventType)}::text = any (${quoteTexts(eventTypes)})`
      : ''
  return `select ${pageColumnsSql(options, asText)} from ${sql.table} e
    where e.${sql.position} <= ${upTo} ${above} ${ofTypes} ${noPlaceholderSql(options)}
    order by e.${sql.position} fetch first ${limit} rows with ties`
}

function mapRow<E>(
  row: Record<string, unknown>,
  position: bigint | undefined,
  eventType: string | undefined,
  options: ResolvedPostgresEventsOptions<E>,
): E {
  if (position === undefined) throw new TypeError('every row has a position')
  row[options.position] = position
  try {
    return options.mapRow(row, position)
  } catch (error) {
    throw new EventMappingError(position.toString(), error, eventType)
  }
}

function typesOf(
  rows: readonly PostgresRow[],
  { eventType }: Pick<ResolvedPostgresEventsOptions<unknown>, 'eventType'>,
): readonly string[] | undefined {
  return eventType === undefined ? undefined : rows.map((row) => String(row[eventType]))
}
