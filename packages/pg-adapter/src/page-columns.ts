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
  readonly appendedAtMs: { readonly first: number; readonly last: number } | undefined
}

/**
 * The columns that the adapter reads for itself. As text they are the same whatever the pool's parsers make of their
 * types. But two columns more make a replay a tenth slower, so what the parsers make of them is used once a page has shown
 * that it says the same: a position as `string` or `bigint`, a time as `Date`.
 */
export class PageColumns {
  #asText: ReadAsText = { position: true, appendedAt: true }

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
    return { positions, appendedAtMs: this.#appendTimes(options, rows, asText, clock) }
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
  ): OwnValues['appendedAtMs'] {
    const [firstRow, lastRow] = [rows[0], rows.at(-1)]
    if (appendedAt === undefined || firstRow === undefined || lastRow === undefined) return undefined
    const ends = [firstRow, lastRow]
    const parsed = ends.map((row) => parsedMs(row[appendedAt.column]))
    let read = parsed
    if (asText.appendedAt) {
      read = ends.map((row) => (typeof row[APPENDED_AT] === 'string' ? Number(row[APPENDED_AT]) : Number.NaN))
      for (const row of rows) delete row[APPENDED_AT]
    }
    // A zone that only happens to be that of the process has another offset in another season.
    const isParsedAlike =
      appendedAt.timeZone === undefined &&
      parsed.every((ms, end) => Math.abs(ms - (read[end] ?? Number.NaN)) < 1)
    this.#asText = { ...this.#asText, appendedAt: !isParsedAlike }
    const [first, last] = read.map((ms) => appendedAtMs(ms, clock))
    return first === undefined || last === undefined ? undefined : { first, last }
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

/** Columns that are taken off each row again, under names that no table has. */
const POSITION = 'tidemark: position'
const APPENDED_AT = 'tidemark: appended at (ms)'

/** A row without what its options name would be empty where the user looks, and say nothing. */
export function pageColumnsSql(options: Options, asText: ReadAsText): string {
  const { appendedAt, columns, eventType, position, sql } = options
  const named = [position, ...(columns ?? []), eventType, appendedAt?.column].filter(
    (column) => column !== undefined,
  )
  const selected =
    columns === undefined ? ['e.*'] : [...new Set(named)].map((column) => `e.${quoteIdentifier(column)}`)
  if (asText.position) selected.push(`e.${sql.position}::text as ${quoteIdentifier(POSITION)}`)
  if (asText.appendedAt && appendedAt !== undefined) {
    selected.push(`${appendedAtSql(appendedAt)} as ${quoteIdentifier(APPENDED_AT)}`)
  }
  return selected.join(', ')
}
