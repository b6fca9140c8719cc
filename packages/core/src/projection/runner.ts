import {
  atStage,
  type FailedBatch,
  type ProjectionFailure,
  StagedError,
  stagedError,
} from '../failures/classify.ts'
import { Failures } from '../failures/failures.ts'
import type { PollingAgent } from '../high-water/agent.ts'
import type { HighWaterStatus } from '../high-water/status.ts'
import { formatEvidence } from '../high-water/store-poll.ts'
import type { Clock } from '../kernel/clock.ts'
import { untilAborted } from '../kernel/deferred.ts'
import { noAnswerFor, warnWhileUnanswered } from '../kernel/unanswered.ts'
import type { Advanced, CheckpointStore } from '../ports/checkpoint-store.ts'
import type { EventSource, Evidence, HighWaterReading } from '../ports/event-source.ts'
import { isReached } from '../ports/position.ts'
import { wholeUnit } from '../ports/unit.ts'
import { PageReader, type ReadPage } from '../reading/own-pages.ts'
import { traced } from '../telemetry/background.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { TelemetrySession } from '../telemetry/session.ts'
import { lagMs } from './lag.ts'
import type { ResolvedProjection } from './projection.ts'
import { reportSkips } from './skip-reports.ts'
import type { ProjectionState } from './status.ts'

export interface RunnerParts<P, E, Tx> {
  readonly projection: ResolvedProjection<E, Tx>
  readonly source: EventSource<P, E>
  readonly checkpoints: CheckpointStore<Tx>
  readonly agent: PollingAgent<P>
  readonly session: TelemetrySession<P, E>
  readonly logger: Logger
  readonly clock: Clock
  /** A change of this projection that `waitUntilProjected` looks at. */
  readonly onChange: () => void
}

/** How often a checkpoint follows the mark while nothing matches the projection's filter. */
const FOLLOW_MARK_EVERY_MS = 1_000
const STANDBY_LOOK_EVERY_MS = 250
/** A standby takes over when the checkpoint has stood still for this long while events waited. */
const STANDBY_PATIENCE_MS = { everyEvent: 250, filtered: 250 + FOLLOW_MARK_EVERY_MS }

/**
 * Moves one projection: load -> handle -> checkpoint, up to the mark and no further, the next page fetched while the
 * current one is handled. `state` says where it stands (status.ts).
 */
export class ProjectionRunner<P, E, Tx> {
  error: unknown
  failure: ProjectionFailure | undefined
  handledEvents = 0
  /** What is durably processed, with its skip totals. */
  checkpoint: { readonly position: P | undefined; readonly skipped: Advanced['skipped'] } | undefined
  #state: ProjectionState = 'stopped'
  readonly #parts: RunnerParts<P, E, Tx>
  readonly #pages: PageReader<P, E>
  readonly #stopping = new AbortController()
  readonly #giveUp = new AbortController()
  /** How far events were looked at. It stands above the checkpoint if nothing matched since. */
  #cursor: P | undefined
  #cursorIncarnation: string | undefined
  /** Whether `checkpoint` was read from the store since the last failure. */
  #isCheckpointRead = false
  #checkpointedAtMs = 0
  /** The first reading's head; there may be none yet. */
  #startedAt: { readonly head: P | undefined } | undefined
  /** When the oldest event that waits was appended, as far as its page has said. */
  #oldestAppendedAtMs: number | undefined
  readonly #failures: Failures<P, E, Tx>
  #loop: Promise<void> = Promise.resolve()

  constructor(parts: RunnerParts<P, E, Tx>) {
    this.#parts = parts
    this.#failures = new Failures(parts)
    this.#pages = new PageReader(parts.source, parts.projection, this.#stopping.signal)
  }

  get name(): string {
    return this.#parts.projection.name
  }

