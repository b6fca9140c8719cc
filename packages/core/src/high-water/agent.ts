import { type Deferred, deferred, untilAborted } from '../deferred.ts'
import { hasCode, LifecycleError, messageOf, WaitFailedError } from '../errors.ts'
import type { Evidence, HighWaterReading, Holder, SkippedRun, StoredProgress } from '../event-source.ts'
import { isReached } from '../position.ts'
import { backOffMs as failureBackOffMs } from '../projection/error-policy.ts'
import { guardTelemetry, type Telemetry } from '../telemetry/telemetry.ts'
import { nextBackOffMs, restMs } from './cadence.ts'
import { type AgedGap, ageGaps, type GapAges, NO_GAPS } from './gap-ages.ts'
import {
  type HighWaterAgentOptions,
  type ProgressMemory,
  type ResolvedHighWaterAgentOptions,
  resolveHighWaterAgentOptions,
} from './options.ts'

/** Holds the high-water mark of one source. Usable alone, by those who keep their own polling loop. */
export interface HighWaterAgent<P> {
  /**
   * Polls once, checking every condition, then goes on polling until `stop()`; that keeps the process alive. Rejects
   * when a condition is violated; while the store cannot be reached it resolves, and `status().error` says so.
   */
  start(): Promise<void>
  /** Ends polling. Waits still open reject. May be called twice. */
  stop(): Promise<void>
  /** The position up to which it is safe to read now; `undefined` before the first event is settled. */
  readonly mark: P | undefined
  /** The newest poll. */
  readonly reading: HighWaterReading<P> | undefined
  status(): HighWaterStatus<P>
  /** Resolves when `position` and everything below it is settled. Rejects when polling halts or `signal` fires. */
  waitFor(position: P, options?: { readonly signal?: AbortSignal }): Promise<void>
  /** The reading of a poll that began after this call. */
  freshReading(options?: { readonly signal?: AbortSignal }): Promise<HighWaterReading<P>>
  /** Says that something may have been appended. Only ever a hint. */
  wake(): void
  /** Resolves at the next change of the reading or of the agent's state. */
  nextChange(): Promise<void>
}

export interface HighWaterStatus<P> {
  /**
   * `halted`: the store stands behind what was processed, the operator decides. `failing`: polls fail and are retried.
   */
  readonly state: 'idle' | 'polling' | 'failing' | 'halted' | 'stopped'
  readonly head: P | undefined
  readonly settled: P | undefined
  readonly mark: P | undefined
  readonly stale: boolean
  readonly gaps: readonly (AgedGap<P> & { readonly openForMs: number })[]
  readonly holders: readonly Holder[]
  readonly lastPollAtMs: number | undefined
  readonly error: unknown
}

export function createHighWaterAgent<P>(options: HighWaterAgentOptions<P>): HighWaterAgent<P> {
  return new PollingAgent(resolveHighWaterAgentOptions(options))
}

/** Settled positions stored alone are worth at most one statement a second. */
const SAVE_SETTLED_EVERY_MS = 1_000
/** How long `stop()` waits for a poll that does not heed its signal. */
const STOP_GRACE_MS = 1_000
const HALTED_TURN_MS = 3_600_000

type PollResult =
  | { readonly failed: false }
  | { readonly failed: true; readonly transient: boolean; readonly error: unknown }

/**
 * Its one loop is single-flight: `idle` -> `polling` <-> `failing` -> `halted` or `stopped`. A failing poll drops
 * nothing by itself: the source compares incarnations when it is reached again.
 */
class PollingAgent<P> implements HighWaterAgent<P> {
  reading: HighWaterReading<P> | undefined
  readonly #options: ResolvedHighWaterAgentOptions<P>
  readonly #telemetry: Required<Telemetry>
  readonly #stopping = new AbortController()
  #state: HighWaterStatus<P>['state'] = 'idle'
  #error: unknown
  #gaps: GapAges<P> = NO_GAPS
  #lastPollAtMs: number | undefined
  #settledMovedAtMs = 0
  #savedSettled: { readonly reading: HighWaterReading<P>; readonly atMs: number } | undefined
  #sharedLog: { readonly incarnation: string; readonly shared: boolean } | undefined
  #pollsBegun = 0
  #readingOfPoll = 0
  #wakeUp = new AbortController()
  #change: Deferred = deferred()
  #loop: Promise<void> | undefined

