import { backOffMs as failureBackOffMs } from '../kernel/back-off.ts'
import { type Deferred, deferred, untilAborted } from '../kernel/deferred.ts'
import { hasCode, LifecycleError, messageOf, WaitFailedError } from '../kernel/errors.ts'
import { requireStartOptions, type StartOptions, startUntil } from '../kernel/start.ts'
import type { HighWaterReading } from '../ports/event-source.ts'
import { isReached } from '../ports/position.ts'
import { inBackground } from '../telemetry/background.ts'
import { storeGauges } from '../telemetry/gauge-readings.ts'
import type { GaugeReading } from '../telemetry/metrics.ts'
import { TelemetrySession } from '../telemetry/session.ts'
import { StaleWarning } from '../telemetry/stale-warning.ts'
import { leastRestMs, nextBackOffMs, POLLS_REMEMBERED, restMs } from './cadence.ts'
import {
  type HighWaterAgentOptions,
  type ResolvedHighWaterAgentOptions,
  resolveHighWaterAgentOptions,
} from './options.ts'
import { PollStopwatch } from './poll-stopwatch.ts'
import { HighWaterObservation, type HighWaterStatus } from './status.ts'
import { StorePoll } from './store-poll.ts'

interface WaitOptions {
  /**
   * Ends the wait, which rejects with the signal's reason.
   * - Change it when: who asked may go away meanwhile, as the client of a request.
   * @default none
   */
  readonly signal?: AbortSignal
}

/** Holds the high-water mark of one source. Usable alone, by those who keep their own polling loop. */
export interface HighWaterAgent<P> extends AsyncDisposable {
  /**
   * Polls once, checking every condition, then goes on polling until `stop()`; that keeps the process alive. Rejects
   * when a condition is violated; while the store cannot be reached it resolves, and `status().error` says so. Resolves
   * when `stop()` is called meanwhile.
   */
  start(options?: StartOptions): Promise<void>
  /** Ends polling. Waits still open reject. May be called twice. `await using` calls it. */
  stop(): Promise<void>
  /** The position up to which it is safe to read now; `undefined` before the first event is settled. */
  readonly mark: P | undefined
  /** The newest poll. */
  readonly reading: HighWaterReading<P> | undefined
  status(): HighWaterStatus<P>
  /** Resolves when `position` and everything below it is settled. Rejects when polling halts or `signal` fires. */
  waitFor(position: P, options?: WaitOptions): Promise<void>
  /** The reading of a poll that began after this call. */
  freshReading(options?: WaitOptions): Promise<HighWaterReading<P>>
  /** Says that something may have been appended. Only ever a hint. */
  wake(): void
  /** Resolves at the next change of the reading or of the agent's state. */
  nextChange(): Promise<void>
}

export function createHighWaterAgent<P>(options: HighWaterAgentOptions<P>): HighWaterAgent<P> {
  const resolved = resolveHighWaterAgentOptions(options)
  const { source, metrics, telemetry, onTelemetryError, telemetryLogger } = resolved
  const session: TelemetrySession<P, never> = new TelemetrySession<P, never>({
    metrics,
    telemetry,
    onTelemetryError,
    telemetryLogger,
    source: source.name,
    order: source.order,
    projections: [],
    traceContext: () => undefined,
    gauges: (): readonly GaugeReading[] => storeGauges(source.name, agent.status(), source.order.approximate),
  })
  const agent: PollingAgent<P> = new PollingAgent(resolved, session, () => undefined)
  return agent
}

/** How long `stop()` waits for a poll that does not heed its signal. */
const STOP_GRACE_MS = 1_000
const HALTED_TURN_MS = 3_600_000
/** How soon the log follows what `status()` says. */
const LOOK_EVERY_MS = 1_000

type PollResult =
  | { readonly failed: false; readonly storeMs: number }
  | { readonly failed: true; readonly transient: boolean; readonly error: unknown }

/**
 * One loop, one poll at a time: `idle` -> `polling` <-> `failing` -> `halted` or `stopped`. A poll that fails drops
 * nothing: the source compares incarnations when it is reached again.
 */
export class PollingAgent<P> implements HighWaterAgent<P> {
  reading: HighWaterReading<P> | undefined
  readonly #options: ResolvedHighWaterAgentOptions<P>
  readonly #session: TelemetrySession<P, never>
  readonly #staleWarning: StaleWarning<P>
  readonly #stopping = new AbortController()
  readonly #poll: StorePoll<P>
  readonly #observation: HighWaterObservation<P>
  #state: HighWaterStatus<P>['state'] = 'idle'
  #error: unknown
  #pollsBegun = 0
  #readingOfPoll = 0
  #wakeUp = new AbortController()
  #change: Deferred = deferred()
  readonly #over: Deferred = deferred()
  #loop: Promise<void> | undefined
  #doubted: string | undefined
  #stopwatch: PollStopwatch | undefined
  #lastPollsMs: readonly number[] = []

