import { describeError } from '../kernel/describe-error.ts'
import { InvalidOptionError } from '../kernel/errors.ts'
import { FailureLog } from '../kernel/failure-log.ts'
import type { HighWaterReading, Holder } from '../ports/event-source.ts'
import type { KeptLoss } from '../ports/lost-events.ts'
import { denseOrder, laterOf } from '../ports/position.ts'
import type { Look, VisibleEvent } from '../ports/watch-source.ts'
import { inBackground } from '../telemetry/background.ts'
import { consumerGauges } from '../telemetry/gauge-readings.ts'
import { TelemetrySession } from '../telemetry/session.ts'
import { isOfTypes } from './coverage.ts'
import { findingOf } from './findings.ts'
import {
  type HandedLook,
  type HandedStanding,
  hasMissed,
  openRuns,
  passedOf,
  standingAbove,
  stepHanded,
} from './handed.ts'
import { HandedRuns } from './handed-runs.ts'
import { lookOn } from './look-on.ts'
import {
  type HandedPosition,
  type LossMonitorOptions,
  type ResolvedLossMonitorOptions,
  resolveLossMonitorOptions,
} from './loss-monitor-options.ts'
import { Losses } from './losses.ts'
import { PassedMemory } from './passed-memory.ts'
import { WatchedPolls } from './polls.ts'
import { type LossMonitorStatus, type LostEvent, statusWithJson, type UnsureReason } from './status.ts'
import { tellLosses } from './tell.ts'

/** Tells which events were never handed to one handler. */
export interface LossMonitor<Item> extends AsyncDisposable {
  /**
   * Returns a function that does the same as `handler`. What it is given counts as handed over when it is called, whether it
   * succeeds or not. Call it in the order in which the events were read.
   */
  wrap<I extends Item, Rest extends unknown[], R>(
    handler: (item: I, ...rest: Rest) => R,
  ): (item: I, ...rest: Rest) => R
  /** Where it stands, computed now. */
  status(): LossMonitorStatus
  /**
   * What was found since the start, the oldest first, each event once. With a ledger all that is in it of this consumer. Of very
   * many, the newest 10,000.
   */
  lost(): readonly LostEvent[]
  /** Ends it. The handler works on. May be called twice. `await using` calls it. */
  stop(): Promise<void>
}

export function createLossMonitor<Item>(options: LossMonitorOptions<Item>): LossMonitor<Item> {
  const monitor = new HandedEvents(resolveLossMonitorOptions(options))
  monitor.begin()
  return {
    wrap: (handler) => {
      if (typeof handler !== 'function') throw new InvalidOptionError('handler', 'a function', handler)
      return function (this: unknown, item, ...rest) {
        monitor.handed(item)
        return handler.call(this, item, ...rest)
      }
    },
    status: () => monitor.status(),
    lost: () => monitor.lost(),
    stop: () => monitor.stop(),
    [Symbol.asyncDispose]: () => monitor.stop(),
  }
}

/** Lost events of which it is known whether they are handed over later. */
const MOST_TOLD = 10_000
/** Some 10 MB. A handler that is given one event in a hundred makes a run of each. */
const MOST_RUNS = 100_000
/** Of one connection's time, where looks are behind; polls take a fifth of that. */
const TIME_SHARE = 0.5
const POLL_TIME_SHARE = 0.1

class HandedEvents<Item> {
  readonly #options: ResolvedLossMonitorOptions<Item>
  readonly #session: TelemetrySession<bigint, never>
  readonly #polls: WatchedPolls
  readonly #stopping = new AbortController()
  readonly #failures = new FailureLog()
  #handed = new HandedRuns()
  #handedTo: bigint | undefined
  #floor: bigint | undefined
  /** The checkpoint that the user has named: nothing above it was handed over before. */
  #from: bigint | undefined
  #standing: HandedStanding | undefined
  #heldBy: readonly Holder[] = []
  #lookedAtMs: number | undefined
  readonly #losses: Losses
  readonly #memory: PassedMemory
  /** Found since it has begun anew. */
  #told = new Set<bigint>()
  /** Of those, the ones that were handed over later. */
  readonly #handedLater = new Set<bigint>()
  #found = 0
  readonly #cannotTell: Partial<Record<UnsureReason, number>> = {}
  #begunAnew = 0
  #state: LossMonitorStatus['state'] = 'watching'
  #error: unknown
  /** That what the handler was given last has no position. */
  #unreadable: unknown
  #looking: Promise<void> | undefined

