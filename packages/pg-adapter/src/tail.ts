import type {
  HighWaterReading,
  HighWaterRequest,
  KeySlots,
  LoadRequest,
  TailWish,
} from '@tidemark/core/adapter'
import { quoteIdentifier, quoteTexts } from './identifiers.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'
import { namedColumns, type PageColumns, pageColumnsSql, type ReadAsText } from './page-columns.ts'
import { wantedRowsSql } from './proof/event-rows.ts'
import { slotSql } from './proof/key-slots.ts'
import type { ReadAlong } from './proof/poll-rows.ts'
import type { Bind, Statement } from './statement.ts'
import { type BroughtRow, TailMemory, type TakenRows } from './tail-memory.ts'
import { FIRST_RANGE, positionsAbove, rangeAfterPoll } from './tail-range.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/**
 * Of one poll, as the server has stored it, so that no poll is large. Compressed values may be a hundred times as large: then it
 * is no more than a page may bring.
 */
const MOST_BYTES = 64 * 2 ** 10

/** Who is further behind reads for itself. */
const NEAR_MS = 3_000

/** A page, as far as it matters whether it has come along. */
type Asked = Pick<
  LoadRequest<bigint>,
  'after' | 'upTo' | 'limit' | 'mostBytes' | 'eventTypes' | 'slots' | 'mayComeAlong'
> &
  Partial<Pick<LoadRequest<bigint>, 'evidence'>>

/** The rows above the mark that go with a poll, for all who read near it. */
interface AskedTail {
  readonly after: bigint
  readonly upTo: bigint
  readonly isOfEveryType: boolean
  /** All that some of them name. */
  readonly types: readonly string[]
  /** A range that has all slots that they name; `undefined`: some want events of every slot, or by another column. */
  readonly slots: KeySlots | undefined
  /** All by which some of them name slots. */
  readonly keyColumns: readonly string[]
  readonly asText: ReadAsText
}

/** What comes along with the polls of one source. */
export class Tails {
  readonly #columns: PageColumns
  readonly #memory = new TailMemory()
  #range = FIRST_RANGE
  /** At which the newest polls began. */
  #marks: readonly { readonly mark: bigint; readonly atMs: number }[] = []

  constructor(columns: PageColumns) {
    this.#columns = columns
  }

  /**
   * What to send with a poll. Nothing where checkpoints are kept elsewhere: a page compares the incarnation when it is asked for, and
   * one that has come along was compared when it came. After a failover in between, which lost its events, no commit would notice.
   * Nothing before a page has shown which columns there are: what they bring is bounded by their sizes.
   */
  ask(
    options: Options,
    { previous, tails, sharesLog }: HighWaterRequest<bigint>,
  ): { readonly asked: AskedTail; readonly statement: Statement } | undefined {
    const mark = previous?.mark
    const { names, asText } = this.#columns
    if (!sharesLog || tails === undefined || mark === undefined || names === undefined) return undefined
    const nearFrom = this.#nearFrom(mark, performance.now())
    const near = tails.filter(({ after }) => after >= nearFrom)
    const positions = positionsAbove(this.#range, mark, near.length)
    if (near.length === 0 || positions === undefined) return undefined
    const asked = {
      after: mark,
      upTo: mark + positions,
      isOfEveryType: near.some(({ eventTypes }) => eventTypes === undefined),
      types: [...new Set(near.flatMap(({ eventTypes }) => eventTypes ?? []))].toSorted(),
      slots: slotsOfAll(near),
      keyColumns: [...new Set(near.flatMap(({ slots }) => slots?.column ?? []))].toSorted(),
      asText,
    }
    return { asked, statement: tailStatement(options, asked, names) }
  }

  /** Who has handled what there was a moment ago will soon ask for what has come since. */
  #nearFrom(mark: bigint, nowMs: number): bigint {
    const late = this.#marks.filter((one) => one.mark !== mark && nowMs - one.atMs < NEAR_MS)
    this.#marks = [...late, { mark, atMs: nowMs }]
    return this.#marks[0]?.mark ?? mark
  }

  /** Keeps what came along with a poll, up to its mark. */
  keep(
    { after, upTo, isOfEveryType, types, slots, keyColumns, asText }: AskedTail,
    { mark, incarnation }: HighWaterReading<bigint>,
    along: ReadAlong | undefined,
  ): void {
    // Asked for, and not there: the poll was sent without.
    const all = along?.rows[0] ?? []
    const found = Number(all[0]?.[FOUND] ?? 0)
    this.#range = rangeAfterPoll(this.#range, {
      after,
      mark,
      isUseless: along === undefined || found > 0,
    })
    if (along === undefined || mark === undefined || mark <= after) return
    const rows = all.filter((row) => row[SIZE] !== null).map((row) => taken(row, types))
    const last = rows.at(-1)?.position
    // Not all of them were small enough together.
    const isCut = rows.length < found
    const end = isCut ? (last ?? after) : upTo
    const runEnd = end < mark ? end : mark
    if (runEnd <= after) return
    const { clock, bytes = 0 } = along
    this.#memory.add({
      ...{ incarnation, after, isOfEveryType, slots, keyColumns, asText, clock, bytes },
      upTo: runEnd,
      types: new Set(types),
      rows: rows.filter(({ position }) => position <= runEnd),
      readAtMs: performance.now(),
    })
  }

  /** The rows of a page that have come along, if they begin where the page does. */
  take(request: Asked): TakenRows | undefined {
    const { after, upTo, limit, mostBytes = Number.POSITIVE_INFINITY, eventTypes, slots, evidence } = request
    if (request.mayComeAlong !== true || after === undefined || evidence === undefined) return undefined
    const { incarnation } = evidence
    const asked = { after, upTo, limit, mostBytes, eventTypes, slots, incarnation }
    return this.#memory.take(asked, performance.now())
  }
}

