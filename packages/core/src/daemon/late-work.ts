import { describeError } from '../kernel/describe-error.ts'
import { lookRepeatedly } from '../kernel/repeated-look.ts'
import { type KeepParts, open, record } from '../late/keep.ts'
import { LateWatch } from '../late/watch.ts'
import type { LateEvent, LateUnit, OpenLate } from '../ports/late-events.ts'
import { inBackground } from '../telemetry/background.ts'
import type { TelemetrySession } from '../telemetry/session.ts'
import type { ResolvedDaemonOptions } from './options.ts'

interface LateParts<P, E, Tx>
  extends Pick<ResolvedDaemonOptions<P, E, Tx>, 'source' | 'checkpoints' | 'highWater' | 'clock'> {
  readonly session: TelemetrySession<P, E>
  /** What this process runs. */
  readonly units: () => readonly LateUnit[]
}

/** What this process does about events that become visible where a mark has passed. */
export class LateWork<P, E, Tx> {
  readonly #parts: LateParts<P, E, Tx>

  constructor(parts: LateParts<P, E, Tx>) {
    this.#parts = parts
  }

  /** Until the signal fires. `tell`: what is open. */
  async run(signal: AbortSignal, tell: (counts: readonly OpenLate[]) => void): Promise<void> {
    await inBackground(() => Promise.all([this.#watch(signal), this.#count(signal, tell)]))
  }

  /** What an operator has asked for, and what is for `onLateEvent`. In proof mode hardly ever anything. */
  async #count(signal: AbortSignal, tell: (counts: readonly OpenLate[]) => void): Promise<void> {
    const { source, checkpoints, clock, highWater } = this.#parts
    const { lateEvents } = checkpoints
    if (lateEvents === undefined) return
    const isWatched = source.lateEventWindowMs !== undefined
    const everyMs = Math.max(highWater.pollIntervalMs, isWatched ? 1_000 : 10_000)
    const look = async (): Promise<void> => tell(await lateEvents.counts(source.name, signal))
    const warn = (error: string): void =>
      highWater.logger.warn(
        `tidemark: ${source.name}: open late events cannot be read: ${error}; they are handled once they can be`,
      )
    await lookRepeatedly({ look, everyMs, clock, warn }, signal)
  }

  /** Nothing is looked at where nothing is passed without proof. */
  async #watch(signal: AbortSignal): Promise<void> {
    const { source, highWater, clock } = this.#parts
    const { findIn, lateEventWindowMs } = source
    const keeping = this.#keeping()
    if (keeping === undefined || findIn === undefined || lateEventWindowMs === undefined) return
    const { name, order } = source
    const watched = { name, order, lateEventWindowMs, findIn: findIn.bind(source) }
    const { pollIntervalMs } = highWater
    const watch = new LateWatch({ ...keeping, source: watched, clock, pollIntervalMs })
    await watch.run(signal)
  }

  /** A proof did not hold: what was found is kept. Polling halts whether it can be or not. */
  readonly onProvenEmpty = async (events: readonly LateEvent[], signal: AbortSignal): Promise<void> => {
    const keeping = this.#keeping()
    if (keeping === undefined) return
    try {
      await record(keeping, 'proven_empty', events, signal)
      await open(keeping, { withinMs: undefined }, signal)
    } catch (error) {
      if (signal.aborted) return
      keeping.logger.warn(
        `tidemark: ${keeping.source.name}: late events cannot be kept: ${describeError(error)}`,
      )
    }
  }

  #keeping(): KeepParts | undefined {
    const { source, checkpoints, units, highWater, session } = this.#parts
    const { lateEvents } = checkpoints
    if (lateEvents === undefined) return undefined
    return { source, lateEvents, units, session, logger: highWater.logger }
  }
}
