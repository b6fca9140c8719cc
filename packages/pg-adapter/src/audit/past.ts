import { withConnection } from '../client.ts'
import { transact } from '../transaction.ts'
import { CommitOrder, type CommittedRow } from './commit-order.ts'
import { InversionCounts, type Inversions } from './inversions.ts'
import { LONG_RUN, LongRuns } from './long-runs.ts'
import type { ResolvedAuditOptions } from './options.ts'
import { type LeftOut, PAGE_ROWS, type PageRow, pageSql, parsePage } from './page-sql.ts'
import type { Standing } from './standing.ts'

/** For a reader that reads behind `xmin` and keeps a position. */
export interface BehindXmin {
  /** Of how many events the transaction is known. */
  readonly events: number
  /**
   * Events below which an older transaction has a higher position. Such a reader loses one if it looks while the older
   * transaction is below `xmin` and the event's own is not: an upper bound.
   */
  readonly atRisk: number
  /**
   * Those of them that were still open when the older transaction was committed. Such a look was possible for at least that
   * time, unless a third transaction older than both was open too. `undefined`: the server keeps no commit timestamps.
   */
  readonly wereOpen: number | undefined
}

/** What the rows of the table say. */
export interface Past {
  /** All that were read. */
  readonly rows: number
  readonly firstPosition: bigint | undefined
  readonly lastPosition: bigint | undefined
  readonly leftOut: Readonly<Record<LeftOut, number>>
  /** Rows whose transactions the server has no timestamp of: older than the setting, or dropped by vacuum. */
  readonly withoutTimestamp: number
  readonly inversions: Inversions
  readonly behindXmin: BehindXmin
}

/** Adds up rows, in descending order of their positions. */
export class PastCounts {
  readonly #order = new CommitOrder()
  readonly #inversions: InversionCounts
  readonly #runs: LongRuns
  readonly #leftOut = {
    placeholder: 0,
    other_transaction: 0,
    marked_rewritten: 0,
    far_from_event_time: 0,
    one_transaction: 0,
  }
  #withoutTimestamp = 0
  readonly #behindXmin = { events: 0, atRisk: 0, wereOpen: 0 }
  readonly #hasTimestamps: boolean
  readonly #hasEventTimes: boolean
  rows = 0
  #first: string | undefined
  #last: string | undefined

  constructor({
    waitsMs,
    hasTimestamps,
    hasEventTimes,
    longRun = LONG_RUN,
  }: {
    readonly waitsMs: readonly number[]
    readonly hasTimestamps: boolean
    readonly hasEventTimes: boolean
    readonly longRun?: number
  }) {
    this.#inversions = new InversionCounts(waitsMs)
    this.#runs = new LongRuns(longRun, (row) => this.#compare(row))
    this.#hasTimestamps = hasTimestamps
    this.#hasEventTimes = hasEventTimes
  }

  add(row: PageRow): void {
    this.rows++
    this.#last ??= row.position
    this.#first = row.position
    if (row.leftOut !== undefined) {
      this.#leftOut[row.leftOut]++
      return
    }
    // That it was committed soon after its time says more than its neighbours.
    if (this.#hasEventTimes && row.committedAtUs !== undefined) {
      this.#runs.end()
      this.#compare(row)
    } else this.#runs.next(row)
  }

  /** Of the positions so far; `undefined` before the first row. */
  get range(): { readonly highest: bigint; readonly lowest: bigint } | undefined {
    if (this.#last === undefined || this.#first === undefined) return undefined
    return { highest: BigInt(this.#last), lowest: BigInt(this.#first) }
  }

  result(): Past {
    this.#runs.end()
    return {
      rows: this.rows,
      firstPosition: this.#first === undefined ? undefined : BigInt(this.#first),
      lastPosition: this.#last === undefined ? undefined : BigInt(this.#last),
      leftOut: { ...this.#leftOut, one_transaction: this.#runs.leftOut },
      withoutTimestamp: this.#withoutTimestamp,
      inversions: this.#inversions.result(),
      behindXmin: {
        ...this.#behindXmin,
        wereOpen: this.#hasTimestamps ? this.#behindXmin.wereOpen : undefined,
      },
    }
  }

  #compare(row: CommittedRow): void {
    if (row.committedAtUs !== undefined) this.#inversions.events++
    else this.#withoutTimestamp++
    if (row.transaction !== undefined) this.#behindXmin.events++
    const found = this.#order.next(row)
    if (found === undefined) return
    if (found.passedBy !== undefined) this.#inversions.add(row.position, found.delayUs, found.passedBy)
    if (found.isBelowOlderTransaction) this.#behindXmin.atRisk++
    if (found.wasOpenMeanwhile) this.#behindXmin.wereOpen++
  }
}

/** Reads the table, the highest position first; the next page while one is looked at. */
export async function readPast(options: ResolvedAuditOptions, standing: Standing): Promise<Past> {
  const { events, hasTimestamps, nextTransaction } = standing
  const readPage = async (below: bigint | undefined): Promise<readonly PageRow[]> => {
    const sql = pageSql({ ...options, events }, below, hasTimestamps)
    const [page] = await withConnection(events.pool, options.signal, (client) => transact(client, sql))
    return parsePage(page?.rows[0]?.rows, { next: nextTransaction })
  }
  const counts = new PastCounts({
    waitsMs: options.waitsMs,
    hasTimestamps,
    hasEventTimes: events.appendedAt !== undefined,
  })
  let next: Promise<readonly PageRow[]> | undefined = readPage(undefined)
  while (next !== undefined) {
    const page: readonly PageRow[] = await next
    const last = page.at(-1)
    const hasMore = page.length >= PAGE_ROWS && counts.rows + page.length < options.newest
    next = last === undefined || !hasMore ? undefined : readPage(BigInt(last.position))
    // It is awaited above, once this page is done.
    next?.catch(() => {})
    for (const row of page) {
      if (counts.rows >= options.newest) break
      counts.add(row)
    }
    if (counts.range !== undefined) options.onProgress({ part: 'past', rows: counts.rows, ...counts.range })
  }
  return counts.result()
}
