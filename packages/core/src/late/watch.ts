import type { Clock } from '../kernel/clock.ts'
import { lookRepeatedly } from '../kernel/repeated-look.ts'
import type { EventSource } from '../ports/event-source.ts'
import type { WatchedRun } from '../ports/late-events.ts'
import { findAll } from './find-all.ts'
import { type KeepParts, open, record } from './keep.ts'

export interface WatchParts<P> extends KeepParts {
  readonly source: WatchedSource<P>
  readonly clock: Clock
  readonly pollIntervalMs: number
}

/** A source that passes positions without proof. */
type WatchedSource<P> = Pick<EventSource<P, never>, 'name' | 'order'> &
  Required<Pick<EventSource<P, never>, 'findIn'>> & { readonly lateEventWindowMs: number }

/** A look at a run is one descent of the index: so many cost some milliseconds. */
const RUNS_A_LOOK = 500
const LOOK_EVERY_MS = 100
const LEAST_PAUSE_MS = 1_000

/**
 * Looks again at the runs that marks have passed without proof within the window, from the ledger: those of earlier processes
 * and of other nodes too. Once a second, or as seldom as the store is polled; all of them in turns, 500 a look, ten looks a
 * second at most.
 */
export class LateWatch<P> {
  readonly #parts: WatchParts<P>
  /** The late events of the last round: they are there in this one too. */
  #known: ReadonlySet<string> = new Set()
  #openedAllAtMs = Number.NEGATIVE_INFINITY

  constructor(parts: WatchParts<P>) {
    this.#parts = parts
  }

  async run(signal: AbortSignal): Promise<void> {
    const { source, clock, logger, pollIntervalMs } = this.#parts
    const warn = (error: string): void =>
      logger.warn(
        `tidemark: ${source.name}: what was passed without proof cannot be looked at again: ${error}; ` +
          'it is tried again, and the work goes on',
      )
    const everyMs = Math.max(pollIntervalMs, LEAST_PAUSE_MS)
    await lookRepeatedly({ look: () => this.#round(signal), everyMs, clock, warn }, signal)
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { source, clock } = this.#parts
    const windowMs = source.lateEventWindowMs
    const known = new Set<string>()
    let after: WatchedRun | undefined
    do {
      if (after !== undefined) await clock.sleep(LOOK_EVERY_MS, signal)
      after = await this.#look(after, known, signal)
    } while (after !== undefined && !signal.aborted)
    this.#known = known
    const nowMs = clock.nowMs()
    // A unit may pass one later, with a page that it had loaded before: most within the window, every one in the end.
    const isAllDue = nowMs - this.#openedAllAtMs >= windowMs
    if (isAllDue || known.size > 0)
      await open(this.#parts, { withinMs: isAllDue ? undefined : windowMs }, signal)
    if (isAllDue) this.#openedAllAtMs = nowMs
  }

  /** The last run of a full page; `undefined` where none may follow. */
  async #look(
    after: WatchedRun | undefined,
    known: Set<string>,
    signal: AbortSignal,
  ): Promise<WatchedRun | undefined> {
    const { source, lateEvents } = this.#parts
    const { parse, format } = source.order
    const page = { windowMs: source.lateEventWindowMs, after, limit: RUNS_A_LOOK }
    const runs = await lateEvents.watched(source.name, page, signal)
    if (runs.length === 0) return undefined
    const gaps = runs.map(({ from, to }) => ({ from: parse(from), to: parse(to) }))
    const found = (await findAll(source, gaps, signal)).map(({ position, type }) => ({
      position: format(position),
      type,
    }))
    for (const { position } of found) known.add(position)
    const news = found.filter(({ position }) => !this.#known.has(position))
    await record(this.#parts, 'without_proof', news, signal)
    return runs.length < RUNS_A_LOOK ? undefined : runs.at(-1)
  }
}
