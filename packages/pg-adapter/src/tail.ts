import type { HighWaterReading, HighWaterRequest, LoadRequest, TailWish } from '@tidemark/core/adapter'
import type { ClockReading } from './append-time.ts'
import { quoteIdentifier } from './identifiers.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'
import { namedColumns, type PageColumns, pageColumnsSql, type ReadAsText } from './page-columns.ts'
import { wantedRowsSql } from './proof/event-rows.ts'
import type { ReadAlong } from './proof/poll-rows.ts'
import type { Bind, Statement } from './statement.ts'
import { FIRST_RANGE, positionsAbove, rangeAfterPoll } from './tail-range.ts'

type Options = ResolvedPostgresEventsOptions<unknown>
type Row = Record<string, unknown>

/** Each is one statement more in the message of a poll. */
const MOST_TAILS = 8
/**
 * Of one tail, as the server has stored it, so that no poll is large. Compressed values may be a hundred times as large: then it
 * is no more than a page may bring.
 */
const MOST_BYTES = 64 * 2 ** 10

/** A tail that goes with a poll. */
interface AskedTail {
  readonly wish: TailWish<bigint>
  readonly upTo: bigint
  readonly asText: ReadAsText
  readonly statement: Statement
}

/** Pages of one source that come along with its polls: for those who wait at the mark, the rows above it. */
export class Tails {
  readonly #columns: PageColumns
  #range = FIRST_RANGE

  constructor(columns: PageColumns) {
    this.#columns = columns
  }

  /**
   * What to send with a poll. Nothing where checkpoints are kept elsewhere: a page compares the incarnation when it is asked for, and
   * one that has come along was compared when it came. After a failover in between, which lost its events, no commit would notice.
   * Nothing before a page has shown which columns there are: what they bring is bounded by their sizes.
   */
  ask(options: Options, { previous, tails, sharesLog }: HighWaterRequest<bigint>): readonly AskedTail[] {
    const mark = previous?.mark
    const { names, asText } = this.#columns
    if (!sharesLog || tails === undefined || mark === undefined || names === undefined) return []
    const positions = positionsAbove(this.#range, mark)
    if (positions === undefined) return []
    const wishes = tails.filter(({ after }) => after === mark).slice(0, MOST_TAILS)
    const upTo = mark + positions
    return wishes.map((wish) => ({
      wish,
      upTo,
      asText,
      statement: tailStatement(options, { wish, upTo, asText, names }),
    }))
  }

  /** The reading, with what came along with its poll. */
  brought(
    asked: readonly AskedTail[],
    reading: HighWaterReading<bigint>,
    along: ReadAlong | undefined,
    after: bigint | undefined,
  ): HighWaterReading<bigint> {
    if (asked.length === 0 || after === undefined) return reading
    // Asked for, and not there: the poll was sent without.
    const rows = along?.rows ?? []
    const isUseless = along === undefined || rows.some(([row]) => Number(row?.[FOUND]) > 0)
    this.#range = rangeAfterPoll(this.#range, { after, mark: reading.mark, isUseless })
    if (along === undefined || reading.mark === undefined || reading.mark <= after) return reading
    const { incarnation } = reading
    const bytes = along.bytes === undefined ? undefined : Math.ceil(along.bytes / asked.length)
    const tails = new Map(
      asked.map((one, index) => [
        one.wish,
        new Tail({ ...one, incarnation, clock: along.clock, bytes }, rows[index] ?? []),
      ]),
    )
    return { ...reading, tails }
  }
}

/** What is known of the rows that came. */
interface Brought extends Omit<AskedTail, 'statement'> {
  readonly incarnation: string
  readonly clock: ClockReading
  readonly bytes: number | undefined
}

/** Rows of which a page is made. */
export interface PageRows {
  readonly rows: Row[]
  readonly asText: ReadAsText
  readonly clock: ClockReading
  readonly bytes: number | undefined
  /** They are all that there is up to here; `undefined`: up to the last of them. */
  readonly upTo: bigint | undefined
}

/** One tail. */
export class Tail {
  readonly #brought: Brought
  #rows: readonly Row[] | undefined

  constructor(brought: Brought, rows: readonly Row[]) {
    this.#brought = brought
    this.#rows = rows
  }

  /**
   * Its rows, if they are those of this page: once, since what makes events of them may change them. They may go beyond the page's
   * end. `undefined`: the page has to be read.
   */
  take({ after, eventTypes, evidence }: Partial<LoadRequest<bigint>>): PageRows | undefined {
    const { wish, incarnation, upTo, asText, clock, bytes } = this.#brought
    const isItsPage = wish.after === after && wish.eventTypes === eventTypes
    const all = this.#rows
    if (all === undefined || !isItsPage || evidence?.incarnation !== incarnation) return undefined
    this.#rows = undefined
    const found = Number(all[0]?.[FOUND])
    const rows = all.filter((row) => row[SIZE] !== null)
    for (const row of rows) {
      delete row[SIZE]
      delete row[FOUND]
    }
    const isWhole = rows.length === found
    // Not even the first of them was small enough.
    if (!isWhole && rows.length === 0) return undefined
    return { rows, asText, clock, bytes, upTo: isWhole ? upTo : undefined }
  }
}

/** Columns that are taken off each row again, under names that no table has. */
const SIZE = 'tidemark: size'
const FOUND = 'tidemark: found'

/**
 * The rows of a page up to `upTo`, as far as they are small enough together; and how many there are, in one row of NULLs if need
 * be. Events that share a position have one sum, and are never parted. What is asked of a row besides its position is asked of
 * those alone that the index has found (OFFSET 0), so that one plan serves all values. Values are measured as they are stored.
 */
function tailStatement(
  options: Options,
  {
    wish: { after, eventTypes },
    upTo,
    asText,
    names,
  }: Pick<AskedTail, 'wish' | 'upTo' | 'asText'> & { readonly names: readonly string[] },
): Statement {
  const { sql, columns, where } = options
  const read =
    columns === undefined
      ? 'r.*'
      : [...new Set([...namedColumns(options), ...Object.keys(where)])].map(quoteIdentifier).join(', ')
  const size = names.map((name) => `coalesce(pg_column_size(e.${quoteIdentifier(name)}), 0)`).join(' + ')
  const rows = (bind: Bind): string => `select ${pageColumnsSql(options, asText)},
        sum(${size}) over (order by e.${sql.position}) as ${quoteIdentifier(SIZE)}
      from (
        select ${read} from ${sql.table} r
        where r.${sql.position} > ${bind('bigint', `${after}`)} and r.${sql.position} <= ${bind('bigint', `${upTo}`)} offset 0
      ) e
      where true ${wantedRowsSql(options, eventTypes, bind)}`
  return (bind) => `with tail as materialized (${rows(bind)})
    select t.*, f.found as ${quoteIdentifier(FOUND)} from (select count(*)::text as found from tail) f
    left join tail t on t.${quoteIdentifier(SIZE)} <= ${MOST_BYTES} order by t.${sql.position}`
}
