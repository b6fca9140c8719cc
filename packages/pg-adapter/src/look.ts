import type { Gap, Look, LookRequest, VisibleEvent } from '@tidemark/core/adapter'
import { quoteIdentifier } from './identifiers.ts'
import type { ResolvedPostgresEventsOptions, TraceColumn } from './options.ts'
import { eventRowsSql } from './proof/event-rows.ts'
import type { PollMemory } from './proof/poll-memory.ts'
import { readProvenRows, type Select } from './proof/proven-rows.ts'
import { boundsSql, isInRunsSql } from './proof/runs-sql.ts'
import type { KnownBackends } from './server/backends.ts'
import { asLiteral, type Statement } from './statement.ts'
import { traceColumnName, traceparentOf } from './trace-column.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/** Positions above the last look that one look goes through, and events that it reads there. */
const NEW_POSITIONS = 20_000n
const MOST_NEW = 2_000
/** Events that it reads in one run, and in all of them. */
const MOST_OF_ONE_RUN = 1_000
const MOST_APPEARED = 5_000
/** Without an index: positions above the last look, and events that it reads there and in the runs. */
const SCANNED_POSITIONS = 5_000n
const MOST_SCANNED = 20_000

/**
 * What is visible, in one statement on a backend of the poll's incarnation. With an index this is one descent for each run, and
 * a range; without one it is a single scan of the table.
 */
export async function lookAt(options: Options, backends: KnownBackends, request: LookRequest): Promise<Look> {
  const { reading, signal } = request
  const read = async (select: Select): Promise<Seen> => {
    const { rows, partitions } = await readProvenRows(options, backends, reading.incarnation, select, signal)
    const events = rows
      .map((row) => toEvent(row, options.watched?.traceContext))
      .toSorted((a, b) => (a.position < b.position ? -1 : a.position > b.position ? 1 : 0))
    return { events, layout: partitions }
  }
  const { inspection } = reading.memory as PollMemory
  return inspection.hasIndex
    ? byIndex(request, await read({ statement: byIndexStatement(options, request), plans: 'kept' }))
    : byScan(request, await read(byScanSql(options, request)))
}

interface Seen {
  /** The lowest position first. */
  readonly events: readonly VisibleEvent[]
  readonly layout: string | undefined
}

/** Both parts with a limit of their own; what is at or below `above` is of the runs. */
function byIndexStatement(
  options: Options,
  { runs, above, upTo = above + NEW_POSITIONS }: LookRequest,
): Statement {
  const { table, position } = options.sql
  const fresh: Statement = (bind) => `select ${columnsSql(options, 'false')} from ${table} e
    where e.${position} > ${bind('bigint', `${above}`)} and e.${position} <= ${bind('bigint', `${upTo}`)} ${eventRowsSql(options)}
    order by e.${position} limit ${MOST_NEW}`
  if (runs.length === 0) return fresh
  return (
    bind,
  ) => `(select late.* from unnest(${boundsSql(runs, 'from', bind)}, ${boundsSql(runs, 'to', bind)}) as run (first, last)
      cross join lateral (
        select ${columnsSql(options, 'true')} from ${table} e
        where e.${position} between run.first and run.last ${eventRowsSql(options)}
        order by e.${position} limit ${MOST_OF_ONE_RUN}
      ) late
      order by run.first, late.position::bigint limit ${MOST_APPEARED})
    union all (${fresh(bind)})`
}

function byIndex(request: LookRequest, { events: rows, layout }: Seen): Look {
  const { runs, above } = request
  const visible = rows.filter(({ position }) => position > above)
  const appeared = rows.filter(({ position }) => position <= above)
  const last = appeared.length >= MOST_APPEARED ? appeared.at(-1)?.position : undefined
  const unseen = runs.flatMap((run) => {
    if (last !== undefined && run.to > last) return restOf(run, last)
    if (appeared.length < MOST_OF_ONE_RUN) return []
    const ofRun = appeared.filter(({ position }) => run.from <= position && position <= run.to)
    const end = ofRun.length >= MOST_OF_ONE_RUN ? ofRun.at(-1)?.position : undefined
    return end === undefined ? [] : restOf(run, end)
  })
  const isFull = visible.length >= MOST_NEW
  return { appeared, unseen, visible, through: throughOf(request, visible, isFull, NEW_POSITIONS), layout }
}

/** There may be many rows between the runs. */
function byScanSql(options: Options, { runs, above, upTo = above + SCANNED_POSITIONS }: LookRequest): string {
  const { table, position } = options.sql
  const late = isInRunsSql(`e.${position}`, runs, asLiteral)
  return `select ${columnsSql(options, `e.${position} <= ${above}`)} from ${table} e
    where e.${position} <= ${upTo} and (e.${position} > ${above}${runs.length === 0 ? '' : ` or ${late}`})
      ${eventRowsSql(options)}
    order by e.${position} limit ${MOST_SCANNED}`
}

function byScan(request: LookRequest, { events: rows, layout }: Seen): Look {
  const { runs, above } = request
  const isFull = rows.length >= MOST_SCANNED
  const last = isFull ? rows.at(-1)?.position : undefined
  const visible = rows.filter(({ position }) => position > above)
  return {
    appeared: rows.filter(({ position }) => position <= above),
    unseen: last === undefined ? [] : runs.flatMap((run) => restOf(run, last)),
    visible,
    through: throughOf(request, visible, isFull, SCANNED_POSITIONS),
    layout,
  }
}

/** The part of a run above a position. */
function restOf({ from, to }: Gap<bigint>, position: bigint): readonly Gap<bigint>[] {
  const first = position < from ? from : position + 1n
  return first <= to ? [{ from: first, to }] : []
}

/** Numbers above the head may not have been handed out: what is not visible there is not missing. */
function throughOf(
  { above, upTo, reading: { head } }: LookRequest,
  visible: readonly VisibleEvent[],
  isFull: boolean,
  range: bigint,
): bigint {
  const last = visible.at(-1)?.position ?? above
  if (isFull) return last
  const rangeEnd = above + range
  const end = upTo ?? (head !== undefined && head > rangeEnd ? rangeEnd : head)
  return end !== undefined && end > last ? end : last
}

/** The trace is read only where `isLate`: it may be a large document. */
function columnsSql({ sql, eventType, watched }: Options, isLate: string): string {
  const text = (column: string | undefined): string =>
    `${column === undefined ? 'null' : `e.${quoteIdentifier(column)}`}::text`
  const trace =
    watched?.traceContext === undefined
      ? 'null'
      : `case when ${isLate} then e.${quoteIdentifier(traceColumnName(watched.traceContext))}::text end`
  return `e.${sql.position}::text as position, ${text(eventType)} as type,
    ${text(watched?.transaction)} as transaction, ${text(watched?.stream)} as stream,
    ${trace}::text as trace`
}

function toEvent(
  { position, type, transaction, stream, trace }: Readonly<Record<string, unknown>>,
  column: TraceColumn | undefined,
): VisibleEvent {
  return {
    position: BigInt(String(position)),
    type: typeof type === 'string' ? type : undefined,
    transaction: typeof transaction === 'string' ? BigInt(transaction) : undefined,
    stream: typeof stream === 'string' ? stream : undefined,
    traceparent: column !== undefined && typeof trace === 'string' ? traceparentOf(column, trace) : undefined,
  }
}
