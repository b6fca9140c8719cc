import type { Advanced, CheckpointStore } from '../checkpoint-store.ts'
import type { Clock } from '../clock.ts'
import { untilAborted } from '../deferred.ts'
import type { EventSource, Evidence, HighWaterReading, Page } from '../event-source.ts'
import type { HighWaterAgent } from '../high-water/agent.ts'
import { formatEvidence } from '../high-water/store-poll.ts'
import { isReached } from '../position.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { type FailureAction, onFailure } from './error-policy.ts'
import { PageReader } from './page-reader.ts'
import type { ResolvedProjection } from './projection.ts'
import type { ProjectionState } from './status.ts'

export interface RunnerParts<P, E, Tx> {
  readonly projection: ResolvedProjection<E, Tx>
  readonly source: EventSource<P, E>
  readonly checkpoints: CheckpointStore<Tx>
  readonly agent: HighWaterAgent<P>
  readonly telemetry: Required<Telemetry>
  readonly clock: Clock
  /** A change of this projection that `waitUntilProjected` looks at. */
  readonly onChange: () => void
}

/** How often a checkpoint follows the mark while nothing matches the projection's filter. */
const FOLLOW_MARK_EVERY_MS = 1_000
const STANDBY_LOOK_EVERY_MS = 250
/** A checkpoint that has stood still for this long, with events waiting all along, is tried for. */
const STANDBY_PATIENCE_MS = { everyEvent: 250, filtered: 250 + FOLLOW_MARK_EVERY_MS }

/**
 * Moves one projection: load -> handle -> checkpoint, up to the mark and no further, the next page fetched while the
 * current one is handled. `state` says where it stands (status.ts).
 */
export class ProjectionRunner<P, E, Tx> {
  state: ProjectionState = 'stopped'
  error: unknown
  handledEvents = 0
  /** What is durably processed, with its skip totals. */
  checkpoint: { readonly position: P | undefined; readonly skipped: Advanced['skipped'] } | undefined
  readonly #parts: RunnerParts<P, E, Tx>
  readonly #pages: PageReader<P, E>
  readonly #stopping = new AbortController()
  readonly #giveUp = new AbortController()
  /** How far events were looked at; above the checkpoint where nothing matched since. */
  #cursor: P | undefined
  #cursorIncarnation: string | undefined
  /** Whether `checkpoint` is what the store said since the last failure. */
  #isCheckpointRead = false
  #checkpointedAtMs = 0
  /** The first reading's head; there may be none yet. */
  #startedAt: { readonly head: P | undefined } | undefined
  #failedAttempts = 0
  #failuresInARow = 0
  #loop: Promise<void> = Promise.resolve()

  constructor(parts: RunnerParts<P, E, Tx>) {
    this.#parts = parts
    this.#pages = new PageReader(parts.source, parts.projection, this.#stopping.signal)
  }

  get name(): string {
    return this.#parts.projection.name
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
    while (!signal.aborted && this.state !== 'paused') {
      try {
        if (this.state === 'standby') await this.#standBy()
        if (!signal.aborted) await this.#step()
      } catch (error) {
        if (!signal.aborted) await this.#recover(error)
      }
    }
    if (this.state !== 'paused') this.#enter('stopped', this.error)
  }

