import type { Gap, Look, LookRequest, VisibleEvent } from '@tidemark/core/adapter'
import { quoteIdentifier } from './identifiers.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'
import { eventRowsSql } from './proof/event-rows.ts'
import type { PollMemory } from './proof/poll-memory.ts'
import { readProvenRows } from './proof/proven-rows.ts'
import type { KnownBackends } from './server/backends.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/** Positions above the last look that one look goes through, and events that it reads there. */
const NEW_POSITIONS = 20_000n
const MOST_NEW = 2_000
/** Events that it reads in one run, and in all of them. */
const MOST_OF_ONE_RUN = 1_000
const MOST_APPEARED = 5_000
/** Without an index: positions on both sides of the last look, and events that it reads there. */
const SCANNED_POSITIONS = 5_000n
const MOST_SCANNED = 20_000

/**
 * What is visible, in one statement on a backend of the poll's incarnation. With an index this is one descent for each run, and
 * a range; without one it is a single scan of the table, in which runs that lie far below are left out.
 */
export async function lookAt(options: Options, backends: KnownBackends, request: LookRequest): Promise<Look> {
  const { reading, runs, above, signal } = request
  const read = async (sql: string): Promise<readonly VisibleEvent[]> => {
    const { rows } = await readProvenRows(options, backends, reading.incarnation, sql, signal)
    return rows
      .map(toEvent)
      .toSorted((a, b) => (a.position < b.position ? -1 : a.position > b.position ? 1 : 0))
  }
  const { inspection } = reading.memory as PollMemory
  return inspection.hasIndex
    ? byIndex(request, await read(byIndexSql(options, runs, above)))
    : byScan(request, await read(byScanSql(options, scannedFrom(request), above)))
}

/** Both parts with a limit of their own; what is at or below `above` is of the runs. */
function byIndexSql(options: Options, runs: readonly Gap<bigint>[], above: bigint): string {
  const numbers = (of: (run: Gap<bigint>) => bigint): string => `array[${runs.map(of).join(', ')}]::bigint[]`
  const { position } = options.sql
  const fresh = `select ${columnsSql(options)} from ${options.sql.table} e
    where e.${position} > ${above} and e.${position} <= ${above + NEW_POSITIONS} ${eventRowsSql(options)}
    order by e.${position} limit ${MOST_NEW}`
  if (runs.length === 0) return fresh
  return `(select late.* from unnest(${numbers(({ from }) => from)}, ${numbers(({ to }) => to)}) as run (first, last)
      cross join lateral (
        select ${columnsSql(options)} from ${options.sql.table} e
        where e.${position} between run.first and run.last ${eventRowsSql(options)}
        order by e.${position} limit ${MOST_OF_ONE_RUN}
      ) late
      order by run.first, late.position::bigint limit ${MOST_APPEARED})
    union all (${fresh})`
}

function byIndex({ runs, above, reading }: LookRequest, rows: readonly VisibleEvent[]): Look {
  const visible = positionsAbove(above, rows)
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
  return { appeared, unseen, visible, through: throughOf(visible, above, isFull, reading.head) }
}

/** Runs below are not looked at: the rows in between would have to be sorted. */
function scannedFrom({ runs, above }: LookRequest): bigint {
  const lowest = runs[0]?.from ?? above + 1n
  return lowest < above - SCANNED_POSITIONS ? above - SCANNED_POSITIONS : lowest
}

function byScanSql(options: Options, from: bigint, above: bigint): string {
  const { table, position } = options.sql
  return `select ${columnsSql(options)} from ${table} e
    where e.${position} >= ${from} and e.${position} <= ${above + SCANNED_POSITIONS} ${eventRowsSql(options)}
    order by e.${position} limit ${MOST_SCANNED}`
}

function byScan(request: LookRequest, rows: readonly VisibleEvent[]): Look {
  const { runs, above, reading } = request
  const from = scannedFrom(request)
  const isFull = rows.length >= MOST_SCANNED
  const last = isFull ? rows.at(-1)?.position : undefined
  const visible = positionsAbove(above, rows)
  return {
    appeared: within(runs, rows),
    unseen: runs.flatMap((run) => [
      ...(run.from < from ? [{ from: run.from, to: run.to < from ? run.to : from - 1n }] : []),
      ...(last === undefined ? [] : restOf(run, last)),
    ]),
    visible,
    through: throughOf(visible, above, isFull, reading.head, SCANNED_POSITIONS),
  }
}

/** Both the lowest first. */
function within(runs: readonly Gap<bigint>[], rows: readonly VisibleEvent[]): readonly VisibleEvent[] {
  let next = 0
  return rows.filter(({ position }) => {
    while ((runs[next]?.to ?? position) < position) next++
    const run = runs[next]
    return run !== undefined && run.from <= position
  })
}

/** The part of a run above a position. */
function restOf({ from, to }: Gap<bigint>, position: bigint): readonly Gap<bigint>[] {
  const first = position < from ? from : position + 1n
  return first <= to ? [{ from: first, to }] : []
}

function positionsAbove(above: bigint, rows: readonly VisibleEvent[]): readonly bigint[] {
  return rows.flatMap(({ position }) => (position > above ? [position] : []))
}

/** Numbers above the head may not have been handed out: what is not visible there is not missing. */
function throughOf(
  visible: readonly bigint[],
  above: bigint,
  isFull: boolean,
  head: bigint | undefined,
  range: bigint = NEW_POSITIONS,
): bigint {
  const last = visible.at(-1) ?? above
  if (isFull || head === undefined || head <= last) return last
  const end = above + range
  return head < end ? head : end
}

function columnsSql({ sql, eventType, watched }: Options): string {
  const type = eventType === undefined ? 'null' : `e.${quoteIdentifier(eventType)}`
  const transaction =
    watched?.transaction === undefined ? 'null' : `e.${quoteIdentifier(watched.transaction)}`
  return `e.${sql.position}::text as position, ${type}::text as type, ${transaction}::text as transaction`
}

function toEvent({ position, type, transaction }: Readonly<Record<string, unknown>>): VisibleEvent {
  return {
    position: BigInt(String(position)),
    type: typeof type === 'string' ? type : undefined,
    transaction: typeof transaction === 'string' ? BigInt(transaction) : undefined,
  }
}
