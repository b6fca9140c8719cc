import type { Clock } from '../kernel/clock.ts'
import { lookRepeatedly } from '../kernel/repeated-look.ts'
import type { Decision, OperatorControl } from '../ports/control.ts'
import { type Unit, unitKey } from '../ports/unit.ts'
import type { Wanted } from '../projection/commands.ts'
import type { Logger } from '../telemetry/logger.ts'

/** A unit of this process, as far as an operator may want something of it. */
interface Followed {
  readonly unit: Unit
  readonly shown: { readonly pausedBy: Decision | undefined }
  follow(wanted: Wanted): void
}

interface Watched {
  readonly control: Pick<OperatorControl, 'units'>
  readonly source: string
  readonly units: readonly Followed[]
  readonly clock: Clock
  readonly logger: Logger
  readonly pollIntervalMs: number
}

/** Of a unit that has no row, yet or any more. */
const UNDECIDED = {
  desired: 'running',
  decision: undefined,
  role: undefined,
  isRetryAsked: false,
  asked: undefined,
  answered: undefined,
} as const

const LEAST_PAUSE_MS = 1_000

/**
 * Looks what operators want, once a second or as seldom as the store is polled, for the units that have nothing to do and for those that were resumed. No pause
 * depends on it: the store moves no checkpoint of a paused unit.
 */
export async function watchDesired(
  { control, source, units, clock, logger, pollIntervalMs }: Watched,
  signal: AbortSignal,
): Promise<void> {
  const look = async (): Promise<void> => {
    const before = units.map(({ shown }) => shown.pausedBy)
    const stored = await control.units({ source }, signal)
    if (signal.aborted) return
    const byKey = new Map(stored.map((unit) => [unitKey(unit.unit), unit]))
    for (const [index, unit] of units.entries()) {
      // Its store has told it more since this look began.
      if (unit.shown.pausedBy !== before[index]) continue
      unit.follow(byKey.get(unitKey(unit.unit)) ?? UNDECIDED)
    }
  }
  const warn = (error: string): void =>
    logger.warn(
      `tidemark: what operators want of projections cannot be read: ${error}; a pause holds all the ` +
        'same, and what is resumed goes on when it can be read again',
    )
  await lookRepeatedly({ look, everyMs: Math.max(pollIntervalMs, LEAST_PAUSE_MS), clock, warn }, signal)
}