  constructor(options: ResolvedHighWaterAgentOptions<P>) {
    this.#options = options
    this.#telemetry = guardTelemetry(options.telemetry, options.onTelemetryError)
  }

  get mark(): P | undefined {
    return this.reading?.mark
  }

  async start(): Promise<void> {
    if (this.#state !== 'idle') {
      throw new LifecycleError(`the high-water agent was already started or stopped; make a new one to start again`)
    }
    this.#state = 'polling'
    this.#settledMovedAtMs = this.#options.clock.nowMs()
    const firstPoll = this.#pollOnce()
    this.#loop = firstPoll.then(() => {})
    const begun = await firstPoll
    if (this.#stopping.signal.aborted) return
    if (begun.failed && !begun.transient) {
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
    this.#enter('stopped', this.#error)
  }

  wake(): void {
    this.#wakeUp.abort()
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
    const now = this.#options.clock.nowMs()
    const gaps = this.#gaps.open.map((gap) => ({ ...gap, openForMs: now - gap.firstSeenMs }))
    return {
      state: this.#state,
      head: this.reading?.head,
      settled: this.reading?.settled,
      mark: this.reading?.mark,
      stale: this.#isStale(now),
      gaps,
      holders: this.reading?.holders ?? [],
      lastPollAtMs: this.#lastPollAtMs,
      error: this.#error,
    }
  }

  /** Settled, not the mark: an idle store with a rolled-back tail is not stale. */
  #isStale(now: number): boolean {
    if (this.#state === 'idle' || this.#state === 'stopped') return false
    const { staleAfterMs } = this.#options
    if (now - (this.#lastPollAtMs ?? this.#settledMovedAtMs) > staleAfterMs) return true
    if (!this.#isBehind()) return false
    const since = this.#gaps.open.reduce(
      (earliest, gap) => Math.min(earliest, gap.firstSeenMs),
      this.#settledMovedAtMs,
    )
    return now - since > staleAfterMs
  }

  #isBehind(): boolean {
    const reading = this.reading
    return reading !== undefined && !isReached(this.#options.source.order, reading.head, reading.settled)
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
      const startedMs = clock.nowMs()
      const poll = await this.#pollOnce()
      if (signal.aborted) return
      failures = poll.failed ? failures + 1 : 0
      if (poll.failed) {
        if (hasCode(poll.error, 'TIDEMARK_STORE_REWOUND')) return await this.#halt(poll.error)
        this.#enter('failing', poll.error)
        continue
      }
      backOffMs = nextBackOffMs(this.#options, {
        moved: this.#hasMoved(before),
        behind: this.#isBehind(),
        backOffMs,
      })
      await clock.sleep(restMs(this.#options, clock.nowMs() - startedMs), signal)
    }
  }

  /** Keeps the process alive: one that ended by itself would pass for one that has done its work. */
  async #halt(error: unknown): Promise<void> {
    const { signal } = this.#stopping
    this.#enter('halted', error)
    while (!signal.aborted) await this.#options.clock.sleep(HALTED_TURN_MS, signal)
  }

  #hasMoved(before: HighWaterReading<P> | undefined): boolean {
    const { order } = this.#options.source
    const now = this.reading
    if (before === now || now === undefined) return false
    if (before === undefined) return true
    const wasIdle = isReached(order, before.head, before.settled)
    const same = (a: P | undefined, b: P | undefined): boolean =>
      isReached(order, a, b) && isReached(order, b, a)
    return (
      !same(before.settled, now.settled) ||
      !same(before.mark, now.mark) ||
      (wasIdle && !same(before.head, now.head))
    )
  }

  async #pollOnce(): Promise<PollResult> {
    const { source, checkpoints, clock } = this.#options
    const { signal } = this.#stopping
    const poll = ++this.#pollsBegun
    const startedMs = clock.nowMs()
    try {
      const reading = await this.#read()
      if (reading.skipped.length > 0)
        await checkpoints?.recordSkips(source.name, reading.skipped.map(this.#formatRun))
      // `stop()` may have gone on without this poll.
      signal.throwIfAborted()
      this.#readingOfPoll = poll
      this.#publish(reading, startedMs)
      await this.#saveSettled(reading)
      return { failed: false }
    } catch (error) {
      const transient =
        hasCode(error, 'TIDEMARK_INCARNATION_CHANGED') ||
        source.isTransient(error) ||
        (checkpoints?.isTransient(error) ?? false)
      if (!signal.aborted) this.#telemetry.pollFailed({ source: source.name, error })
      return { failed: true, transient, error }
    }
  }

  /** A poll that saw another incarnation is thrown away: everything learned is dropped, progress is read again. */
  async #read(): Promise<HighWaterReading<P>> {
    try {
      return await this.#readFrom(this.reading)
    } catch (error) {
      if (!hasCode(error, 'TIDEMARK_INCARNATION_CHANGED')) throw error
      this.reading = undefined
      this.#gaps = NO_GAPS
      return await this.#readFrom(undefined)
    }
  }

  async #readFrom(previous: HighWaterReading<P> | undefined): Promise<HighWaterReading<P>> {
    const { source, checkpoints } = this.#options
    const stored =
      previous === undefined && checkpoints
        ? await readProgress(source.order.parse, checkpoints, source.name)
        : []
    return await source.readHighWater({
      previous,
      stored,
      sharesLog: this.#sharesLog,
      signal: this.#stopping.signal,
    })
  }

  #sharesLog = async (incarnation: string): Promise<boolean> => {
    const { checkpoints } = this.#options
    if (!checkpoints) return false
    if (this.#sharedLog?.incarnation !== incarnation) {
      this.#sharedLog = { incarnation, shared: await checkpoints.sharesLogWith(incarnation) }
    }
    return this.#sharedLog.shared
  }

