import { isOwnFault, StagedError } from '../failures/classify.ts'
import type { HandlerCalls } from '../failures/handler-timeout.ts'
import { describeError, keptMessage } from '../kernel/describe-error.ts'
import { FailureLog } from '../kernel/failure-log.ts'
import { systemRandom } from '../kernel/random.ts'
import type { AdvanceWork, CheckpointStore, LockedUnit } from '../ports/checkpoint-store.ts'
import type { LateEvents } from '../ports/late-events.ts'
import { isReached } from '../ports/position.ts'
import type { ReadPage } from '../reading/own-pages.ts'
import type { Logger } from '../telemetry/logger.ts'
import { type BatchParts, handleBatch } from './batch.ts'
import { LateTurns } from './late-turns.ts'
import { isPassing } from './passing.ts'

export interface LateParts<P, E, Tx> extends BatchParts<P, E, Tx> {
  readonly checkpoints: Pick<CheckpointStore<Tx>, 'lateEvents' | 'isTransient'>
  readonly logger: Logger
}

interface LateWork<P, E, Tx> {
  readonly calls: HandlerCalls
  readonly at: P
  /** The events of one position that are there. */
  readonly read: (position: P) => Promise<ReadPage<P, E>>
  /** Runs `work` in a transaction that holds the checkpoint where it is. */
  readonly commit: (work: AdvanceWork<Tx>, signal: AbortSignal) => Promise<void>
  readonly stopping: AbortSignal
  readonly givenUp: AbortSignal
}

/** What of the late events is due: those that an operator has asked for, or the others, for `onLateEvent`. */
export type LateDue = 'asked' | 'others'

const TOO_LATE = Symbol('somebody has closed a late event meanwhile')
const NOT_LIVE = Symbol('another version is the live one')

/** Another version of the projection was given some of them. */
class GivenToOthers extends Error {
  readonly positions: readonly string[]

  constructor(positions: readonly string[]) {
    super('late events were given to another version')
    this.positions = positions
  }
}

/**
 * Hands late events of one unit to its projection, and closes them in the same transaction; the checkpoint stays. What its
 * handler throws keeps them open for a later try; what the store throws is thrown.
 */
export class LateBatches<P, E, Tx> {
  readonly #parts: LateParts<P, E, Tx>
  readonly #turns: LateTurns
  readonly #log = new FailureLog()
  readonly #handled = new FailureLog()
  #unsaid = 0

  constructor(parts: LateParts<P, E, Tx>) {
    this.#parts = parts
    this.#turns = new LateTurns(parts.projection.longestPauseMs)
  }

