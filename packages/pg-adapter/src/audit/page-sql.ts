import { appendInstantSql } from '../append-time.ts'
import { quoteIdentifier, quoteTexts } from '../identifiers.ts'
import type { CommittedRow } from './commit-order.ts'
import type { ResolvedAuditOptions } from './options.ts'

/** Why a row says nothing of when its event was committed. `one_transaction` is told by its neighbours. */
export type LeftOut =
  | 'placeholder'
  | 'other_transaction'
  | 'marked_rewritten'
  | 'far_from_event_time'
  | 'one_transaction'

/** As letters, in a page's answer. */
const REASONS: Readonly<Record<string, Exclude<LeftOut, 'one_transaction'>>> = {
  p: 'placeholder',
  o: 'other_transaction',
  m: 'marked_rewritten',
  f: 'far_from_event_time',
}

/** Small enough that a process that does other work too is not held up for long by one of them. */
export const PAGE_ROWS = 20_000

/** A transaction open for longer is rarer than a row that was rewritten. */
const LONGEST_TRANSACTION = "interval '1 hour'"

type Options = Pick<ResolvedAuditOptions, 'events' | 'insertedBy' | 'rewritten'>

/**
 * The rows below a position, the highest first, packed into one text: ten million rows as rows would take twice as long.
 * Each page is a statement of its own. So nothing is held open meanwhile that other readers would wait for, and a pooler may
 * send each over another connection. What is committed meanwhile is looked at with the time that it was committed at.
 */
export function pageSql(options: Options, below: bigint | undefined, hasTimestamps: boolean): string {
  const { table, position } = options.events.sql
  return `
    select string_agg(
      concat_ws(' ', at_position, xid, coalesce((date_part('epoch', committed_at) * 1000000)::bigint, 0),
        case when left_out is not null then left_out ${farSql(options)} end),
      ',' order by at_position desc) as rows
    from (
      select e.${position} as at_position, e.xmin::text as xid,
        ${hasTimestamps ? 'pg_xact_commit_timestamp(e.xmin)' : 'null::timestamptz'} as committed_at,
        ${eventTimeSql(options)} as event_time,
        ${leftOutSql(options)} as left_out
      from ${table} e
      where e.${position} ${below === undefined ? 'is not null' : `< ${below}`}
      order by e.${position} desc fetch first ${PAGE_ROWS} rows with ties
    ) page`
}

function eventTimeSql({ events: { appendedAt } }: Options): string {
  return appendedAt === undefined ? 'null::timestamptz' : appendInstantSql(appendedAt)
}

function farSql({ events: { appendedAt } }: Options): string {
  if (appendedAt === undefined) return ''
  return `when event_time is null or committed_at > event_time + ${LONGEST_TRANSACTION} then 'f'`
}

function leftOutSql({ events, insertedBy, rewritten }: Options): string {
  const cases: string[] = []
  if (events.eventType !== undefined) {
    const type = `e.${quoteIdentifier(events.eventType)}::text`
    cases.push(`when ${type} = any (${quoteTexts(events.placeholderTypes)}) then 'p'`)
  }
  if (insertedBy !== undefined) {
    // `xmin` has the lower 32 bits alone.
    const inserted = `(e.${quoteIdentifier(insertedBy)}::text::bigint & 4294967295)`
    cases.push(`when ${inserted} is distinct from e.xmin::text::bigint then 'o'`)
  }
  // On lines of its own, in case that it ends in a comment.
  if (rewritten !== undefined) cases.push(`when (\n${rewritten}\n) then 'm'`)
  return cases.length === 0 ? 'null' : `case ${cases.join(' ')} end`
}

/** The ids of transactions in 64 bits. `xmin` has 32, which come round. */
export interface TransactionIds {
  /** The next one that the server will hand out. */
  readonly next: number
}

export interface PageRow extends CommittedRow {
  readonly leftOut: LeftOut | undefined
}

/** Ids below are those of initdb and of very old versions. */
const FIRST_NORMAL = 3
/** A row may be older than all ids that 32 bits can tell apart; one with a commit timestamp is not. */
const HALF_ROUND = 2 ** 31

export function parsePage(rows: unknown, { next }: TransactionIds): readonly PageRow[] {
  if (typeof rows !== 'string' || rows === '') return []
  const isFirstRound = next < HALF_ROUND
  return rows.split(',').map((row) => {
    const [position = '', xid = '', us = '', reason] = row.split(' ')
    const low = Number(xid)
    const committedAtUs = us === '0' ? undefined : Number(us)
    const isKnown = low >= FIRST_NORMAL && (isFirstRound || committedAtUs !== undefined)
    return {
      position,
      // The difference, within half a round either way.
      transaction: isKnown ? next + ((low - next) | 0) : undefined,
      committedAtUs,
      leftOut: reason === undefined ? undefined : REASONS[reason],
    }
  })
}
