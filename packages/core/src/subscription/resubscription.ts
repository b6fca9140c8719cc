import type { Clock } from '../kernel/clock.ts'
import { hasCode } from '../kernel/errors.ts'
import { FailureLog } from '../kernel/failure-log.ts'
import type { Logger } from '../telemetry/logger.ts'
import { describeDrop } from './drop.ts'

const FIRST_REST_MS = 1_000
/** A restart or failover takes seconds. A longer wait between two tries would add to the outage. */
const LONGEST_REST_MS = 5_000

/**
 * How long to wait after so many failures in a row: 1 s, doubled up to 5 s, and up to half of it more by `random` (0 to 1), so
 * that a restarted server is not asked by everyone at the same moment.
 */
export function restMs(failuresInARow: number, random: number): number {
  const shortest = Math.min(LONGEST_REST_MS, FIRST_REST_MS * 2 ** Math.min(failuresInARow - 1, 30))
  return shortest * (1 + random / 2)
}

/**
 * Whether another subscription may succeed where one ended with this error (`undefined`: without one). What the source does
 * not know as passing is the end: to try again would hide for ever what somebody has to look at.
 */
function passes(error: unknown, source: { isTransient(error: unknown): boolean }): boolean {
  if (error === undefined) return true
  return !hasCode(error, 'TIDEMARK_CHECKPOINT_BEYOND_HEAD') && source.isTransient(error)
}

interface FailureRowOptions {
  readonly projection: string
  readonly source: { isTransient(error: unknown): boolean }
  readonly logger: Logger
  readonly clock: Clock
}

/** The failures since an event came, or the subscription was live: how many, and what the log is told of them. */
export class FailureRow {
  readonly #options: FailureRowOptions
  readonly #log = new FailureLog()
  #failures = 0

  constructor(options: FailureRowOptions) {
    this.#options = options
  }

  get failures(): number {
    return this.#failures
  }

  /** Whether another subscription is to follow one that ended with this error; `undefined`: without one. */
  follows(error: unknown): boolean {
    return passes(error, this.#options.source)
  }

  failed(reason: string, error: unknown): void {
    const { projection, logger, clock } = this.#options
    this.#failures++
    if (!this.#log.failed(clock.nowMs())) return
    logger.warn(`${describeDrop(projection, reason, error)}; it subscribes again by itself`)
  }

  /** An event has come, or it is live. */
  recovered(): void {
    const { projection, logger, clock } = this.#options
    this.#failures = 0
    const row = this.#log.ended(clock.nowMs())
    if (row === undefined) return
    const tries = row.failures === 1 ? 'one try' : `${row.failures} tries`
    logger.warn(
      `tidemark: the subscription of projection "${projection}" goes on, after ${tries} in ${(row.forMs / 1_000).toFixed(1)} s`,
    )
  }
}