  /** Whether there were any to be handled now. */
  async next(due: LateDue, work: LateWork<P, E, Tx>): Promise<boolean> {
    const { projection, source, checkpoints, clock } = this.#parts
    const { lateEvents } = checkpoints
    if (lateEvents === undefined) return false
    const of = { isAsked: due === 'asked', limit: this.#turns.asksFor }
    const open = await lateEvents.due(projection.unit, source.name, of, work.stopping)
    // Where the checkpoint was moved back, it is given the others in their place.
    const passed = open.filter((position) => isReached(source.order, source.order.parse(position), work.at))
    const positions = this.#turns.choose(passed, clock.nowMs())
    if (positions.length === 0) return false
    try {
      const handled = await this.#handle(lateEvents, due, positions, work)
      this.#turns.handled(positions)
      this.#tellOver()
      if (handled.length > 0) this.#tellHandled(due, handled)
    } catch (thrown) {
      if (!(thrown instanceof StagedError)) throw thrown
      const { stage, error } = thrown
      if (error === TOO_LATE) return true
      if (error instanceof GivenToOthers) {
        await work.commit(async (tx) => {
          await lateEvents.close(tx, projection.unit, source.name, error.positions, 'not_wanted')
        }, work.givenUp)
        return true
      }
      if (error === NOT_LIVE) {
        this.#turns.failed(positions, clock.nowMs(), systemRandom())
        return true
      }
      if (!isOwnFault(stage) || isPassing(this.#parts, stage, error)) throw thrown
      this.#turns.failed(positions, clock.nowMs(), systemRandom())
      this.#tell(thrown)
      await lateEvents.failed(projection.unit, source.name, positions, keptMessage(error), work.stopping)
    }
    return true
  }

  /** Those that were there. */
  async #handle(
    lateEvents: LateEvents<Tx>,
    due: LateDue,
    positions: readonly string[],
    { calls, at, read, commit, givenUp }: LateWork<P, E, Tx>,
  ): Promise<readonly string[]> {
    const { projection, source } = this.#parts
    const { parse, format } = source.order
    const page = await this.#load(positions, at, read)
    const there = new Set(page?.positions.map(format))
    const gone = positions.filter((position) => !there.has(position))
    const given = positions.filter((position) => there.has(format(parse(position))))
    const { onLateEvent } = projection
    const isAsked = due === 'asked' || onLateEvent === undefined
    const closed = async (tx: Tx): Promise<void> => {
      const close = (
        which: readonly string[],
        as: Parameters<LateEvents<Tx>['close']>[4],
      ): Promise<readonly string[]> => lateEvents.close(tx, projection.unit, source.name, which, as)
      const own = await close(given, isAsked ? 'reprocessed' : 'on_late_event')
      const others = await close(gone, 'not_wanted')
      if (own.length + others.length < positions.length) throw TOO_LATE
    }
    if (page === undefined) {
      await commit(closed, givenUp)
      return []
    }
    const handle = isAsked ? projection.handle : onLateEvent
    await handleBatch(
      { ...this.#parts, projection: { ...projection, handle } },
      {
        page,
        calls,
        move: (work, signal) =>
          commit(async (tx, locked) => {
            await this.#requireOwn(lateEvents, tx, locked, positions)
            await work(tx, locked)
            await closed(tx)
          }, signal),
        onCalled: () => {},
      },
    )
    return given
  }

  /** Of effects for the live version alone: throws where another version is it, or was given one of them. */
  async #requireOwn(
    lateEvents: LateEvents<Tx>,
    tx: Tx,
    locked: LockedUnit | undefined,
    positions: readonly string[],
  ): Promise<void> {
    const { projection, source } = this.#parts
    const { effects, unit } = projection
    if (effects === 'always') return
    const others = await lateEvents.ofOthers(tx, unit, source.name, positions)
    if (others.length > 0) throw new GivenToOthers(others)
    if (locked?.role !== 'live') throw NOT_LIVE
  }

  /** Those that are there and wanted, as one page. */
  async #load(
    positions: readonly string[],
    at: P,
    read: LateWork<P, E, Tx>['read'],
  ): Promise<ReadPage<P, E> | undefined> {
    const { parse } = this.#parts.source.order
    const pages: ReadPage<P, E>[] = []
    for (const position of positions) {
      const page = await read(parse(position))
      if (page.events.length > 0) pages.push(page)
    }
    const [first] = pages
    return (
      first && {
        ...first,
        events: pages.flatMap(({ events }) => events),
        positions: pages.flatMap((page) => page.positions),
        types: pages.flatMap(({ types }) => types ?? []),
        appendTimesMs: undefined,
        through: at,
        reachesMark: false,
      }
    )
  }

  #tell({ stage, error, batch }: StagedError): void {
    const { projection, session, logger, clock } = this.#parts
    if (stage === 'map' || stage === 'handle')
      session.telemetry.handlerFailed({
        projection: projection.series,
        action: 'retry',
        error,
        stage,
        attempt: 1,
        batch,
      })
    if (!this.#log.failed(clock.nowMs())) return
    const where = batch === undefined ? '' : ` at ${batch.firstPosition}`
    logger.warn(
      `tidemark: projection "${projection.name}" cannot handle late events${where}: ${describeError(error)}; they stay open, and ` +
        'are tried again at growing intervals; what is not late is handled meanwhile',
    )
  }

  /** The first time, then once a minute. */
  #tellHandled(due: LateDue, positions: readonly string[]): void {
    const { projection, logger, clock } = this.#parts
    this.#unsaid += positions.length
    if (!this.#handled.failed(clock.nowMs())) return
    const events = this.#unsaid === 1 ? 'a late event' : `${this.#unsaid} late events`
    const why = due === 'asked' ? 'as an operator has asked' : 'by onLateEvent'
    logger.info(
      `tidemark: projection "${projection.name}" has handled ${events}, the last at ${positions.at(-1)}, ${why}`,
    )
    this.#unsaid = 0
  }

  #tellOver(): void {
    const { projection, logger, clock } = this.#parts
    if (this.#log.ended(clock.nowMs()) === undefined) return
    logger.info(`tidemark: projection "${projection.name}" handles late events again`)
  }
}
