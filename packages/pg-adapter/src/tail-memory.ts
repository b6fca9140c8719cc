import { isInSlots, type KeySlots } from '@tidemark/core/adapter'
import type { ClockReading } from './append-time.ts'
import { copyRows } from './copy-rows.ts'
import type { ReadAsText } from './page-columns.ts'

/** What a poll has brought along: all rows that were asked for, of a run of positions that its mark has passed. */
export interface BroughtRun {
  readonly incarnation: string
  /** The run begins after this position, and ends with `upTo`. */
  readonly after: bigint
  readonly upTo: bigint
  /** Whether events of every type came; else those of `types`. */
  readonly isOfEveryType: boolean
  readonly types: ReadonlySet<string>
  /** Of these slots alone; `undefined`: of every slot. */
  readonly slots: KeySlots | undefined
  /** By which rows say their slots. */
  readonly keyColumns: readonly string[]
  readonly rows: readonly BroughtRow[]
  readonly asText: ReadAsText
  readonly clock: ClockReading
  /** What came over the network. */
  readonly bytes: number
  readonly readAtMs: number
}

export interface BroughtRow {
  readonly position: bigint
  /** Those of the run's `types` that the row's type equals, as the server compares them. */
  readonly types: readonly string[]
  /** One for each of the run's `keyColumns`, as the server computes it. */
  readonly slots: readonly number[]
  readonly row: Record<string, unknown>
}

/** Rows of which a page is made. */
export interface PageRows {
  readonly rows: Record<string, unknown>[]
  readonly asText: ReadAsText
  readonly clock: ClockReading
  readonly bytes: number | undefined
}

interface CountedRows extends PageRows {
  readonly bytes: number
}

/** The rows of some runs, one after the other; they are all that there is up to `upTo`. */
export interface TakenRows {
  readonly parts: readonly PageRows[]
  readonly upTo: bigint
}

export interface TakeRequest {
  readonly after: bigint
  readonly upTo: bigint
  readonly limit: number
  /** Above it nothing is added. */
  readonly mostBytes: number
  readonly eventTypes: readonly string[] | undefined
  readonly slots: KeySlots | undefined
  readonly incarnation: string
}

/** A reader that is further behind reads for itself. An event that somebody mends meanwhile is not handed out as it was for long. */
const MOST_AGE_MS = 5_000
/** Of all runs but the newest. */
const MOST_BYTES = 2 * 2 ** 20
const MOST_RUNS = 32

/** What the newest polls have brought along, for all who read near the mark: each row is read once, however many want it. */
export class TailMemory {
  #runs: readonly BroughtRun[] = []

  add(run: BroughtRun): void {
    this.#runs = [...this.#runs, run]
    this.#forget(run.readAtMs)
  }

  /** What is kept of a page, which may end before the page does. `undefined`: not even its first position is. */
  take(request: TakeRequest, nowMs: number): TakenRows | undefined {
    this.#forget(nowMs)
    const parts: PageRows[] = []
    let end = request.after
    let count = 0
    let bytes = 0
    while (end < request.upTo && count < request.limit && bytes < request.mostBytes) {
      const run = this.#runAfter(end, request)
      if (run === undefined) break
      const part = this.#partOf(run, end, request)
      parts.push(part)
      count += part.rows.length
      bytes += part.bytes
      end = run.upTo
    }
    return end === request.after ? undefined : { parts, upTo: end }
  }

  #runAfter(after: bigint, { eventTypes, slots, incarnation }: TakeRequest): BroughtRun | undefined {
    return this.#runs.find(
      (run) =>
        run.incarnation === incarnation &&
        run.after <= after &&
        after < run.upTo &&
        (eventTypes === undefined ? run.isOfEveryType : eventTypes.every((type) => run.types.has(type))) &&
        hasSlots(run, slots),
    )
  }

  #partOf(
    run: BroughtRun,
    after: bigint,
    { eventTypes, slots }: Pick<TakeRequest, 'eventTypes' | 'slots'>,
  ): CountedRows {
    const { rows, asText, clock, bytes } = run
    const wanted = eventTypes === undefined ? undefined : new Set(eventTypes)
    const isOwn = isOfSlots(run, slots)
    const own = rows
      .filter(({ position }) => position > after)
      .filter(({ types }) => wanted === undefined || types.some((type) => wanted.has(type)))
      .filter(isOwn)
      .map(({ row }) => row)
    const copies = copyRows(own)
    // What cannot be copied is for one reader. The others read for themselves.
    if (copies === undefined) this.#runs = this.#runs.filter((other) => other !== run)
    const share = rows.length === 0 ? 0 : own.length / rows.length
    return { rows: copies ?? own, asText, clock, bytes: Math.ceil(bytes * share) }
  }

  #forget(nowMs: number): void {
    let bytes = 0
    const first = this.#runs.findLastIndex((run, index) => {
      const isNewest = index === this.#runs.length - 1
      bytes += isNewest ? 0 : run.bytes
      return bytes > MOST_BYTES || nowMs - run.readAtMs > MOST_AGE_MS
    })
    const from = Math.max(first + 1, this.#runs.length - MOST_RUNS)
    if (from > 0) this.#runs = this.#runs.slice(from)
  }
}

/** Whether it has all rows of these slots, and they say which they are. */
function hasSlots(
  { slots: brought, keyColumns }: Pick<BroughtRun, 'slots' | 'keyColumns'>,
  wanted: KeySlots | undefined,
): boolean {
  if (wanted === undefined) return brought === undefined
  if (brought === undefined) return keyColumns.includes(wanted.column)
  return brought.column === wanted.column && brought.from <= wanted.from && wanted.to <= brought.to
}

function isOfSlots(
  { keyColumns }: Pick<BroughtRun, 'keyColumns'>,
  wanted: KeySlots | undefined,
): (row: BroughtRow) => boolean {
  if (wanted === undefined) return () => true
  const nth = keyColumns.indexOf(wanted.column)
  return ({ slots }) => {
    const slot = slots[nth]
    return slot !== undefined && isInSlots(wanted, slot)
  }
}