/** So that a process that has few of the shards is brought no events of the others. Pure. */
function slotsOfAll(wishes: readonly Pick<TailWish<bigint>, 'slots'>[]): KeySlots | undefined {
  const ranges = wishes.flatMap(({ slots }) => slots ?? [])
  const [first] = ranges
  if (first === undefined || ranges.length < wishes.length) return undefined
  if (ranges.some(({ column }) => column !== first.column)) return undefined
  return {
    column: first.column,
    from: Math.min(...ranges.map(({ from }) => from)),
    to: Math.max(...ranges.map(({ to }) => to)),
  }
}

/** Takes off a row what it says for the adapter alone. */
function taken(row: Record<string, unknown>, types: readonly string[]): BroughtRow {
  const position = BigInt(String(row[AT]))
  const ofTypes = listed(row[OF_TYPES])
  const slots = listed(row[SLOTS]).map(Number)
  for (const column of [SIZE, FOUND, AT, OF_TYPES, SLOTS]) delete row[column]
  return { position, types: ofTypes.flatMap((nth) => types[Number(nth) - 1] ?? []), slots, row }
}

/** Throws where a parser of the pool has made something else of a text: a row that says nothing would be handed to nobody. */
function listed(list: unknown): readonly string[] {
  if (list === undefined || list === null) return []
  if (typeof list !== 'string') throw new TypeError(`a list was read as text, and came as ${typeof list}`)
  return list.split(',')
}

/** Columns that are taken off each row again, under names that no table has. */
const SIZE = 'tidemark: size'
const FOUND = 'tidemark: found'
const AT = 'tidemark: at'
const OF_TYPES = 'tidemark: of types'
const SLOTS = 'tidemark: slots'

/**
 * The rows of a run of positions, as far as they are small enough together; and how many there are, in one row of NULLs if need
 * be. Events that share a position have one sum, and are never parted. What is asked of a row besides its position is asked of
 * those alone that the index has found (OFFSET 0), so that one plan serves all values. Values are measured as they are stored.
 * Whose row it is by its type is said by the server, since its collation decides what is equal; and so are its slots, by the
 * expression that a page selects by.
 */
function tailStatement(options: Options, asked: AskedTail, names: readonly string[]): Statement {
  const { after, upTo, isOfEveryType, types, slots, keyColumns, asText } = asked
  const { sql, columns, where, eventType } = options
  const read =
    columns === undefined
      ? 'r.*'
      : [...new Set([...namedColumns(options), ...Object.keys(where), ...keyColumns])]
          .map(quoteIdentifier)
          .join(', ')
  const size = names.map((name) => `coalesce(pg_column_size(e.${quoteIdentifier(name)}), 0)`).join(' + ')
  const ofTypes = (bind: Bind): string =>
    eventType === undefined || types.length === 0
      ? ''
      : `, (select string_agg(w.nth::text, ',') from unnest(${bind('text[]', quoteTexts(types))}) with ordinality w (type, nth)
          where e.${quoteIdentifier(eventType)}::text = w.type) as ${quoteIdentifier(OF_TYPES)}`
  const ofSlots =
    keyColumns.length === 0
      ? ''
      : `, concat_ws(',', ${keyColumns.map((column) => slotSql(`e.${quoteIdentifier(column)}`)).join(', ')}) as ${quoteIdentifier(SLOTS)}`
  const rows = (bind: Bind): string => `select ${pageColumnsSql(options, asText)},
        e.${sql.position}::text as ${quoteIdentifier(AT)}${ofTypes(bind)}${ofSlots},
        sum(${size}) over (order by e.${sql.position}) as ${quoteIdentifier(SIZE)}
      from (
        select ${read} from ${sql.table} r
        where r.${sql.position} > ${bind('bigint', `${after}`)} and r.${sql.position} <= ${bind('bigint', `${upTo}`)} offset 0
      ) e
      where true ${wantedRowsSql(options, { eventTypes: isOfEveryType ? undefined : types, slots }, bind)}`
  return (bind) => `with tail as materialized (${rows(bind)})
    select t.*, f.found as ${quoteIdentifier(FOUND)} from (select count(*)::text as found from tail) f
    left join tail t on t.${quoteIdentifier(SIZE)} <= ${MOST_BYTES} order by t.${sql.position}`
}
