import { deferred } from '../kernel/deferred.ts'
import { describeError } from '../kernel/describe-error.ts'
import { LifecycleError } from '../kernel/errors.ts'
import { FailureLog } from '../kernel/failure-log.ts'
import { requireStartOptions, type StartOptions, startUntil } from '../kernel/start.ts'
import type { StoredConsumer } from '../ports/consumer-checkpoints.ts'
import type { Gap, Holder } from '../ports/event-source.ts'
import { type KeptLoss, LOST_VERDICTS } from '../ports/lost-events.ts'
import { inBackground } from '../telemetry/background.ts'
import { consumerGauges, recordedGauges } from '../telemetry/gauge-readings.ts'
import { quietly } from '../telemetry/quietly.ts'
import { TelemetrySession } from '../telemetry/session.ts'
import { describeBeyond, describeUnknown, findingOf } from './findings.ts'
import { Lags } from './lag.ts'
import { lookOn } from './look-on.ts'
import { LookPace } from './look-pace.ts'
import { Losses } from './losses.ts'
import { type Missing, missingAfter, startMissing } from './missing.ts'
import { type ResolvedWatchOptions, resolveWatchOptions, type WatchOptions } from './options.ts'
import { WatchedPolls } from './polls.ts'
import { type LostEvent, statusWithJson, type WatchedConsumer, type WatchStatus } from './status.ts'
import { ConsumerTally } from './tally.ts'
import { tellLosses } from './tell.ts'

/** Watches consumers that Tidemark does not run. */
export interface Watch extends AsyncDisposable {
  /**
   * Checks every condition, reads the checkpoints once, then looks again and again until `stop()`; that keeps the process
   * alive. Rejects when a condition is violated; while the store cannot be reached it resolves, and `status().error` says so.
   */
  start(options?: StartOptions): Promise<void>
  /** Ends it. May be called twice. `await using` calls it. */
  stop(): Promise<void>
  /** Where each consumer stands, computed now. */
  status(): WatchStatus
  /**
   * What was found since the start, the oldest first: each event once a consumer. With a ledger all that is in it: what was found
   * by former runs, and by other watches of the same source. Of very many, the newest 10,000.
   */
  lost(): readonly LostEvent[]
}

/** A poll ends exposures and begins none: it may come later than a look. */
const POLLS_OF_SHARE = 0.2

/**
 * Tells which events a consumer that Tidemark does not run has lost: those that became visible after its checkpoint had
 * passed them. It reads, and writes nothing but its `ledger`, where one is named. What it tells is a lower bound: docs/watch.md says what it cannot see.
 *
 * ```ts
 * const watch = createWatch({ source: watchedPostgresEvents({ pool, table, position }), consumers, logger: console })
 * await watch.start()
 * ```
 *
 * Throws `InvalidOptionError`.
 */
export function createWatch(options: WatchOptions): Watch {
  return new ConsumerWatch(resolveWatchOptions(options))
}

class ConsumerWatch implements Watch {
  readonly #options: ResolvedWatchOptions
  readonly #session: TelemetrySession<bigint, never>
  readonly #stopping = new AbortController()
  readonly #over = deferred()
  readonly #pace: LookPace
  readonly #failures = new FailureLog()
  readonly #tallies = new Map<string, ConsumerTally>()
  readonly #losses: Losses
  readonly #lags: Lags
  #state: WatchStatus['state'] = 'idle'
  #error: unknown
  readonly #polls: WatchedPolls
  #missing: Missing | undefined
  #layout: string | undefined
  #heldBy: readonly Holder[] = []
  #looks = 0
  #begunAnew = 0
  #hasSaidUnknown = false
  #looking: Promise<void> | undefined

