import { PollingAgent } from '../high-water/agent.ts'
import type { HighWaterStatus } from '../high-water/status.ts'
import { backOffMs } from '../kernel/back-off.ts'
import { type Deferred, deferred, untilAborted, whenAborted } from '../kernel/deferred.ts'
import { describeError } from '../kernel/describe-error.ts'
import {
  InvalidOptionError,
  LifecycleError,
  messageOf,
  WaitFailedError,
  WaitTimeoutError,
} from '../kernel/errors.ts'
import { FailureLog } from '../kernel/failure-log.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireStartOptions, type StartOptions, startUntil } from '../kernel/start.ts'
import { noAnswerFor, warnWhileUnanswered } from '../kernel/unanswered.ts'
import { requireAbove0 } from '../kernel/validation.ts'
import { ByConflict } from '../ownership/by-conflict.ts'
import type { HighWaterReading } from '../ports/event-source.ts'
import { isReached } from '../ports/position.ts'
import { lagPositions } from '../projection/lag.ts'
import { ProjectionRunner } from '../projection/runner.ts'
import { standbyPatienceMs } from '../projection/standing.ts'
import { type ProjectionStatus, projectionStatus } from '../projection/status.ts'
import { inBackground } from '../telemetry/background.ts'
import { projectionGauges, storeGauges } from '../telemetry/gauge-readings.ts'
import type { GaugeReading } from '../telemetry/metrics.ts'
import { TelemetrySession } from '../telemetry/session.ts'
import { type DaemonOptions, type ResolvedDaemonOptions, resolveDaemonOptions } from './options.ts'

/** One high-water agent and a runner for each projection. */
export interface Daemon<P> extends AsyncDisposable {
  /**
   * Prepares the checkpoint store, checks the source's conditions and starts every projection. Waits while the store
   * cannot be reached. Rejects when a condition is violated. When `stop()` is called meanwhile, resolves without having
   * started them. A started daemon keeps the process alive until `stop()`.
   */
  start(options?: StartOptions): Promise<void>
  /**
   * Drains: batches at hand are finished and checkpointed. After `drainTimeoutMs` the handlers' signals fire, their
   * transactions are destroyed and `stop` resolves all the same. May be called twice. `await using` calls it.
   */
  stop(): Promise<void>
  /**
   * Where everything stands, computed now. `JSON.stringify` can write it, and each part: positions as the texts that
   * checkpoints have, other bigints as decimal texts, errors with `name`, `message`, `stack`, `cause` and their fields.
   */
  status(): DaemonStatus<P>
  /**
   * Resolves when everything appended before this call (or everything up to `upTo`) is projected, by this daemon or
   * by another on the same checkpoints. Rejects when one of the projections is paused or stopped
   * (`WaitFailedError`), after `timeoutMs` (`WaitTimeoutError`), or when `signal` fires.
   */
  waitUntilProjected(options?: WaitUntilProjectedOptions<P>): Promise<void>
  /** Says that something may have been appended: saves the wait until the next poll. Only ever a hint. */
  wake(): void
}

export interface WaitUntilProjectedOptions<P> {
  /**
   * The position that is to be projected.
   * - Change it when: you know which one you wait for, as after an append. Then nobody else's events are waited for.
   * @default what the store has handed out when this is called
   */
  readonly upTo?: P
  /**
   * Names of the projections that are waited for.
   * - Change it when: you read what only some of them write: the slowest of all is then not waited for.
   * @default every projection
   */
  readonly projections?: readonly string[]
  /**
   * Ends the wait, which rejects with the signal's reason.
   * - Change it when: who asked may go away meanwhile, as the client of a request.
   * @default none
   */
  readonly signal?: AbortSignal
  /**
   * How long to wait before it rejects with a `WaitTimeoutError`.
   * - Raising it: whoever waits is kept for longer behind a projection that has stopped.
   * - Lowering it: more waits end before their event was handled.
   * - Change it when: somebody waits for the answer, as in a request.
   * @default no limit
   */
  readonly timeoutMs?: number
}

export interface DaemonStatus<P> {
  readonly highWater: HighWaterStatus<P>
  readonly projections: readonly ProjectionStatus<P>[]
}

const WAIT_OPTIONS: Readonly<Record<keyof WaitUntilProjectedOptions<unknown>, true>> = {
  upTo: true,
  projections: true,
  signal: true,
  timeoutMs: true,
}

export function createDaemon<
  P,
  E,
  Tx,
  K extends PropertyKey = PropertyKey,
  const Types extends readonly unknown[] = readonly unknown[],
>(options: DaemonOptions<P, E, Tx, K, Types>): Daemon<P> {
  // From here on a handler takes every event of its source: that it is given those of its `eventTypes` alone, the source sees to.
  return new ProjectionDaemon(resolveDaemonOptions(options as unknown as DaemonOptions<P, E, Tx>))
}

