import {
  denseOrder,
  type Gap,
  type LateEvent,
  LateEventsError,
  MOST_WATCHED_RUNS,
  passedLateEvents,
  type StoredProgress,
} from '@tidemark/core/adapter'
import { quoteIdentifier } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import type { Statement } from '../statement.ts'
import { eventRowsSql } from './event-rows.ts'
import type { Inspection } from './inspection.ts'

type Options = Pick<
  ResolvedPostgresEventsOptions<unknown>,
  'eventType' | 'placeholderTypes' | 'sql' | 'where'
>

const LEAST_RUNS = 10

/**
 * The newest runs. Fewer where there are partitions: a look at one run descends the index of each of them, unless they are
 * parted by the position.
 */
export function newestRuns(
  watched: readonly Gap<bigint>[],
  { relations }: Pick<Inspection, 'relations'>,
): readonly Gap<bigint>[] {
  return watched.slice(-Math.max(LEAST_RUNS, Math.floor(MOST_WATCHED_RUNS / relations.length)))
}

/** A look at 100 runs makes a poll half as long again. With some 100 polls a second that would delay the mark. */
const LOOK_EVERY_MS = 100
/** So few that none is given up for newer ones before it was looked at. */
const MOST_NEW_RUNS = LEAST_RUNS / 2

/** When the watched runs were last looked at, and how many have come since. */
export interface Look {
  readonly atMs: number
  readonly newRuns: number
}

/** Long ago: the next poll looks. */
export const NO_LOOK: Look = { atMs: Number.NEGATIVE_INFINITY, newRuns: 0 }

export function isLookDue({ atMs, newRuns }: Look, nowMs: number): boolean {
  return nowMs - atMs >= LOOK_EVERY_MS || newRuns >= MOST_NEW_RUNS
}

/** Of one run, enough to tell what happens. */
const MOST_OF_ONE_RUN = 100

/**
 * The events that are visible now in runs of positions that were proven empty, as JSON: one look into the index for each
 * run, in a statement that travels with a poll.
 */
export function lateEvents(
  options: Options,
  watched: readonly Gap<bigint>[],
  mostOfOneRun: number = MOST_OF_ONE_RUN,
): Statement {
  const { table, position } = options.sql
  const numbers = (of: (run: Gap<bigint>) => bigint): string =>
    `array[${watched.map(of).join(', ')}]::bigint[]`
  const firsts = numbers(({ from }) => from)
  const lasts = numbers(({ to }) => to)
  const type = options.eventType === undefined ? 'null' : `e.${quoteIdentifier(options.eventType)}::text`
  return (
    bind,
  ) => `select coalesce(json_agg(json_build_object('position', late.position::text, 'type', late.type)
      order by late.position), '[]')::text as late
    from unnest(${bind('bigint[]', firsts)}, ${bind('bigint[]', lasts)}) as run (first, last)
    cross join lateral (
      select e.${position} as position, ${type} as type from ${table} e
      where e.${position} between run.first and run.last ${eventRowsSql(options)}
      order by e.${position} limit ${mostOfOneRun}
    ) late`
}

export function parseLateEvents(json: unknown): readonly LateEvent[] {
  if (typeof json !== 'string') return []
  const found = JSON.parse(json) as { position: string; type: string | null }[]
  return found.map(({ position, type }) => ({ position, type: type ?? undefined }))
}

/** `progress` says which projections have passed them. */
export function lateEventsError(
  source: string,
  options: Options,
  late: readonly LateEvent[],
  progress: readonly StoredProgress<bigint>[],
): LateEventsError {
  const positions = late.map(({ position }) => BigInt(position))
  return new LateEventsError(
    source,
    late,
    passedLateEvents(denseOrder, progress, positions),
    `${why(options)} ${WHAT_TO_DO}${options.eventType === undefined ? TYPE_UNKNOWN : ''}`,
  )
}

const why = ({ sql: { table, position } }: Options): string =>
  'When the mark passed these positions, no transaction was open that could still fill them. So some writer takes the ' +
  `number of ${table}.${position} outside the transaction that inserts it (Marten in append mode Rich, an allocator of ` +
  'number blocks), writes positions by hand, or attaches a partition that has them. While that goes on more events are lost, and not all of them are seen.'

const WHAT_TO_DO =
  'Nothing is projected until this process is started again. First let every writer take its numbers in the ' +
  'transaction that inserts them (Marten: append mode Quick). Then see to the projections named here: with the daemon ' +
  'stopped, delete the checkpoint to project anew, or give each by hand the events that it has missed. Then start again. If the ' +
  "writers cannot be changed, nothing can be proven here: set numbers: 'taken-ahead', so that an event that is passed too early is " +
  'counted, and found as a late event.'

const TYPE_UNKNOWN =
  ' If these rows are placeholders, written on purpose to fill the numbers of failed appends, name the column of the ' +
  'type in the option eventType, so that placeholderTypes can tell them.'