  #publish(reading: HighWaterReading<P>, startedMs: number): void {
    const { source, clock } = this.#options
    const now = clock.nowMs()
    const before = this.reading
    this.#lastPollAtMs = now
    this.reading = reading
    const settledMoved = before === undefined || !isReached(source.order, reading.settled, before.settled)
    if (settledMoved || !this.#isBehind()) this.#settledMovedAtMs = now
    const { closed, ...gaps } = ageGaps(source.order, this.#gaps, reading, now)
    this.#gaps = gaps
    this.#telemetry.polled({ source: source.name, durationMs: now - startedMs, reading, closedGaps: closed })
    this.#enter('polling', undefined)
  }

  async #saveSettled(reading: HighWaterReading<P>): Promise<void> {
    const { source, checkpoints, clock } = this.#options
    const saved = this.#savedSettled
    const now = clock.nowMs()
    if (!checkpoints || reading.settled === undefined || (saved && now - saved.atMs < SAVE_SETTLED_EVERY_MS))
      return
    const isSame = saved?.reading.incarnation === reading.incarnation
    if (isSame && isReached(source.order, reading.settled, saved.reading.settled)) return
    await checkpoints.saveSettled(source.name, formatEvidence(source.order.format, reading))
    this.#savedSettled = { reading, atMs: now }
  }

  #formatRun = (run: SkippedRun<P>): SkippedRun<string> => {
    const { format } = this.#options.source.order
    return { stored: format(run.stored), current: format(run.current), count: run.count }
  }

  #enter(state: HighWaterStatus<P>['state'], error: unknown): void {
    this.#state = state
    this.#error = error
    const change = this.#change
    this.#change = deferred()
    change.resolve()
  }

  /** A hint that fails or ends is taken up again after a while; polling goes on meanwhile. */
  async #listen(): Promise<void> {
    const { source, clock } = this.#options
    const { signal } = this.#stopping
    for (let inARow = 1; !signal.aborted; inARow++) {
      try {
        for await (const _ of source.wakeUps?.(signal) ?? []) {
          inARow = 1
          this.wake()
        }
      } catch (error) {
        if (!signal.aborted) this.#telemetry.pollFailed({ source: source.name, error })
      }
      await clock.sleep(failureBackOffMs(inARow), signal)
    }
  }
}

export function formatEvidence<P>(
  format: (position: P) => string,
  evidence: Evidence<P>,
): { incarnation: string; settled: string | undefined; logPosition: string | undefined } {
  const { incarnation, settled, logPosition } = evidence
  return { incarnation, settled: settled === undefined ? undefined : format(settled), logPosition }
}

async function readProgress<P>(
  parse: (text: string) => P,
  checkpoints: ProgressMemory,
  source: string,
): Promise<readonly StoredProgress<P>[]> {
  const stored = await checkpoints.progress(source)
  return stored.map(({ position, settled, ...rest }) => ({
    ...rest,
    position: position === undefined ? undefined : parse(position),
    settled: settled === undefined ? undefined : parse(settled),
  }))
}
