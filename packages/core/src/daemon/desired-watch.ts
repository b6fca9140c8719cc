import type { Clock } from '../kernel/clock.ts'
import { type Deferred, deferred } from '../kernel/deferred.ts'
import { lookRepeatedly } from '../kernel/repeated-look.ts'
import type { ControlledUnit, Decision, OperatorControl } from '../ports/control.ts'
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
  readonly units: () => readonly Followed[]
  /** What is stored of the source. */
  readonly onStored: (stored: readonly ControlledUnit[]) => void
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
  bound: undefined,
} as const

const LEAST_PAUSE_MS = 1_000

/**
 * Looks what operators want, once a second or as seldom as the store is polled, for the units that have nothing to do and for those that were resumed, and which
 * units there are. No pause depends on it: the store moves no checkpoint of a paused unit, nor of one that is there no more.
 */
export class DesiredWatch {
  readonly #parts: Watched
  #asked: Deferred[] = []
  #pause = new AbortController()

  constructor(parts: Watched) {
    this.#parts = parts
  }

  /** Looks at once. Resolves when a look that has begun after this has been answered. */
  lookNow(): Promise<void> {
    const asked = deferred()
    this.#asked.push(asked)
    this.#pause.abort()
    return asked.promise
  }

  /** Until the signal fires. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger, pollIntervalMs } = this.#parts
    const stop = (): void => this.#pause.abort()
    signal.addEventListener('abort', stop)
    const look = (): Promise<void> => this.#answer(signal)
    const hurry = (): AbortSignal => {
      this.#pause = new AbortController()
      return this.#pause.signal
    }
    const warn = (error: string): void =>
      logger.warn(
        `tidemark: what operators want of projections cannot be read: ${error}; a pause holds all the ` +
          'same, and what is resumed goes on when it can be read again',
      )
    const everyMs = Math.max(pollIntervalMs, LEAST_PAUSE_MS)
    await lookRepeatedly({ look, everyMs, hurry, clock, warn }, signal)
    signal.removeEventListener('abort', stop)
  }

  /** Whoever asks during a look that fails is answered by a later one. */
  async #answer(signal: AbortSignal): Promise<void> {
    const asked = this.#asked
    this.#asked = []
    try {
      await this.#look(signal)
    } catch (error) {
      this.#asked.push(...asked)
      throw error
    }
    for (const { resolve } of asked) resolve()
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { control, source, units, onStored } = this.#parts
    const before = new Map(units().map((unit) => [unit, unit.shown.pausedBy]))
    const stored = await control.units({ source }, signal)
    if (signal.aborted) return
    onStored(stored)
    const byKey = new Map(stored.map((unit) => [unitKey(unit.unit), unit]))
    for (const unit of units()) {
      // Its store has told it more since this look began.
      if (unit.shown.pausedBy !== before.get(unit)) continue
      unit.follow(byKey.get(unitKey(unit.unit)) ?? UNDECIDED)
    }
  }
}