  constructor(options: ResolvedLossMonitorOptions<Item>) {
    this.#options = options
    const { source, ledger, clock, logger, from } = options
    this.#floor = from
    this.#from = from
    this.#losses = new Losses({
      ledger,
      source: source.name,
      clock,
      tell: (losses) => tellLosses(losses, this.#session, options),
      warn: (line) => logger.warn(line),
    })
    const { projection: consumer, eventTypes } = options
    this.#memory = new PassedMemory({ ledger, source: source.name, consumer, eventTypes })
    this.#polls = new WatchedPolls({
      source,
      pollTimeShare: POLL_TIME_SHARE,
      clock,
      onHalted: (error) => this.#failed(error),
      onForgotten: () => this.#beginAnew('begun_anew'),
    })
    this.#session = new TelemetrySession<bigint, never>({
      ...options,
      source: source.name,
      order: source.order,
      projections: [],
      traceContext: () => undefined,
      startAtZero: (recorder) => {
        recorder.add('telemetry_errors', 0, {})
        recorder.add('consumer_lost_events', 0, this.#labels)
      },
      gauges: () => consumerGauges(this.status()),
    })
  }

  begin(): void {
    inBackground(() => {
      void this.#session.open(this)
      this.#losses.run()
      this.#looking = this.#lookOn(this.#stopping.signal)
    })
  }

  async stop(): Promise<void> {
    this.#state = 'stopped'
    this.#stopping.abort()
    await this.#polls.stop()
    await this.#looking
    await this.#losses.stop()
    this.#session.close(this)
  }

  handed(item: Item): void {
    if (this.#state === 'stopped') return
    try {
      const positions = this.#options.position(item)
      for (const position of Array.isArray(positions) ? positions : [positions]) {
        this.#take(toPosition(position))
      }
      this.#unreadable = undefined
    } catch (error) {
      // What was handed over is not known now: it must not look lost.
      this.#beginAnew('begun_anew')
      this.#unreadable = error
      this.#warn(error)
    }
  }

  lost(): readonly LostEvent[] {
    const { projection } = this.#options
    return this.#losses
      .lost()
      .filter(({ consumer, position }) => consumer === projection && !this.#handedLater.has(position))
  }

  status(): LossMonitorStatus {
    const { projection, source, eventTypes } = this.#options
    const { mark } = this.#polls
    const handedTo = this.#handedTo
    const runs = this.#standing === undefined ? [] : openRuns(this.#standing)
    const isHandled = eventTypes !== undefined
    const lag = mark === undefined || handedTo === undefined ? undefined : mark - handedTo
    return statusWithJson({
      state: this.#state === 'watching' && this.#unreadable !== undefined ? 'failing' : this.#state,
      consumer: projection,
      source: source.name,
      floor: this.#floor,
      handedTo,
      lookedTo: this.#standing?.missing.through,
      lagPositions: lag !== undefined && lag < 0n ? 0n : lag,
      exposedPositions: runs.reduce((sum, { from, to }) => sum + to - from + 1n, 0n),
      unconfirmed: this.#standing?.suspects.length ?? 0,
      lost: this.#losses.total(projection, 'lost') ?? (isHandled ? this.#found : 0),
      passed: this.#losses.total(projection, 'passed') ?? (isHandled ? 0 : this.#found),
      cannotTell: { ...this.#cannotTell },
      handedLater: this.#handedLater.size,
      begunAnew: this.#begunAnew,
      ledger: this.#losses.status(),
      error: this.#error ?? this.#unreadable,
    })
  }

  #take(position: bigint): void {
    this.#handed.add(position)
    this.#floor ??= position - 1n
    if (this.#handedTo === undefined || position > this.#handedTo) this.#handedTo = position
    else if (this.#told.delete(position)) this.#handedLater.add(position)
    if (this.#handed.size > MOST_RUNS) this.#beginAnew('too_many')
  }

  async #lookOn(signal: AbortSignal): Promise<void> {
    const { clock, lookIntervalMs } = this.#options
    await lookOn(
      {
        look: () => this.#look(signal),
        onLooked: () => {
          this.#state = 'watching'
          this.#error = undefined
          this.#failures.ended(clock.nowMs())
        },
        onFailed: (error) => this.#failed(error),
        pauseMs: (tookMs, isBehind = false) => {
          const leastMs = tookMs * (1 / TIME_SHARE - 1)
          return isBehind ? leastMs : Math.max(lookIntervalMs, leastMs)
        },
        polls: this.#polls,
        clock,
      },
      signal,
    )
  }

  /** Whether there is more to look at. */
  async #look(signal: AbortSignal): Promise<boolean> {
    const [handedTo, floor, life] = [this.#handedTo, this.#floor, this.#begunAnew]
    const reading = await this.#readingPast(handedTo, signal)
    if (reading === undefined || handedTo === undefined || floor === undefined) return false
    const before = this.#standing ?? (await this.#begin(floor, reading, signal))
    const { through: above } = before.missing
    const upTo = laterOf(denseOrder, handedTo, above) ?? above
    const look = await this.#options.source.look({ reading, runs: openRuns(before), above, upTo, signal })
    const head = await this.#headAfter(before, look, reading, signal)
    if (signal.aborted || head === undefined || this.#begunAnew !== life) return false
    const standing = this.#step(before, { look, head, handedTo: upTo }, reading)
    await this.#memory.keep(reading.incarnation, passedOf(standing), signal)
    return standing.missing.through < handedTo
  }

  async #begin(
    floor: bigint,
    { incarnation, settled }: HighWaterReading<bigint>,
    signal: AbortSignal,
  ): Promise<HandedStanding> {
    const passed = await this.#memory.recall(incarnation, signal)
    return standingAbove(floor, settled, { passed, begunAt: this.#from })
  }

  #step(
    before: HandedStanding,
    seen: Pick<HandedLook, 'look' | 'head' | 'handedTo'>,
    { settled, holders, incarnation }: HighWaterReading<bigint>,
  ): HandedStanding {
    const { clock, projection, eventTypes } = this.#options
    const atMs = clock.nowMs()
    const { standing, lost, unsure } = stepHanded(before, {
      ...seen,
      settled,
      isHanded: this.#isHanded,
      handles: this.#handles,
      atMs,
      previousAtMs: this.#lookedAtMs ?? atMs,
      heldBy: this.#heldBy,
    })
    this.#standing = standing
    this.#handed.keep(standing.missing.through, openRuns(standing))
    this.#heldBy = holders
    this.#lookedAtMs = atMs
    for (const { because } of unsure) this.#count(because, 1)
    const of = { consumer: projection, incarnation, isHandled: eventTypes !== undefined }
    this.#find(lost.map((suspect) => findingOf(suspect, of)))
    // So that it is known who holds what is missing, or that nobody does.
    if (holders.length === 0 && openRuns(standing).length > 0) this.#polls.wake()
    return standing
  }

  /** A poll by which that number was handed out: a handler cannot have been given what was never appended. */
  async #readingPast(
    handedTo: bigint | undefined,
    signal: AbortSignal,
  ): Promise<HighWaterReading<bigint> | undefined> {
    const reading = await this.#polls.reading()
    const isPast = ({ head }: HighWaterReading<bigint>): boolean =>
      handedTo === undefined || (head !== undefined && handedTo <= head)
    if (reading === undefined || isPast(reading)) return reading
    const fresh = await this.#polls.freshReading(signal)
    if (fresh === undefined || isPast(fresh)) return fresh
    this.#beginAnew('begun_anew')
    throw new InvalidOptionError(
      'position',
      `a function that returns positions of ${this.#options.source.name}, where ${fresh.head ?? 'none'} is the newest`,
      handedTo,
    )
  }

  /** What is above it was appended after this look. It matters at the first one, and where a look has found something. */
  async #headAfter(
    { begunAt }: HandedStanding,
    look: Look,
    { head = 0n }: HighWaterReading<bigint>,
    signal: AbortSignal,
  ): Promise<bigint | undefined> {
    if (begunAt !== undefined && !hasMissed({ look, isHanded: this.#isHanded, handles: this.#handles }))
      return head
    const fresh = await this.#polls.freshReading(signal)
    return fresh === undefined ? undefined : (fresh.head ?? head)
  }

  /** What was handed over, and what was seen, says nothing any more. */
  #beginAnew(because: UnsureReason): void {
    this.#count(because, this.#standing?.suspects.length ?? 0)
    this.#begunAnew++
    this.#handed = new HandedRuns()
    this.#handedTo = undefined
    this.#floor = undefined
    this.#from = undefined
    this.#standing = undefined
    this.#told = new Set()
    this.#heldBy = []
    this.#lookedAtMs = undefined
  }

  #isHanded = (position: bigint): boolean => this.#handed.has(position)

  #handles = (event: VisibleEvent): boolean => isOfTypes(event, this.#options.eventTypes)

  #count(because: UnsureReason, count: number): void {
    if (count > 0) this.#cannotTell[because] = (this.#cannotTell[because] ?? 0) + count
  }

  get #labels(): { readonly consumer: string; readonly verdict: LostEvent['verdict'] } {
    const { projection, eventTypes } = this.#options
    return { consumer: projection, verdict: eventTypes === undefined ? 'passed' : 'lost' }
  }

  #find(found: readonly KeptLoss[]): void {
    this.#found += found.length
    for (const { position } of found) {
      this.#handedLater.delete(BigInt(position))
      if (this.#told.size < MOST_TOLD) this.#told.add(BigInt(position))
    }
    this.#losses.found(found)
  }

  #failed(error: unknown): void {
    this.#error = error
    this.#state = 'failing'
    this.#warn(error)
  }

  #warn(error: unknown): void {
    const { logger, clock, projection } = this.#options
    if (this.#failures.failed(clock.nowMs())) {
      logger.warn(
        `tidemark: ${projection}: the monitor cannot look for lost events: ${describeError(error)}; it tries again`,
      )
    }
  }
}

const INTEGER = /^-?\d{1,19}$/

function toPosition(position: HandedPosition): bigint {
  if (typeof position === 'bigint') return position
  if (typeof position === 'number' && Number.isSafeInteger(position)) return BigInt(position)
  if (typeof position === 'string' && INTEGER.test(position)) return BigInt(position)
  throw new InvalidOptionError(
    'position',
    'a function that returns a bigint, a whole number or its text, or a list of them',
    position,
  )
}
