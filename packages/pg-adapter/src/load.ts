import { EventMappingError, type LoadRequest, type Page } from '@tidemark/core/adapter'
import { withConnection } from './client.ts'
import type { PostgresRow, ResolvedPostgresEventsOptions } from './options.ts'
import { type OwnValues, type PageColumns, pageColumnsSql, type ReadAsText } from './page-columns.ts'
import type { PageRanges } from './page-range.ts'
import { wantedRowsSql } from './proof/event-rows.ts'
import { type Read, readProvenRows, readRows, type Select } from './proof/proven-rows.ts'
import type { KnownBackends } from './server/backends.ts'
import { plainSql, type Statement } from './statement.ts'
import type { Tails } from './tail.ts'
import type { PageRows, TakenRows } from './tail-memory.ts'

/** What is known of a source's pages and connections. */
export interface PageKnowledge {
  /** `undefined`: pages may come from another incarnation than the poll's. */
  readonly backends: KnownBackends | undefined
  readonly ranges: PageRanges
  readonly columns: PageColumns
  readonly tails: Tails
}

/** Without `evidence`: rows as they are visible now, under no poll. */
type RowsRequest = Omit<LoadRequest<bigint>, 'evidence' | 'from'> &
  Partial<Pick<LoadRequest<bigint>, 'evidence'>>

/**
 * A page of events; events that share a position are never parted, so it may hold more than `limit`. It is read in a
 * transaction of its own: its snapshot is taken after the poll that set `upTo`, and no row is hidden from it. With
 * `backends` and `evidence`, it is of the poll's incarnation.
 */
export async function loadPage<E>(
  options: ResolvedPostgresEventsOptions<E>,
  known: PageKnowledge,
  { from, ...asked }: RowsRequest & Pick<LoadRequest<bigint>, 'from'>,
): Promise<Page<bigint, E>> {
  const request = from === undefined ? asked : { ...asked, after: from - 1n }
  const read = known.tails.take(request) ?? (await readRowsOf(options, known, request))
  const own = ownValuesOf(options, known.columns, read.parts)
  if (own === undefined) return await loadPage(options, known, { ...request, mayComeAlong: false })
  const { rows, positions, appendTimesMs, through } = pageOf(read, own, request)
  // Before `mapRow` has the rows, which may change them.
  const types = typesOf(rows, options)
  return {
    types,
    events: rows.map((row, index) => mapRow(row, positions, index, types?.[index], options)),
    positions,
    appendTimesMs,
    bytes: bytesOf(read.parts),
    through,
  }
}

async function readRowsOf(
  options: ResolvedPostgresEventsOptions<unknown>,
  { backends, ranges, columns }: PageKnowledge,
  request: RowsRequest,
): Promise<PageRead> {
  const { eventTypes } = request
  const read = (select: Select): Promise<Read> => readPage(options, backends, select, request)
  const { upTo, positions } = await lookedThrough(options, ranges.of(eventTypes), request, read)
  const { asText } = columns
  const found = await ranges.learn(eventTypes, positions, options.pool.queryTimeoutMs, () =>
    read(pageSelect(options, { ...request, upTo }, asText)),
  )
  return { parts: [{ ...found, asText }], upTo }
}

/** Rows up to `upTo`; `undefined`: up to the last of them. */
interface PageRead extends Pick<TakenRows, 'parts'> {
  readonly upTo: bigint | undefined
}

/** Those of all parts; `undefined` where one was parsed in another way than the others. */
function ownValuesOf(
  options: ResolvedPostgresEventsOptions<unknown>,
  columns: PageColumns,
  parts: readonly PageRows[],
): OwnValues | undefined {
  const values: OwnValues[] = []
  for (const { rows, asText, clock } of parts) {
    const own = columns.take(options, rows, asText, clock)
    if (own === undefined) return undefined
    values.push(own)
  }
  const [only] = values
  if (values.length === 1) return only
  return {
    positions: values.flatMap(({ positions }) => positions),
    appendTimesMs:
      options.appendedAt === undefined
        ? undefined
        : values.flatMap(({ appendTimesMs }) => appendTimesMs ?? []),
  }
}

function bytesOf(parts: readonly PageRows[]): number | undefined {
  return parts.reduce<number | undefined>(
    (sum, { bytes }) => (sum === undefined || bytes === undefined ? undefined : sum + bytes),
    0,
  )
}

/** The rows that belong to the page, and how far it has looked. */
function pageOf(
  { parts, upTo }: PageRead,
  { positions, appendTimesMs }: OwnValues,
  request: Pick<LoadRequest<bigint>, 'upTo' | 'limit'>,
): OwnValues & { readonly rows: PageRows['rows'][number][]; readonly through: bigint } {
  const reached = upTo ?? positions.at(-1) ?? request.upTo
  const isWithin = request.upTo <= reached
  const end = isWithin ? request.upTo : reached
  const count = eventsOfPage(positions, end, request.limit)
  const last = positions[count - 1]
  return {
    rows: parts.flatMap(({ rows }) => rows).slice(0, count),
    positions: positions.slice(0, count),
    appendTimesMs: appendTimesMs?.slice(0, count),
    through: last !== undefined && count >= request.limit ? last : end,
  }
}

/** How many events a page has: those up to its end, at most `limit`. Those that share a position are never parted. Pure. */
export function eventsOfPage(positions: readonly bigint[], upTo: bigint, limit: number): number {
  const beyond = positions.findIndex(
    (position, index) => position > upTo || (index >= limit && position !== positions[index - 1]),
  )
  return beyond === -1 ? positions.length : beyond
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

/** Under no poll nobody knows whether the table has an index: no plan is kept. */
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
    readRows(client, options, once, () => 'true', backends?.partitions ?? 'none'),
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
  const { after, upTo, eventTypes, slots } = request
  if (after === undefined || upTo - after > MOST_KEPT_POSITIONS) return plainSql(statement)
  // An index of another column may win where the values are not known.
  const isRangeAlone =
    eventTypes === undefined && slots === undefined && Object.keys(options.where).length === 0
  return { statement, plans: isRangeAlone ? 'kept' : 'kept by values' }
}

function pageStatement(
  options: ResolvedPostgresEventsOptions<unknown>,
  { after, upTo, limit, eventTypes, slots }: RowsRequest,
  asText: ReadAsText,
): Statement {
  const { sql } = options
  return (bind) => `select ${pageColumnsSql(options, asText)} from ${sql.table} e
    where e.${sql.position} <= ${bind('bigint', `${upTo}`)} ${after === undefined ? '' : `and e.${sql.position} > ${bind('bigint', `${after}`)}`}
      ${wantedRowsSql(options, { eventTypes, slots }, bind)}
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