  /** So that `catching_up` ends with the last event, not a turn of the loop later. */
  get state(): ProjectionState {
    const { agent, source } = this.#parts
    const { reading } = agent
    const isCaughtUp =
      reading !== undefined &&
      this.#isCheckpointRead &&
      reading.incarnation === this.#cursorIncarnation &&
      isReached(source.order, reading.mark, this.#cursor)
    return this.#state === 'catching_up' && isCaughtUp ? 'live' : this.#state
  }

  /** How far this projection has seen of that incarnation; what `waitUntilProjected` compares. */
  cursorIn(incarnation: string): P | undefined {
    return incarnation === this.#cursorIncarnation ? this.#cursor : undefined
  }

  start(): void {
    this.#enter('catching_up')
    this.#loop = this.#run()
  }

  /** Ends after the batch at hand. */
  drain(): Promise<void> {
    this.#stopping.abort()
    return this.#loop
  }

  /** Fires the handler's signal and destroys its transaction. */
  giveUp(): void {
    this.#giveUp.abort()
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted && this.#state !== 'paused') {
      try {
        if (this.#state === 'standby') await this.#standBy()
        if (!signal.aborted) await this.#step()
      } catch (error) {
        if (!signal.aborted) await this.#recover(error)
      }
    }
    if (this.#state === 'paused') return
    // Whoever has waited for `stop()` waits no longer.
    if (!this.#giveUp.signal.aborted) await this.#checkpointCursor()
    this.#enter('stopped', this.error, this.failure)
  }

  /** Saves the next start from looking again at events that the filter leaves out. */
  async #checkpointCursor(): Promise<void> {
    const { agent } = this.#parts
    const { reading } = agent
    if (!this.#isCheckpointRead || this.#followDueInMs() === undefined) return
    if (!reading || reading.incarnation !== this.#cursorIncarnation || this.#cursor === undefined) return
    // If it fails, nothing is lost.
    await this.#advance(this.#cursor, reading, undefined, async () => {}).catch(() => {})
  }

  async #step(): Promise<void> {
    const { agent, source } = this.#parts
    const reading = agent.reading
    const isOfAnother = reading !== undefined && reading.incarnation !== this.#cursorIncarnation
    if (reading && (!this.#isCheckpointRead || isOfAnother)) await this.#openCheckpoint(reading)
    if (reading?.mark === undefined || isReached(source.order, reading.mark, this.#cursor)) {
      this.#oldestAppendedAtMs = undefined
      await this.#followMark(reading)
      return
    }
    const page = await this.#answered('it asks for a page of events', this.#pages.next(this.#cursor, reading))
    if (this.#stopping.signal.aborted) return
    if (page.events.length > 0) return await this.#handle(page, reading)
    this.#enterWorking()
    this.#moveCursor(page.through)
    // Under load `#followMark` never runs, so the checkpoint follows here.
    if (this.#followDueInMs() === 0) await this.#advance(page.through, reading, undefined, async () => {})
  }

  async #handle(page: ReadPage<P, E>, reading: HighWaterReading<P>): Promise<void> {
    const { projection, clock, session, source, agent } = this.#parts
    const { format } = source.order
    if (this.#state !== 'retrying' && this.#state !== 'standby') this.#enter('catching_up')
    this.#oldestAppendedAtMs = page.appendedAtMs?.first
    const startedMs = clock.nowMs()
    const through = format(page.through)
    const batch: FailedBatch = {
      events: page.events.length,
      firstPosition: format(page.positions[0] ?? page.through),
      lastPosition: format(page.positions.at(-1) ?? page.through),
      eventTypes: [...new Set(page.types)],
    }
    let thrown: { readonly error: unknown } | undefined
    const work = async (tx: Tx): Promise<void> => {
      try {
        const handled = traced(() => projection.handle(page.events, { tx, signal: this.#giveUp.signal }))
        // Prefetch after the handler's first statement is sent, so that parsing overlaps the server's work. An owner
        // that lost the checkpoint loads nothing.
        this.#pages.prefetch(page.through, agent.reading ?? reading)
        await handled
      } catch (error) {
        thrown = { error }
        throw error
      }
    }
    const advance = async (): Promise<void> => {
      await this.#advance(page.through, reading, page, work)
      const now = clock.nowMs()
      session.telemetry.batchProcessed({
        projection: projection.name,
        events: page.events.length,
        durationMs: now - startedMs,
        through,
        // The clock of who appended may be ahead.
        delayMs:
          page.reachesMark && page.appendedAtMs ? Math.max(0, now - page.appendedAtMs.first) : undefined,
      })
    }
    try {
      await session.tracing.batch({ ...batch, projection: projection.name, events: page.events }, advance)
    } catch (error) {
      // A store hands on the very error of the work.
      const isOfHandler = thrown !== undefined && Object.is(thrown.error, error)
      throw stagedError(isOfHandler ? 'handle' : 'commit', error, batch)
    }
    this.#oldestAppendedAtMs = page.appendedAtMs?.last
  }

  async #advance(
    to: P,
    evidence: Evidence<P>,
    page: ReadPage<P, E> | undefined,
    work: (tx: Tx) => Promise<void>,
  ): Promise<void> {
    const { checkpoints, source, clock } = this.#parts
    const { format } = source.order
    const from = this.checkpoint?.position
    const advanced = await checkpoints.advance(
      {
        unit: wholeUnit(this.name),
        source: source.name,
        from: from === undefined ? undefined : format(from),
        to: format(to),
        evidence: formatEvidence(format, evidence),
        signal: this.#giveUp.signal,
      },
      work,
    )
    this.checkpoint = { position: to, skipped: advanced.skipped }
    this.#checkpointedAtMs = clock.nowMs()
    this.#failures.succeeded()
    this.handledEvents += page?.events.length ?? 0
    this.#enterWorking()
    if (advanced.crossed.length > 0) reportSkips(this.#parts, this.name, advanced, page)
    this.#moveCursor(to)
  }

  /** See `ProjectionStatus.lagMs`. */
  lagMs(highWater: HighWaterStatus<P>): number | undefined {
    const { source, clock, agent } = this.#parts
    if (this.checkpoint === undefined) return undefined
    return lagMs({
      order: source.order,
      highWater,
      cursor: this.#cursor,
      oldestAppendedAtMs: this.#oldestAppendedAtMs,
      firstSeenAtMs: agent.firstSeenAboveMs(this.#cursor),
      nowMs: clock.nowMs(),
    })
  }

  /** Nothing to load: moves the checkpoint up to the cursor now and then, and waits for a new mark. */
  async #followMark(reading: HighWaterReading<P> | undefined): Promise<void> {
    const { agent, clock } = this.#parts
    const dueInMs = reading && this.#followDueInMs()
    if (reading && dueInMs === 0 && this.#cursor !== undefined) {
      await this.#advance(this.#cursor, reading, undefined, async () => {})
      return
    }
    if (reading) this.#enter('live')
    const changed = agent.nextChange()
    if (agent.reading !== reading || this.#stopping.signal.aborted) return
    const over = new AbortController()
    const due = dueInMs === undefined ? [] : [clock.sleep(dueInMs, over.signal)]
    await untilAborted(Promise.race([changed, ...due]), this.#stopping.signal)
    over.abort()
  }

  /** In how many milliseconds the checkpoint may follow a cursor that stands above it; `undefined`: it does not. */
  #followDueInMs(): number | undefined {
    const { source, clock } = this.#parts
    if (isReached(source.order, this.#cursor, this.checkpoint?.position)) return undefined
    return Math.max(0, this.#checkpointedAtMs + FOLLOW_MARK_EVERY_MS - clock.nowMs())
  }

  async #openCheckpoint({ incarnation, head }: HighWaterReading<P>): Promise<void> {
    const { checkpoints, source } = this.#parts
    const { signal } = this.#stopping
    this.#startedAt ??= { head }
    const { head: firstHead } = this.#startedAt
    const first = {
      source: source.name,
      head: firstHead === undefined ? undefined : source.order.format(firstHead),
    }
    const { position, skipped } = await this.#answered(
      'it asks for its checkpoint',
      checkpoints.open(wholeUnit(this.name), first, signal),
    )
    const [known, before] = [this.checkpoint, this.#cursor]
    this.checkpoint = { position: position === undefined ? undefined : source.order.parse(position), skipped }
    // Another owner, or a commit whose answer was lost, has moved it: the next batch is another one.
    if (known && !isReached(source.order, this.checkpoint.position, known.position))
      this.#failures.succeeded()
    this.#isCheckpointRead = true
    // A cursor above the checkpoint is in memory only, and means nothing in another incarnation.
    this.#cursorIncarnation = incarnation
    this.#moveCursor(this.checkpoint.position)
    if (!isReached(source.order, this.#cursor, before)) this.#oldestAppendedAtMs = undefined
  }

  /** What is asked of the store while no handler runs. That it does not answer is said. */
  #answered<T>(what: string, call: Promise<T>): Promise<T> {
    const { clock, logger } = this.#parts
    const warn = (forMs: number): void =>
      logger.warn(`tidemark: projection "${this.name}" stands still, ${what}: ${noAnswerFor(forMs)}`)
    return atStage('read', warnWhileUnanswered(call, { clock, signal: this.#stopping.signal, warn }))
  }

  #moveCursor(to: P | undefined): void {
    this.#cursor = to
    this.#parts.onChange()
  }

  async #recover(caught: unknown): Promise<void> {
    const { source, clock, agent } = this.#parts
    this.#pages.drop()
    // The checkpoint has to be read again: a commit whose answer was lost may have moved it.
    this.#isCheckpointRead = false
    const staged = caught instanceof StagedError ? caught : stagedError('commit', caught, undefined)
    const at = this.checkpoint?.position
    const { action, failure } = this.#failures.failed(
      staged,
      at === undefined ? undefined : source.order.format(at),
    )
    if (failure === undefined) return this.#enter('standby')
    this.#enter(action.kind === 'pause' ? 'paused' : 'retrying', staged.error, failure)
    if (!('waitMs' in action)) return
    if (action.kind === 'drop_page' && this.#cursorIncarnation !== undefined)
      agent.doubt(this.#cursorIncarnation)
    await clock.sleep(action.waitMs, this.#stopping.signal)
  }

  /** Looks at the checkpoint until its owner leaves it alone for a while with events waiting. */
  async #standBy(): Promise<void> {
    const { clock, source, agent, projection } = this.#parts
    const { signal } = this.#stopping
    const patienceMs = projection.eventTypes ? STANDBY_PATIENCE_MS.filtered : STANDBY_PATIENCE_MS.everyEvent
    let still: { readonly position: P | undefined; readonly sinceMs: number } | undefined
    while (!signal.aborted) {
      if (agent.reading) await this.#openCheckpoint(agent.reading)
      const position = this.checkpoint?.position
      while (!signal.aborted && isReached(source.order, agent.mark, position)) {
        still = undefined
        await untilAborted(agent.nextChange(), signal)
      }
      const now = clock.nowMs()
      if (!still || !isReached(source.order, position, still.position)) still = { position, sinceMs: now }
      else if (now - still.sinceMs >= patienceMs) return
      // Two standbys do not look at the same time.
      await clock.sleep(STANDBY_LOOK_EVERY_MS * (0.75 + Math.random() / 2), signal)
    }
  }

  /** Before the cursor moves, so that whoever waits for it sees that the fault, or the other owner, is gone. */
  #enterWorking(): void {
    if (this.#state === 'retrying' || this.#state === 'standby') this.#enter('catching_up')
  }

  #enter(state: ProjectionState, error?: unknown, failure?: ProjectionFailure): void {
    const changed = this.#state !== state
    this.#state = state
    this.error = error
    this.failure = failure
    if (failure === undefined && state !== 'stopped') this.#failures.over({ isWorking: state !== 'standby' })
    if (!changed) return
    this.#parts.session.telemetry.projectionStateChanged({ projection: this.name, state })
    this.#parts.onChange()
  }
}
