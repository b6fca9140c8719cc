import { appendedAtMs, appendedAtSql, type ClockReading } from './append-time.ts'
import { quoteIdentifier } from './identifiers.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'

type Options = Pick<
  ResolvedPostgresEventsOptions<unknown>,
  'appendedAt' | 'columns' | 'eventType' | 'position' | 'sql'
>
type Row = Record<string, unknown>

/** What of a row is asked for once more as text, for the adapter itself. */
export interface ReadAsText {
  readonly position: boolean
  readonly appendedAt: boolean
}

/** What the adapter itself reads of a page's rows. */
export interface OwnValues {
  readonly positions: readonly bigint[]
  /** `undefined` where the options name no column of times; one that is NULL or infinite is not known. */
  readonly appendTimesMs: readonly (number | undefined)[] | undefined
}

/**
 * The columns that the adapter reads for itself. As text they are the same whatever the pool's parsers make of their
 * types. But two columns more make a replay a tenth slower, so what the parsers make of them is used once a page has shown
 * that it says the same: a position as `string` or `bigint`, a time as `Date`.
 */
export class PageColumns {
  #asText: ReadAsText = { position: true, appendedAt: true }

  #names: readonly string[] | undefined

  /** The columns of the table that rows have, as the last of them has shown; `undefined` before. */
  get names(): readonly string[] | undefined {
    return this.#names
  }

  /** For one page: other pages on their way may change it. */
  get asText(): ReadAsText {
    return this.#asText
  }

  /**
   * Takes what was read as text off the rows again. `undefined` where a connection of the pool parses positions in another
   * way than the one before: the page is to be read again.
   */
  take(
    options: Options,
    rows: readonly Row[],
    asText: ReadAsText,
    clock: ClockReading,
  ): OwnValues | undefined {
    const positions = asText.position ? this.#positionsAsText(options, rows) : parsedPositions(options, rows)
    if (positions === undefined) {
      this.#asText = { ...this.#asText, position: true }
      return undefined
    }
    const appendTimesMs = this.#appendTimes(options, rows, asText, clock)
    const [row] = rows
    if (row !== undefined) this.#names = Object.keys(row)
    return { positions, appendTimesMs }
  }

  #positionsAsText({ position, sql }: Options, rows: readonly Row[]): readonly bigint[] {
    let isParsedAlike = rows.length > 0
    const positions = rows.map((row) => {
      const text = row[POSITION]
      if (typeof text !== 'string') {
        throw new TypeError(`${sql.table}.${sql.position} was read as text, and came as ${typeof text}`)
      }
      delete row[POSITION]
      const read = BigInt(text)
      isParsedAlike &&= row[position] === text || row[position] === read
      return read
    })
    if (isParsedAlike) this.#asText = { ...this.#asText, position: false }
    return positions
  }

  #appendTimes(
    { appendedAt }: Options,
    rows: readonly Row[],
    asText: ReadAsText,
    clock: ClockReading,
  ): OwnValues['appendTimesMs'] {
    if (appendedAt === undefined) return undefined
    let isShown = !asText.appendedAt
    let isParsedAlike = true
    const times = rows.map((row) => {
      const value = row[appendedAt.column]
      const parsed = parsedMs(value)
      const read = asText.appendedAt ? textMs(row[APPENDED_AT]) : parsed
      if (asText.appendedAt) delete row[APPENDED_AT]
      const isAlike = Math.abs(parsed - read) < 1
      isShown ||= isAlike
      isParsedAlike &&= isAlike || value === null
      return appendedAtMs(read, clock)
    })
    // A zone that only happens to be that of the process has another offset in another season.
    const isAsText = appendedAt.timeZone !== undefined || !isShown || !isParsedAlike
    this.#asText = { ...this.#asText, appendedAt: isAsText }
    return times
  }
}

function parsedPositions({ position }: Options, rows: readonly Row[]): readonly bigint[] | undefined {
  const positions: bigint[] = []
  for (const row of rows) {
    const value = row[position]
    if (typeof value !== 'string' && typeof value !== 'bigint') return undefined
    positions.push(BigInt(value))
  }
  return positions
}

function parsedMs(value: unknown): number {
  return value instanceof Date ? value.getTime() : Number.NaN
}

function textMs(value: unknown): number {
  return typeof value === 'string' ? Number(value) : Number.NaN
}

/** Columns that are taken off each row again, under names that no table has. */
const POSITION = 'tidemark: position'
const APPENDED_AT = 'tidemark: appended at (ms)'

/** The columns that are named, where not all are read. */
export function namedColumns({ appendedAt, columns, eventType, position }: Options): readonly string[] {
  const named = [position, ...(columns ?? []), eventType, appendedAt?.column]
  return [...new Set(named.filter((column) => column !== undefined))]
}

/** A row without what its options name would be empty where the user looks, and say nothing. */
export function pageColumnsSql(options: Options, asText: ReadAsText): string {
  const { appendedAt, columns, sql } = options
  const selected =
    columns === undefined ? ['e.*'] : namedColumns(options).map((column) => `e.${quoteIdentifier(column)}`)
  if (asText.position) selected.push(`e.${sql.position}::text as ${quoteIdentifier(POSITION)}`)
  if (asText.appendedAt && appendedAt !== undefined) {
    selected.push(`${appendedAtSql(appendedAt)} as ${quoteIdentifier(APPENDED_AT)}`)
  }
  return selected.join(', ')
}