  async #step(): Promise<void> {
    const { agent, source } = this.#parts
    const reading = agent.reading
    if (reading) this.#startedAt ??= { head: reading.head }
    const isOfAnother = reading !== undefined && reading.incarnation !== this.#cursorIncarnation
    if (!this.#isCheckpointRead || isOfAnother) await this.#readCheckpoint(reading?.incarnation)
    if (reading?.mark === undefined || isReached(source.order, reading.mark, this.#cursor)) {
      await this.#followMark(reading)
      return
    }
    const page = await this.#pages.next(this.#cursor, reading)
    if (this.#stopping.signal.aborted) return
    if (page.events.length > 0) return await this.#handle(page, reading)
    this.#moveCursor(page.through)
    if (this.state === 'retrying' || this.state === 'standby') this.#enter('catching_up')
    // Under load the mark never waits to be followed.
    if (this.#followDueInMs() === 0) await this.#advance(page.through, reading, async () => {})
  }

  async #handle(page: Page<P, E>, reading: HighWaterReading<P>): Promise<void> {
    const { projection, clock, telemetry, source, agent } = this.#parts
    if (this.state !== 'retrying' && this.state !== 'standby') this.#enter('catching_up')
    const startedMs = clock.nowMs()
    await this.#advance(page.through, reading, async (tx) => {
      const handled = projection.handle(page.events, { tx, signal: this.#giveUp.signal })
      // Only now that the handler's first statement is on its way: what takes this process time (parsing the next page)
      // then falls into the server's work on it, and an owner that lost the checkpoint loads nothing.
      this.#pages.prefetch(page.through, agent.reading ?? reading)
      await handled
    })
    this.#enter('catching_up')
    this.handledEvents += page.events.length
    telemetry.batchProcessed({
      projection: projection.name,
      events: page.events.length,
      durationMs: clock.nowMs() - startedMs,
      through: source.order.format(page.through),
    })
  }

  async #advance(to: P, evidence: Evidence<P>, work: (tx: Tx) => Promise<void>): Promise<void> {
    const { checkpoints, source, clock, telemetry } = this.#parts
    const { format } = source.order
    const from = this.checkpoint?.position
    const advanced = await checkpoints.advance(
      {
        projection: this.name,
        source: source.name,
        from: from === undefined ? undefined : format(from),
        to: format(to),
        evidence: formatEvidence(format, evidence),
        startedAtHead: this.#startedAt?.head === undefined ? undefined : format(this.#startedAt.head),
        signal: this.#giveUp.signal,
      },
      work,
    )
    this.checkpoint = { position: to, skipped: advanced.skipped }
    this.#checkpointedAtMs = clock.nowMs()
    this.#failedAttempts = 0
    this.#failuresInARow = 0
    if (advanced.crossed.length > 0) {
      telemetry.skipped({ projection: this.name, crossed: advanced.crossed, totals: advanced.skipped })
    }
    this.#moveCursor(to)
  }

  /** Nothing to load: the checkpoint follows the cursor now and then, and a change of the mark is waited for. */
  async #followMark(reading: HighWaterReading<P> | undefined): Promise<void> {
    const { agent, clock } = this.#parts
    const dueInMs = reading && this.#followDueInMs()
    if (reading && dueInMs === 0 && this.#cursor !== undefined) {
      await this.#advance(this.#cursor, reading, async () => {})
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

  async #readCheckpoint(incarnation: string | undefined): Promise<void> {
    const { checkpoints, source } = this.#parts
    const { position, skipped } = await checkpoints.read(this.name, source.name)
    this.checkpoint = { position: position === undefined ? undefined : source.order.parse(position), skipped }
    this.#isCheckpointRead = true
    // A cursor above the checkpoint is in memory only, and worth nothing in another incarnation.
    this.#cursorIncarnation = incarnation
    this.#moveCursor(this.checkpoint?.position)
  }

  #moveCursor(to: P | undefined): void {
    this.#cursor = to
    this.#parts.onChange()
  }

  async #recover(error: unknown): Promise<void> {
    const { source, checkpoints, projection, clock, agent } = this.#parts
    this.#pages.drop()
    // What is known of the checkpoint may be wrong: a commit whose answer was lost counts.
    this.#isCheckpointRead = false
    const transient = source.isTransient(error) || checkpoints.isTransient(error)
    const action = onFailure({
      error,
      transient,
      attempt: this.#failedAttempts + 1,
      inARow: ++this.#failuresInARow,
      attempts: projection.attempts,
    })
    this.#report(action, error)
    if (action.kind === 'stand_by') {
      this.#failuresInARow = 0
      return this.#enter('standby')
    }
    if (action.kind === 'pause') return this.#enter('paused', error)
    if (action.kind === 'retry' && action.counted) this.#failedAttempts++
    if (action.kind === 'drop_page') agent.wake()
    this.#enter('retrying', error)
    await clock.sleep(action.waitMs, this.#stopping.signal)
  }

  #report(action: FailureAction, error: unknown): void {
    const { telemetry } = this.#parts
    if (action.kind === 'stand_by') telemetry.checkpointConflict({ projection: this.name })
    else
      telemetry.handlerFailed({
        projection: this.name,
        action: action.kind === 'pause' ? 'pause' : 'retry',
        error,
      })
  }

  /** Looks at the checkpoint until its owner leaves it alone for a while with events waiting. */
  async #standBy(): Promise<void> {
    const { clock, source, agent, projection } = this.#parts
    const { signal } = this.#stopping
    const patienceMs = projection.eventTypes ? STANDBY_PATIENCE_MS.filtered : STANDBY_PATIENCE_MS.everyEvent
    let still: { readonly position: P | undefined; readonly sinceMs: number } | undefined
    while (!signal.aborted) {
      await this.#readCheckpoint(agent.reading?.incarnation)
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

  #enter(state: ProjectionState, error?: unknown): void {
    const changed = this.state !== state
    this.state = state
    this.error = error
    if (!changed) return
    this.#parts.telemetry.projectionStateChanged({ projection: this.name, state })
    this.#parts.onChange()
  }
}