  constructor(
    options: ResolvedHighWaterAgentOptions<P>,
    session: TelemetrySession<P, never>,
    /** See `HighWaterRequest.projected`. */
    projected: () => P | undefined,
  ) {
    const { source, logger } = options
    this.#options = options
    this.#session = session
    this.#staleWarning = new StaleWarning(
      source.name,
      logger,
      source.order.format,
      source.lookCloser?.bind(source),
    )
    this.#observation = new HighWaterObservation(options.source.order, options.staleAfterMs)
    this.#poll = new StorePoll(options, this.#stopping.signal, () => this.#forget(), projected)
  }

  get mark(): P | undefined {
    return this.reading?.mark
  }

  async start(options: StartOptions = {}): Promise<void> {
    requireStartOptions(options)
    if (this.#state !== 'idle') {
      throw new LifecycleError(
        `the high-water agent was already started or stopped; make a new one to start again`,
      )
    }
    this.#state = 'polling'
    await startUntil(options, {
      begin: () => inBackground(() => this.#begin()),
      stop: () => this.stop(),
      over: this.#over.promise,
    })
  }

  async #begin(): Promise<void> {
    await this.#openSession()
    if (this.#stopping.signal.aborted) return
    void this.#watchStaleness()
    const firstPoll = this.#pollOnce()
    this.#loop = firstPoll.then(() => {})
    const begun = await firstPoll
    if (this.#stopping.signal.aborted) return
    if (begun.failed && !begun.transient) {
      this.#stopping.abort()
      this.#session.close(this)
      this.#enter('stopped', begun.error)
      throw begun.error
    }
    if (begun.failed) this.#enter('failing', begun.error)
    this.#loop = this.#pollUntilStopped(begun.failed ? 1 : 0)
    if (this.#options.source.wakeUps) void this.#listen()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.wake()
    const over = new AbortController()
    await Promise.race([this.#loop, this.#options.clock.sleep(STOP_GRACE_MS, over.signal)])
    over.abort()
    this.#session.close(this)
    this.#enter('stopped', this.#error)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #openSession(): Promise<void> {
    try {
      await this.#session.open(this)
    } catch (error) {
      this.#enter('stopped', error)
      throw error
    }
  }

  wake(): void {
    this.#wakeUp.abort()
  }

  /**
   * A page or a checkpoint found another incarnation than this one. The next poll begins anew. Without this, a poll on
   * a connection that it knows would not compare, and such a connection may live as long as the process.
   */
  doubt(incarnation: string): void {
    this.#doubted = incarnation
    this.wake()
  }

  nextChange(): Promise<void> {
    return this.#change.promise
  }

  async waitFor(position: P, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { order } = this.#options.source
    this.wake()
    await this.#until(() => isReached(order, position, this.reading?.settled), signal)
  }

  async freshReading({ signal }: { readonly signal?: AbortSignal } = {}): Promise<HighWaterReading<P>> {
    const after = this.#pollsBegun
    this.wake()
    let fresh: HighWaterReading<P> | undefined
    await this.#until(() => {
      if (this.#readingOfPoll > after) fresh = this.reading
      return fresh !== undefined
    }, signal)
    return fresh as HighWaterReading<P>
  }

  status(): HighWaterStatus<P> {
    const nowMs = this.#options.clock.nowMs()
    return this.#observation.status(this.#state, this.#error, nowMs, this.#stopwatch?.waitsFor)
  }

  /** When an event above `position` was first seen below a mark; `undefined` where there is none. */
  firstSeenAboveMs(position: P | undefined): number | undefined {
    return this.#observation.firstSeenAboveMs(position)
  }

  async #until(condition: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    while (!condition()) {
      signal?.throwIfAborted()
      if (this.#state !== 'polling' && this.#state !== 'failing') {
        const why = this.#error === undefined ? '' : `: ${messageOf(this.#error)}`
        throw new WaitFailedError(`the high-water agent is ${this.#state}${why}`, { cause: this.#error })
      }
      await untilAborted(this.nextChange(), signal)
    }
  }

  async #pollUntilStopped(failed: number): Promise<void> {
    const { clock } = this.#options
    const { signal } = this.#stopping
    let failures = failed
    let backOffMs = 0
    while (!signal.aborted) {
      if (failures > 0) await clock.sleep(failureBackOffMs(failures), signal)
      else await clock.sleep(backOffMs, this.#wakeUp.signal)
      if (signal.aborted) return
      if (this.#wakeUp.signal.aborted) this.#wakeUp = new AbortController()

      const before = this.reading
      const poll = await this.#pollOnce()
      if (signal.aborted) return
      failures = poll.failed ? failures + 1 : 0
      if (poll.failed) this.#enter('failing', poll.error)
      if (poll.failed) {
        if (hasCode(poll.error, 'TIDEMARK_STORE_REWOUND')) return await this.#halt(poll.error)
        if (hasCode(poll.error, 'TIDEMARK_LATE_EVENTS')) {
          // The mark was wrong: reading up to it would pass more events.
          this.reading = undefined
          return await this.#halt(poll.error)
        }
        continue
      }
      backOffMs = nextBackOffMs(this.#options, {
        moved: this.#hasMoved(before),
        behind: this.#observation.isBehind,
        backOffMs,
      })
      await this.#rest(poll.storeMs)
    }
  }

  async #rest(storeMs: number): Promise<void> {
    const { clock } = this.#options
    this.#lastPollsMs = [...this.#lastPollsMs, storeMs].slice(-POLLS_REMEMBERED)
    const leastMs = leastRestMs(this.#options, this.#lastPollsMs)
    const furtherMs = restMs(this.#options, storeMs) - leastMs
    await clock.sleep(leastMs, this.#stopping.signal)
    if (furtherMs > 0) await clock.sleep(furtherMs, this.#wakeUp.signal)
  }

  /** Has a timer of its own: nothing else reports a poll that hangs. */
  async #watchStaleness(): Promise<void> {
    const { clock } = this.#options
    const { signal } = this.#stopping
    while (!signal.aborted && this.#state !== 'halted') {
      this.#staleWarning.look(this.status(), clock.nowMs())
      await clock.sleep(LOOK_EVERY_MS, signal)
    }
  }

  /** Keeps the process alive: a process that ends by itself looks as if its work was done. */
  async #halt(error: unknown): Promise<void> {
    const { signal } = this.#stopping
    this.#enter('halted', error)
    this.#options.logger.error(`tidemark: ${this.#options.source.name}: ${messageOf(error)}`)
    while (!signal.aborted) await this.#options.clock.sleep(HALTED_TURN_MS, signal)
  }

  #forget(): void {
    this.reading = undefined
    this.#observation.forget()
  }

  #hasMoved(before: HighWaterReading<P> | undefined): boolean {
    const { order } = this.#options.source
    const now = this.reading
    if (before === now || now === undefined) return false
    if (before === undefined) return true
    const same = (a: P | undefined, b: P | undefined): boolean =>
      isReached(order, a, b) && isReached(order, b, a)
    return !same(before.settled, now.settled) || !same(before.mark, now.mark) || !same(before.head, now.head)
  }

  async #pollOnce(): Promise<PollResult> {
    const { source, clock } = this.#options
    const poll = ++this.#pollsBegun
    const stopwatch = new PollStopwatch(clock)
    this.#stopwatch = stopwatch
    this.#observation.begin(clock.nowMs())
    try {
      if (this.#doubted !== undefined && this.#doubted === this.reading?.incarnation) this.#forget()
      this.#doubted = undefined
      const before = this.reading
      const reading = await this.#poll.read(before, (what) => stopwatch.waiting(what))
      const now = clock.nowMs()
      const storeMs = stopwatch.storeMs()
      const durationMs = stopwatch.totalMs()
      this.reading = reading
      this.#readingOfPoll = poll
      const closedGaps = this.#observation.succeed(reading, now)
      const { telemetry, tracing } = this.#session
      telemetry.polled({
        source: source.name,
        durationMs,
        reading,
        moved: this.#hasMoved(before),
        closedGaps,
      })
      tracing.gapsClosed(source.name, closedGaps, now, (position) => source.order.format(position as P))
      this.#enter('polling', undefined)
      // This may hang or fail as well.
      this.#observation.begin(now)
      await this.#poll.saveSettled(reading)
      this.#observation.answered()
      return { failed: false, storeMs }
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.#session.telemetry.pollFailed({ source: source.name, error })
      return { failed: true, transient: this.#poll.isTransient(error), error }
    }
  }

  #enter(state: HighWaterStatus<P>['state'], error: unknown): void {
    this.#state = state
    this.#error = error
    const change = this.#change
    this.#change = deferred()
    change.resolve()
    if (state === 'stopped') this.#over.resolve()
  }

  /**
   * Wake-ups that fail or end are tried again after a while. Polling goes on meanwhile, so this is no failed poll. One
   * warning for each series of failures.
   */
  async #listen(): Promise<void> {
    const { source, clock, logger } = this.#options
    const { signal } = this.#stopping
    for (let inARow = 1; !signal.aborted; inARow++) {
      try {
        for await (const _ of source.wakeUps?.(signal) ?? []) {
          inARow = 1
          this.wake()
        }
      } catch (error) {
        if (!signal.aborted && inARow === 1) {
          logger.warn(
            `tidemark: wake-ups of ${source.name} failed and are tried again; polling goes on: ${messageOf(error)}`,
          )
        }
      }
      await clock.sleep(failureBackOffMs(inARow), signal)
    }
  }
}