/** After `drainTimeoutMs`, how long a destroyed transaction may take to end before `stop` no longer waits for it. */
const LAST_GRACE_MS = 1_000

class ProjectionDaemon<P, E, Tx> implements Daemon<P> {
  readonly #options: ResolvedDaemonOptions<P, E, Tx>
  readonly #session: TelemetrySession<P, E>
  readonly #agent: PollingAgent<P>
  readonly #runners: readonly ProjectionRunner<P, E, Tx>[]
  readonly #stopping = new AbortController()
  #life: 'new' | 'started' | 'stopped' = 'new'
  #starting: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  #change: Deferred = deferred()
  /** Resolves when `stop()` has, also where a store has not answered. */
  readonly #over: Deferred = deferred()

  constructor(options: ResolvedDaemonOptions<P, E, Tx>) {
    const { source, checkpoints, projections, highWater, clock, traceContext } = options
    const { metrics, telemetry, onTelemetryError, telemetryLogger, logger } = highWater
    this.#options = options
    this.#session = new TelemetrySession<P, E>({
      metrics,
      telemetry,
      onTelemetryError,
      telemetryLogger,
      source: source.name,
      order: source.order,
      projections: projections.map(({ name }) => name),
      traceContext,
      gauges: () => this.#gauges(),
    })
    this.#agent = new PollingAgent(highWater, this.#session, {
      opensSession: false,
      projected: () => this.#projected(),
    })
    this.#runners = projections.map(
      (projection) =>
        new ProjectionRunner({
          projection,
          source,
          checkpoints,
          ownership: new ByConflict({
            checkpoints,
            order: source.order,
            agent: this.#agent,
            clock,
            patienceMs: standbyPatienceMs(projection),
          }),
          agent: this.#agent,
          session: this.#session,
          logger,
          clock,
          onChange: () => this.#changed(),
        }),
    )
  }

  async start(options: StartOptions = {}): Promise<void> {
    requireStartOptions(options)
    if (this.#life !== 'new') {
      throw new LifecycleError(`this daemon was already ${this.#life}; make a new one to start again`)
    }
    this.#life = 'started'
    await startUntil(options, {
      begin: () => this.#startNow(),
      stop: () => this.stop(),
      over: this.#over.promise,
    })
  }

  async #startNow(): Promise<void> {
    this.#starting = inBackground(() => this.#begin())
    try {
      await Promise.race([this.#starting, this.#over.promise])
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  async #begin(): Promise<void> {
    await this.#session.open()
    if (this.#isStopping()) return
    await this.#prepareCheckpoints()
    if (this.#isStopping()) return
    await this.#agent.start()
    if (this.#isStopping()) return
    for (const runner of this.#runners) runner.start()
  }

  /**
   * Retries while the store is unreachable. Logs it at once and then at most once a minute, because status() cannot show
   * it yet.
   */
  async #prepareCheckpoints(): Promise<void> {
    const { checkpoints, clock, highWater } = this.#options
    const { signal } = this.#stopping
    const failures = new FailureLog()
    const warn = (why: string): void =>
      highWater.logger.warn(
        `tidemark: the checkpoint store cannot be prepared yet, and nothing is projected until it is: ${why}`,
      )
    for (let inARow = 1; !this.#isStopping(); inARow++) {
      try {
        const prepared = Promise.resolve(checkpoints.prepare?.(signal))
        return await warnWhileUnanswered(prepared, {
          clock,
          signal,
          warn: (forMs) => warn(noAnswerFor(forMs)),
        })
      } catch (error) {
        if (this.#isStopping()) return
        if (!checkpoints.isTransient(error)) throw error
        if (failures.failed(clock.nowMs())) warn(describeError(error))
        await clock.sleep(backOffMs(inARow), signal)
      }
    }
  }

  #isStopping(): boolean {
    return this.#life === 'stopped'
  }

  stop(): Promise<void> {
    this.#life = 'stopped'
    this.#stopping.abort()
    this.#stopped ??= this.#drain()
    return this.#stopped
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #drain(): Promise<void> {
    const { clock, drainTimeoutMs } = this.#options
    const over = new AbortController()
    const drained = Promise.all(this.#runners.map((runner) => runner.drain()))
    const agentStopped = this.#agent.stop()
    const everything = Promise.all([this.#starting?.catch(() => {}), drained, agentStopped])
    const isDrained = everything.then(() => true)
    const isLate = clock.sleep(drainTimeoutMs, over.signal).then(() => false)
    if (!(await Promise.race([isDrained, isLate]))) {
      for (const runner of this.#runners) runner.giveUp()
      await Promise.race([everything, clock.sleep(LAST_GRACE_MS, over.signal)])
    }
    over.abort()
    this.#session.close()
    this.#changed()
    this.#over.resolve()
  }

  *#gauges(): Iterable<GaugeReading> {
    const { source } = this.#options
    const { highWater, projections } = this.status()
    yield* storeGauges(source.name, highWater, source.order.approximate)
    for (const projection of projections) yield* projectionGauges(projection, source.order.approximate)
  }

  wake(): void {
    this.#agent.wake()
  }

  status(): DaemonStatus<P> {
    const { order } = this.#options.source
    const highWater = this.#agent.status()
    const projections = this.#runners.map((runner) =>
      projectionStatus(order, {
        name: runner.name,
        state: runner.state,
        position: runner.checkpoint?.position,
        lagPositions: lagPositions(order, highWater, runner.checkpoint?.position),
        lagMs: runner.lagMs(highWater),
        handledEvents: runner.handledEvents,
        skipped: runner.checkpoint?.skipped,
        error: runner.error,
        failure: runner.failure,
      }),
    )
    return { highWater, projections }
  }

  /** The least of the checkpoints. */
  #projected(): P | undefined {
    const { order } = this.#options.source
    const [first, ...others] = this.#runners.map(({ checkpoint }) => checkpoint?.position)
    return others.reduce((least, position) => (isReached(order, least, position) ? least : position), first)
  }

  async waitUntilProjected(options: WaitUntilProjectedOptions<P> = {}): Promise<void> {
    requireKnownOptions(options, WAIT_OPTIONS)
    const { upTo, timeoutMs, signal } = options
    const runners = this.#select(options.projections)
    if (timeoutMs !== undefined) requireAbove0('timeoutMs', timeoutMs)
    signal?.throwIfAborted()
    const over = new AbortController()
    const given = whenAborted(signal)
    void given.promise.then(() => over.abort(signal?.reason))
    if (timeoutMs !== undefined) {
      void this.#options.clock.sleep(timeoutMs, over.signal).then(() => {
        over.abort(new WaitTimeoutError(`not projected within ${timeoutMs} ms: ${describe(runners)}`))
      })
    }
    try {
      await Promise.race([
        this.#untilProjected(runners, upTo, over.signal),
        this.#untilFailed(runners, over.signal),
      ])
    } finally {
      over.abort()
      given.dispose()
    }
  }

  async #untilProjected(
    runners: readonly ProjectionRunner<P, E, Tx>[],
    upTo: P | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    this.#agent.wake()
    let asked = upTo === undefined ? await this.#agent.freshReading({ signal }) : undefined
    for (;;) {
      signal.throwIfAborted()
      const now = this.#agent.reading
      // Positions that another incarnation has handed out may never be handed out again.
      if (asked && now && now.incarnation !== asked.incarnation) asked = now
      if (now && this.#isProjected(runners, upTo ?? asked?.head, now)) return
      await this.#nextChange(signal)
    }
  }

  #isProjected(
    runners: readonly ProjectionRunner<P, E, Tx>[],
    target: P | undefined,
    { settled, mark, incarnation }: HighWaterReading<P>,
  ): boolean {
    const { order } = this.#options.source
    if (!isReached(order, target, settled)) return false
    // The last visible event at or below the target: a rolled-back tail is never projected.
    const goal = isReached(order, target, mark) ? target : mark
    return runners.every((runner) => isReached(order, goal, runner.cursorIn(incarnation)))
  }

  async #untilFailed(runners: readonly ProjectionRunner<P, E, Tx>[], signal: AbortSignal): Promise<never> {
    for (;;) {
      signal.throwIfAborted()
      this.#requireRunning(runners)
      await this.#nextChange(signal)
    }
  }

  #requireRunning(runners: readonly ProjectionRunner<P, E, Tx>[]): void {
    const highWater = this.#agent.status()
    if (highWater.state === 'halted') {
      throw new WaitFailedError(`polling is halted: ${messageOf(highWater.error)}`, {
        cause: highWater.error,
      })
    }
    for (const { name, state, error } of runners) {
      if (state !== 'paused' && state !== 'stopped') continue
      const why = error === undefined ? '' : `: ${messageOf(error)}`
      throw new WaitFailedError(`projection "${name}" is ${state}${why}`, { cause: error })
    }
  }

  #select(names: readonly string[] | undefined): readonly ProjectionRunner<P, E, Tx>[] {
    if (names === undefined) return this.#runners
    return names.map((name) => {
      const runner = this.#runners.find((candidate) => candidate.name === name)
      if (!runner) throw new InvalidOptionError('projections', 'names of projections of this daemon', name)
      return runner
    })
  }

  #nextChange(signal: AbortSignal): Promise<void> {
    return untilAborted(Promise.race([this.#change.promise, this.#agent.nextChange()]), signal)
  }

  #changed(): void {
    const change = this.#change
    this.#change = deferred()
    change.resolve()
  }
}

function describe(runners: readonly { name: string; state: string; error: unknown }[]): string {
  return runners
    .map(({ name, state, error }) => {
      const why = state === 'retrying' ? ` (${messageOf(error)})` : ''
      return `"${name}" is ${state}${why}`
    })
    .join(', ')
}
