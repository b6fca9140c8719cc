import { EventMappingError, type LoadRequest, type Page } from '@tidemark/core/adapter'
import { withConnection } from './client.ts'
import { quoteIdentifier, quoteTexts } from './identifiers.ts'
import type { PostgresRow, ResolvedPostgresEventsOptions } from './options.ts'
import { type PageColumns, pageColumnsSql, type ReadAsText } from './page-columns.ts'
import type { PageRanges } from './page-range.ts'
import { eventRowsSql } from './proof/event-rows.ts'
import { type Read, readProvenRows, readRows, type Select } from './proof/proven-rows.ts'
import type { KnownBackends } from './server/backends.ts'
import { type Bind, plainSql, type Statement } from './statement.ts'

/** What is known of a source's pages and connections. */
export interface PageKnowledge {
  /** `undefined`: pages may come from another incarnation than the poll's. */
  readonly backends: KnownBackends | undefined
  readonly ranges: PageRanges
  readonly columns: PageColumns
}

/** Without `evidence`: rows as they are visible now, under no poll. */
type RowsRequest = Omit<LoadRequest<bigint>, 'evidence'> & Partial<Pick<LoadRequest<bigint>, 'evidence'>>

/**
 * A page of events; events that share a position are never parted, so it may hold more than `limit`. It is read in a
 * transaction of its own: its snapshot is taken after the poll that set `upTo`, and no row is hidden from it. With
 * `backends` and `evidence`, it is of the poll's incarnation.
 */
export async function loadPage<E>(
  options: ResolvedPostgresEventsOptions<E>,
  known: PageKnowledge,
  { from, ...asked }: RowsRequest,
): Promise<Page<bigint, E>> {
  const { ranges, columns } = known
  const request = from === undefined ? asked : { ...asked, after: from - 1n }
  const { limit, eventTypes } = request
  const read = (select: Select): Promise<Read> => readPage(options, known.backends, select, request)
  const { upTo, positions: through } = await lookedThrough(options, ranges.of(eventTypes), request, read)
  const { asText } = columns
  const { rows, clock, bytes } = await ranges.learn(eventTypes, through, options.pool.queryTimeoutMs, () =>
    read(pageSelect(options, { ...request, upTo }, asText)),
  )
  const own = columns.take(options, rows, asText, clock)
  if (own === undefined) return await loadPage(options, known, request)
  const { positions, appendTimesMs } = own
  const last = positions.at(-1)
  // Before `mapRow` has the rows, which may change them.
  const types = typesOf(rows, options)
  return {
    types,
    events: rows.map((row, index) => mapRow(row, positions, index, types?.[index], options)),
    positions,
    appendTimesMs,
    bytes,
    through: last !== undefined && rows.length >= limit ? last : upTo,
  }
}

/** What a page looks through: what was asked for, or no more positions of it than lately came in time. */
async function lookedThrough(
  { sql: { table, position } }: Pick<ResolvedPostgresEventsOptions<unknown>, 'sql'>,
  range: bigint | undefined,
  { after, upTo }: RowsRequest,
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

/** Under no poll nobody knows whether the table has partitions, or an index: no plan is kept. */
async function readPage(
  options: Pick<ResolvedPostgresEventsOptions<unknown>, 'pool' | 'sql'>,
  backends: KnownBackends | undefined,
  select: Select,
  { evidence, signal }: RowsRequest,
): Promise<Read> {
  if (backends !== undefined && evidence !== undefined)
    return await readProvenRows(options, backends, evidence.incarnation, select, signal)
  const once = typeof select === 'string' ? select : plainSql(select.statement)
  return await withConnection(options.pool, signal, (client) =>
    readRows(client, options, once, () => 'true', 'none'),
  )
}

/**
 * A page of so few positions is found by their index, whatever else is asked of its rows: one plan serves all such pages, and
 * behind a busy store they come many times a second. A wider one is planned for its values.
 */
const MOST_KEPT_POSITIONS = 10_000n

function pageSelect(
  options: ResolvedPostgresEventsOptions<unknown>,
  request: RowsRequest,
  asText: ReadAsText,
): Select {
  const statement = pageStatement(options, request, asText)
  const { after, upTo, eventTypes } = request
  if (after === undefined || upTo - after > MOST_KEPT_POSITIONS) return plainSql(statement)
  // An index of another column may win where the values are not known.
  const isRangeAlone = eventTypes === undefined && Object.keys(options.where).length === 0
  return { statement, plans: isRangeAlone ? 'kept' : 'kept by values' }
}

function pageStatement(
  options: ResolvedPostgresEventsOptions<unknown>,
  { after, upTo, limit, eventTypes }: RowsRequest,
  asText: ReadAsText,
): Statement {
  const { eventType, sql } = options
  const ofTypes = (bind: Bind): string =>
    eventTypes && eventType !== undefined
      ? `and e.${quoteIdentifier(eventType)}::text = any (${bind('text[]', quoteTexts(eventTypes))})`
      : ''
  return (bind) => `select ${pageColumnsSql(options, asText)} from ${sql.table} e
    where e.${sql.position} <= ${bind('bigint', `${upTo}`)} ${after === undefined ? '' : `and e.${sql.position} > ${bind('bigint', `${after}`)}`}
      ${ofTypes(bind)} ${eventRowsSql(options)}
    order by e.${sql.position} fetch first ${bind('bigint', `${limit}`)} rows with ties`
}

function mapRow<E>(
  row: Record<string, unknown>,
  positions: readonly bigint[],
  index: number,
  eventType: string | undefined,
  options: ResolvedPostgresEventsOptions<E>,
): E {
  const position = positions[index]
  if (position === undefined) throw new TypeError('every row has a position')
  row[options.position] = position
  try {
    return options.mapRow(row, position)
  } catch (error) {
    const sharing = positions.filter((other) => other === position).length
    throw new EventMappingError(position.toString(), error, eventType, sharing)
  }
}

function typesOf(
  rows: readonly PostgresRow[],
  { eventType }: Pick<ResolvedPostgresEventsOptions<unknown>, 'eventType'>,
): readonly string[] | undefined {
  return eventType === undefined ? undefined : rows.map((row) => String(row[eventType]))
}
