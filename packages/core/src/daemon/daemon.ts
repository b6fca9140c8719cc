import { judge } from '../health/judge.ts'
import { type HealthOptions, resolveHealthOptions } from '../health/options.ts'
import type { DaemonHealth } from '../health/verdict.ts'
import { PollingAgent } from '../high-water/polling-agent.ts'
import type { HighWaterStatus } from '../high-water/status.ts'
import { Changes } from '../kernel/changes.ts'
import { type Deferred, deferred } from '../kernel/deferred.ts'
import { LifecycleError } from '../kernel/errors.ts'
import { requireStartOptions, type StartOptions, startUntil } from '../kernel/start.ts'
import type { ClusterStatus } from '../ownership/status.ts'
import type { ProjectionStatus } from '../projection/status.ts'
import { inBackground } from '../telemetry/background.ts'
import { leaseGauges, letterGauges, projectionGauges, storeGauges } from '../telemetry/gauge-readings.ts'
import type { GaugeReading } from '../telemetry/metrics.ts'
import { TelemetrySession } from '../telemetry/session.ts'
import { drain } from './drain.ts'
import { LateWork } from './late-work.ts'
import { LetterCounts } from './letter-counts.ts'
import { type DaemonOptions, type ResolvedDaemonOptions, resolveDaemonOptions } from './options.ts'
import { prepareCheckpoints } from './prepare.ts'
import { Units } from './units.ts'
import { type WaitUntilProjectedOptions, waitUntilProjected } from './wait.ts'

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
   * Whether work goes on, computed now from what is known: nothing is asked of a store. Plain JSON, without the messages of
   * errors.
   */
  health(options?: HealthOptions): DaemonHealth
  /**
   * Resolves when everything appended before this call (or everything up to `upTo`) is projected, by this daemon or
   * by another on the same checkpoints. Rejects when one of the projections is paused or stopped
   * (`WaitFailedError`), after `timeoutMs` (`WaitTimeoutError`), or when `signal` fires. While it waits for a poll, polls are
   * not kept `pollDelayMs` apart, but within `pollTimeShare`.
   */
  waitUntilProjected(options?: WaitUntilProjectedOptions<P>): Promise<void>
  /**
   * Says that something may have been appended: the next poll comes as soon as `pollDelayMs` and `pollTimeShare` allow. Only
   * ever a hint.
   */
  wake(): void
}

export interface DaemonStatus<P> {
  readonly highWater: HighWaterStatus<P>
  readonly projections: readonly ProjectionStatus<P>[]
  /** The nodes that share projections by leases (`nodes`); `undefined` where there are none. */
  readonly cluster: ClusterStatus | undefined
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

class ProjectionDaemon<P, E, Tx> implements Daemon<P> {
  readonly #options: ResolvedDaemonOptions<P, E, Tx>
  readonly #session: TelemetrySession<P, E>
  readonly #agent: PollingAgent<P>
  readonly #units: Units<P, E, Tx>
  readonly #letters: LetterCounts<Tx>
  readonly #late: LateWork<P, E, Tx>
  readonly #stopping = new AbortController()
  #life: 'new' | 'starting' | 'started' | 'stopped' = 'new'
  #refused: { readonly error: unknown } | undefined
  #starting: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  #watchingLate: Promise<void> | undefined
  readonly #changes = new Changes()
  /** Resolves when `stop()` has, also where a store has not answered. */
  readonly #over: Deferred = deferred()

  constructor(options: ResolvedDaemonOptions<P, E, Tx>) {
    const { source, checkpoints, projections, nodes, highWater, clock, traceContext } = options
    this.#options = options
    this.#session = new TelemetrySession<P, E>({
      ...highWater,
      source: source.name,
      order: source.order,
      projections: [...new Set(projections.map(({ series }) => series))],
      traceContext,
      gauges: () => this.#gauges(),
    })
    this.#letters = new LetterCounts({ checkpoints, clock, logger: highWater.logger })
    this.#late = new LateWork({
      ...options,
      session: this.#session,
      units: () => this.#units.lateUnits,
    })
    this.#agent = new PollingAgent(
      highWater,
      this.#session,
      {
        projected: () => this.#units.projected(),
        tails: () => this.#units.tails(),
        keyColumns: [...new Set(projections.flatMap(({ shardBy }) => shardBy ?? []))],
      },
      this.#late.onProvenEmpty,
    )
    this.#units = new Units({
      projections,
      nodes,
      source,
      checkpoints,
      agent: this.#agent,
      session: this.#session,
      logger: highWater.logger,
      clock,
      pollIntervalMs: highWater.pollIntervalMs,
      onChange: () => this.#changes.tell(),
    })
  }

  async start(options: StartOptions = {}): Promise<void> {
    requireStartOptions(options)
    if (this.#life !== 'new') {
      throw new LifecycleError(
        `this daemon was already ${this.#life === 'stopped' ? 'stopped' : 'started'}; make a new one to start again`,
      )
    }
    this.#life = 'starting'
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
      if (!this.#isStopping()) this.#refused = { error }
      await this.stop()
      throw error
    }
  }

  async #begin(): Promise<void> {
    await this.#session.open(this)
    if (this.#isStopping()) return
    const { checkpoints, clock, highWater } = this.#options
    const { logger } = highWater
    await prepareCheckpoints({ checkpoints, clock, logger }, this.#stopping.signal)
    if (this.#isStopping()) return
    await this.#agent.start()
    if (this.#isStopping()) return
    this.#units.start(this.#stopping.signal)
    this.#watchingLate = this.#late.run(this.#stopping.signal, (counts) => this.#units.lateEvents(counts))
    this.#life = 'started'
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
    const drained = Promise.all([
      this.#starting?.catch(() => {}),
      this.#watchingLate,
      this.#units.drain(),
      this.#agent.stop(),
    ])
    await drain({ drained, giveUp: () => this.#units.giveUp(), drainTimeoutMs, clock })
    this.#session.close(this)
    this.#changes.tell()
    this.#over.resolve()
  }

  *#gauges(): Iterable<GaugeReading> {
    const { source, clock } = this.#options
    const { highWater, projections, cluster } = this.status()
    yield* storeGauges(source.name, highWater, source.order.approximate)
    if (cluster) yield* leaseGauges(source.name, cluster)
    for (const projection of projections) {
      yield* projectionGauges(projection, source.order.approximate)
      yield* letterGauges(projection, this.#letters.of(projection), clock.nowMs())
    }
    if (this.#life === 'started') this.#letters.readWhenDue(this.#stopping.signal)
  }

  wake(): void {
    this.#agent.wake()
  }

  status(): DaemonStatus<P> {
    const highWater = this.#agent.status()
    const { cluster } = this.#units
    return { highWater, projections: this.#units.status(highWater), cluster }
  }

  health(options: HealthOptions = {}): DaemonHealth {
    const { source, clock, highWater } = this.#options
    const agent = this.#agent.status()
    return judge(
      {
        source: source.name,
        order: source.order,
        highWater: agent,
        staleAfterMs: highWater.staleAfterMs,
        nowMs: clock.nowMs(),
        life: this.#life,
        refused: this.#refused,
        pulse: this.#agent.pulse,
        projections: this.#units.facts(agent),
      },
      resolveHealthOptions(options),
    )
  }

  waitUntilProjected(options: WaitUntilProjectedOptions<P> = {}): Promise<void> {
    return waitUntilProjected(
      {
        units: () => this.#units.runners,
        agent: this.#agent,
        order: this.#options.source.order,
        clock: this.#options.clock,
        nextChange: () => this.#changes.next(),
      },
      options,
    )
  }
}
