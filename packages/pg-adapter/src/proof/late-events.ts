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
import type { Bind, Statement } from '../statement.ts'
import { eventRowsSql } from './event-rows.ts'
import type { Inspection } from './inspection.ts'
import { boundsSql, isInRunsSql } from './runs-sql.ts'

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
/** With more relations than these, less often: to look into each of them takes that much longer. */
const RELATIONS_LOOKED_AT_SO_OFTEN = 100
/** So few that none is given up for newer ones before it was looked at. */
const MOST_NEW_RUNS = LEAST_RUNS / 2

/** When the watched runs were last looked at, and how many have come since. */
export interface Look {
  readonly atMs: number
  readonly newRuns: number
}

/** Long ago: the next poll looks. */
export const NO_LOOK: Look = { atMs: Number.NEGATIVE_INFINITY, newRuns: 0 }

export function isLookDue(
  { atMs, newRuns }: Look,
  nowMs: number,
  { relations }: { readonly relations: Pick<Inspection['relations'], 'length'> },
): boolean {
  const everyMs = LOOK_EVERY_MS * Math.max(1, relations.length / RELATIONS_LOOKED_AT_SO_OFTEN)
  return nowMs - atMs >= everyMs || newRuns >= MOST_NEW_RUNS
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
  return asJson(ofEach(watched, (first, last) => visibleBetween(options, first, last, mostOfOneRun, '')))
}

/** In the time of a descent of an index to a position, so many rows behind it are read at least. */
const ROWS_OF_A_DESCENT = 10n

/**
 * The same for a poll. Where there are partitions, a look may descend the index of each. So runs that are close to each other
 * are looked at together, and what is between them is left out of what was found. And the bounds of all tell PostgreSQL before it
 * plans which partitions there is nothing to look for in, where they are parted by the position.
 */
export function lookAgain(
  options: Options,
  watched: readonly Gap<bigint>[],
  { relations, mayBeReadInPart }: Pick<Inspection, 'relations' | 'mayBeReadInPart'>,
): Statement {
  const lowest = watched[0]?.from
  const highest = watched.at(-1)?.to
  if (relations.length === 1 || lowest === undefined || highest === undefined) {
    return lateEvents(options, watched)
  }
  const together: Gap<bigint>[] = []
  for (const run of watched) {
    const last = together.at(-1)
    if (last !== undefined && run.from - last.to <= ROWS_OF_A_DESCENT * BigInt(relations.length)) {
      together[together.length - 1] = { from: last.from, to: run.to }
    } else together.push(run)
  }
  const { position } = options.sql
  const between = (first: string, last: string, andAlso: string): string =>
    visibleBetween(options, first, last, MOST_OF_ONE_RUN, andAlso)
  const bounds = (bind: Bind): [string, string] => [bind('bigint', `${lowest}`), bind('bigint', `${highest}`)]
  const isInRun: Statement = (bind) => `and ${isInRunsSql(`e.${position}`, watched, bind)}`
  if (together.length === 1) return asJson((bind) => `${between(...bounds(bind), isInRun(bind))} late`)
  if (!mayBeReadInPart) {
    return asJson((bind) => ofEach(together, (first, last) => between(first, last, isInRun(bind)))(bind))
  }
  return asJson((bind) => {
    const isWithin = `and e.${position} between ${bounds(bind).join(' and ')}`
    return ofEach(watched, (first, last) => between(first, last, isWithin))(bind)
  })
}

function asJson(from: Statement): Statement {
  return (
    bind,
  ) => `select coalesce(json_agg(json_build_object('position', late.position::text, 'type', late.type)
      order by late.position), '[]')::text as late
    from ${from(bind)}`
}

function ofEach(runs: readonly Gap<bigint>[], visible: (first: string, last: string) => string): Statement {
  return (
    bind,
  ) => `unnest(${boundsSql(runs, 'from', bind)}, ${boundsSql(runs, 'to', bind)}) as run (first, last)
    cross join lateral ${visible('run.first', 'run.last')} late`
}

function visibleBetween(
  options: Options,
  first: string,
  last: string,
  most: number,
  andAlso: string,
): string {
  const { table, position } = options.sql
  const type = options.eventType === undefined ? 'null' : `e.${quoteIdentifier(options.eventType)}::text`
  return `(
      select e.${position} as position, ${type} as type from ${table} e
      where e.${position} between ${first} and ${last} ${andAlso} ${eventRowsSql(options)}
      order by e.${position} limit ${most}
    )`
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
