import { quoteIdentifier, quoteLiteral } from './identifiers.ts'
import type { AppendedAt } from './options.ts'

/** The time of an append as a `timestamptz`, in SQL. */
export function appendInstantSql({ column, timeZone }: AppendedAt): string {
  const time = `e.${quoteIdentifier(column)}`
  return timeZone === undefined ? time : `(${time} at time zone ${quoteLiteral(timeZone)})`
}

/**
 * The time of an append in milliseconds since 1970, in SQL, as text: whatever the pool makes of `timestamptz`, and
 * whatever the time zone of session and process, the number is the same.
 */
export function appendedAtSql(appendedAt: AppendedAt): string {
  return `(extract(epoch from ${appendInstantSql(appendedAt)}) * 1000)::text`
}

/** The server's clock, read as a page is. */
export const SERVER_NOW_SQL = '(extract(epoch from clock_timestamp()) * 1000)::text'

/** The clock that core counts lag and delay by. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now()
}

/** The server's clock between two times of this process. */
export interface ClockReading {
  readonly sentAtMs: number
  readonly serverMs: number
  readonly answeredAtMs: number
}

/**
 * Converts a time of the server to the clock of this process. Otherwise events of a server whose clock is ahead would
 * seem to come from the future. Clocks that differ by less than the time of the answer are taken as equal. `undefined`
 * for values that are no time (NULL, infinity).
 */
export function appendedAtMs(serverMs: number, clock: ClockReading): number | undefined {
  if (!Number.isFinite(serverMs)) return undefined
  return Math.min(serverMs - aheadMs(clock), clock.answeredAtMs)
}

/** At least how far the server's clock is ahead of this process's; negative if it is behind. */
function aheadMs({ sentAtMs, serverMs, answeredAtMs }: ClockReading): number {
  if (serverMs > answeredAtMs) return serverMs - answeredAtMs
  return Math.min(0, serverMs - sentAtMs)
}