  constructor(options: ResolvedWatchOptions) {
    this.#options = options
    this.#pace = new LookPace(options)
    const { source, ledger, clock, logger } = options
    this.#polls = new WatchedPolls({
      source,
      pollTimeShare: options.timeShare * POLLS_OF_SHARE,
      clock,
      onHalted: (error) => this.#failed(error),
      onForgotten: () => this.#forget(),
    })
    this.#lags = new Lags(source, clock)
    this.#losses = new Losses({
      ledger,
      source: source.name,
      clock,
      tell: (losses) => tellLosses(losses, this.#session, options),
      warn: (line) => logger.warn(line),
    })
    this.#session = new TelemetrySession<bigint, never>({
      ...options,
      source: source.name,
      order: source.order,
      projections: [],
      traceContext: () => undefined,
      startAtZero: (recorder) => recorder.add('telemetry_errors', 0, {}),
      gauges: () =>
        this.status().consumers.flatMap((consumer) => [
          ...consumerGauges(consumer),
          ...recordedGauges(consumer.consumer, (verdict) => this.#losses.total(consumer.consumer, verdict)),
        ]),
    })
  }

  async start(options: StartOptions = {}): Promise<void> {
    requireStartOptions(options)
    if (this.#state !== 'idle') {
      throw new LifecycleError('the watch was already started or stopped; make a new one to start again')
    }
    this.#state = 'watching'
    await startUntil(options, {
      begin: () => inBackground(() => this.#begin()),
      stop: () => this.stop(),
      over: this.#over.promise,
    })
  }

  async stop(): Promise<void> {
    this.#state = 'stopped'
    this.#stopping.abort()
    await this.#polls.stop()
    await this.#looking
    await this.#losses.stop()
    this.#session.close(this)
    this.#over.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  lost(): readonly LostEvent[] {
    return this.#losses.lost()
  }

  status(): WatchStatus {
    const runs = this.#missing?.runs ?? []
    const { mark } = this.#polls
    return statusWithJson({
      state: this.#state,
      source: this.#options.source.name,
      looks: this.#looks,
      lastLookAtMs: this.#pace.lastAtMs,
      looksApartMs: this.#pace.apartMs,
      begunAnew: this.#begunAnew,
      consumers: [...this.#tallies.values()]
        .filter(({ isThere }) => isThere)
        .map((tally) => this.#statusOf(tally, runs, mark)),
      unknownConsumers: this.#unknown,
      ledger: this.#losses.status(),
      error: this.#error,
    })
  }

  #statusOf(tally: ConsumerTally, runs: readonly Gap<bigint>[], mark: bigint | undefined): WatchedConsumer {
    const { lagging } = tally
    return {
      ...tally.status(runs, mark, this.#options.clock.nowMs()),
      lagMs: lagging && this.#lags.lagMs(lagging, mark),
      ...this.#ofLedger(tally),
    }
  }

  async #begin(): Promise<void> {
    const signal = this.#stopping.signal
    await this.#session.open(this)
    try {
      await this.#polls.begin()
      await this.#readConsumers(signal)
      await this.#losses.open()
    } catch (error) {
      const { source, ledger } = this.#options
      if (!signal.aborted && !source.isTransient(error) && ledger?.isTransient(error) !== true) {
        await this.stop()
        throw error
      }
    }
    if (signal.aborted) return
    this.#losses.run()
    this.#looking = this.#lookOn(signal)
  }

  async #lookOn(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    await lookOn(
      {
        look: () => this.#look(signal),
        onLooked: () => {
          this.#state = 'watching'
          this.#error = undefined
          this.#failures.ended(clock.nowMs())
        },
        onFailed: (error) => this.#failed(error),
        pauseMs: (tookMs) => this.#pace.pauseMs(tookMs),
        polls: this.#polls,
        clock,
      },
      signal,
    )
  }

  /** The checkpoints come first: one that was read after the snapshot would make events look lost that are not. */
  async #look(signal: AbortSignal): Promise<void> {
    const reading = await this.#polls.reading()
    if (reading === undefined) return
    const { source, clock } = this.#options
    const missing = this.#missing ?? startMissing(reading.settled, reading.head ?? 0n)
    const stored = await this.#readConsumers(signal)
    const look = await source.look({ reading, runs: missing.runs, above: missing.through, signal })
    if (signal.aborted) return
    const atMs = clock.nowMs()
    const shared = {
      appeared: look.appeared,
      isRearranged: this.#missing !== undefined && look.layout !== this.#layout,
      head: reading.head ?? look.through,
      atMs,
      previousAtMs: this.#pace.lastAtMs ?? atMs,
      heldBy: this.#heldBy,
    }
    const moves = this.#moves
    const found: KeptLoss[] = []
    for (const name of new Set([...stored.keys(), ...this.#tallies.keys()])) {
      const tally = this.#tally(name)
      const of = { consumer: name, incarnation: reading.incarnation, isHandled: tally.isHandled }
      found.push(...tally.look(stored.get(name), shared).map((suspect) => findingOf(suspect, of)))
      const beyond = tally.newlyBeyond()
      if (beyond !== undefined) this.#options.logger.warn(`tidemark: ${describeBeyond(name, beyond)}`)
    }
    this.#losses.found(found)
    this.#layout = look.layout
    this.#missing = missingAfter(missing, look, reading.settled)
    this.#heldBy = reading.holders
    // So that it is known who holds what is missing, or that nobody does.
    if (reading.holders.length === 0 && this.#missing.runs.length > 0) this.#polls.wake()
    this.#looks++
    this.#sayUnknown()
    const lagging = [...this.#tallies.values()].flatMap((tally) => tally.lagging ?? [])
    await this.#lags.ask(reading, lagging, signal)
    this.#pace.looked(atMs, this.#moves !== moves || look.visible.length > 0 || look.appeared.length > 0)
  }

  /** What was seen of the store says nothing about another run of it. */
  #forget(): void {
    this.#missing = undefined
    this.#heldBy = []
    this.#begunAnew++
    for (const tally of this.#tallies.values()) tally.beginAnew()
  }

  async #readConsumers(signal: AbortSignal): Promise<ReadonlyMap<string, StoredConsumer>> {
    const read = await Promise.all(
      this.#options.consumers.map(async ({ name, read }) =>
        (await read(signal)).map((stored) => [`${name}.${stored.consumer}`, stored] as const),
      ),
    )
    return new Map(read.flat())
  }

  #tally(name: string): ConsumerTally {
    const known = this.#tallies.get(name)
    if (known) return known
    const place = this.#options.consumers.find((each) => name.startsWith(`${each.name}.`))
    const types = place?.eventTypes[name.slice(place.name.length + 1)]
    const tally = new ConsumerTally(name, types)
    this.#tallies.set(name, tally)
    const labels = { consumer: name, verdict: tally.isHandled ? 'lost' : 'passed' }
    quietly(() => this.#session.recorder?.add('consumer_lost_events', 0, labels), this.#session.onError)
    return tally
  }

  /** Named by the user, and seen by no look. Before the first one nobody was. */
  get #unknown(): readonly string[] {
    if (this.#looks === 0) return []
    return this.#options.consumers
      .flatMap(({ name, eventTypes }) => Object.keys(eventTypes).map((consumer) => `${name}.${consumer}`))
      .filter((name) => !this.#tallies.has(name))
  }

  #sayUnknown(): void {
    if (this.#hasSaidUnknown) return
    this.#hasSaidUnknown = true
    const unknown = this.#unknown
    if (unknown.length === 0) return
    this.#options.logger.warn(`tidemark: ${describeUnknown(unknown, [...this.#tallies.keys()])}`)
  }

  /** What is in the ledger counts, where there is one. */
  #ofLedger({ consumer }: ConsumerTally): { readonly lost?: number; readonly passed?: number } {
    const [lost, passed] = LOST_VERDICTS.map((verdict) => this.#losses.total(consumer, verdict))
    return lost === undefined || passed === undefined ? {} : { lost, passed }
  }

  #failed(error: unknown): void {
    const { logger, clock, source } = this.#options
    this.#error = error
    this.#state = 'failing'
    if (this.#failures.failed(clock.nowMs())) {
      logger.warn(
        `tidemark: ${source.name}: the watch cannot look, and sees no losses meanwhile: ${describeError(error)}; it tries again`,
      )
    }
  }

  get #moves(): number {
    return [...this.#tallies.values()].reduce((sum, { moves }) => sum + moves, 0)
  }
}
