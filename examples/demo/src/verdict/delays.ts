import type { Ledger } from '../ledger.ts'
import type { Moments } from '../moments.ts'

/** Milliseconds; `null` where nothing was measured. */
export interface Quantiles {
  readonly p50: number | null
  readonly p99: number | null
}

export interface Delays {
  /** From the return of COMMIT to the commit of the effect. */
  readonly sinceCommit: readonly number[]
  /**
   * The same from the moment when every transaction with a lower number had ended as well: before that an event cannot
   * be handled in order, whoever does it.
   */
  readonly sinceSettled: readonly number[]
}

export function delaysOf(handledAt: Moments, { committedAt, endedAt }: Ledger): Delays {
  const sinceCommit: number[] = []
  const sinceSettled: number[] = []
  let allEndedMs = Number.NEGATIVE_INFINITY
  for (let position = 0; position <= handledAt.highest; position++) {
    const endedMs = endedAt.get(position)
    if (endedMs !== undefined) allEndedMs = Math.max(allEndedMs, endedMs)
    const committedMs = committedAt.get(position)
    const handledMs = handledAt.get(position)
    if (committedMs === undefined || handledMs === undefined) continue
    // A projection can be sooner than the answer to the writer's COMMIT.
    sinceCommit.push(Math.max(0, handledMs - committedMs))
    sinceSettled.push(Math.max(0, handledMs - allEndedMs))
  }
  return { sinceCommit, sinceSettled }
}

export function quantilesOf(samples: readonly number[]): Quantiles {
  const sorted = Float64Array.from(samples).sort()
  const at = (share: number): number | null => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
    return value === undefined ? null : Math.round(value * 10) / 10
  }
  return { p50: at(0.5), p99: at(0.99) }
}
