import { type Deferred, deferred } from '../kernel/deferred.ts'
import { LifecycleError } from '../kernel/errors.ts'
import type { Pulse } from '../kernel/pulse.ts'
import { requireStartOptions, type StartOptions, startUntil } from '../kernel/start.ts'
import type { HighWaterReading, PollWait, WakeUp } from '../ports/event-source.ts'
import { isReached } from '../ports/position.ts'
import { inBackground } from '../telemetry/background.ts'
import type { TelemetrySession } from '../telemetry/session.ts'
import { AgentChanges } from './agent-changes.ts'
import { AgentReports } from './agent-reports.ts'
import { Hints } from './hints.ts'
import { next } from './lifecycle.ts'
import type { Command, Input } from './lifecycle-commands.ts'
import { NOT_STARTED, type Shown, type Standing } from './lifecycle-standing.ts'
import type { ResolvedHighWaterAgentOptions } from './options.ts'
import { type OnLate, PollCalls, type Readers } from './poll-calls.ts'
import { PollPause } from './poll-pause.ts'
import { pulseOf } from './pulse.ts'
import { watchStaleness } from './staleness-watch.ts'
import type { HighWaterStatus } from './status.ts'
import { listenForWakeUps } from './wake-up-listener.ts'

/** How long `stop()` waits for a poll that does not heed its signal. */
const STOP_GRACE_MS = 1_000

/** Carries out what lifecycle.ts decides, and hands it what came of that. */
export class PollingAgent<P> implements AsyncDisposable {
  readonly #options: ResolvedHighWaterAgentOptions<P>
  readonly #session: TelemetrySession<P, never>
  readonly #stopping = new AbortController()
  readonly #calls: PollCalls<P>
  readonly #pause: PollPause
  readonly #reports: AgentReports<P>
  readonly #changes = new AgentChanges()
  readonly #hints = new Hints<P>()
  readonly #over: Deferred = deferred()
  #standing: Standing<P> = NOT_STARTED
  #steppedAtMs = 0
  #starting: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined

  constructor(
    options: ResolvedHighWaterAgentOptions<P>,
    session: TelemetrySession<P, never>,
    readers: Readers<P>,
    onLate: OnLate = async () => {},
  ) {
    this.#options = options
    this.#session = session
    this.#reports = new AgentReports(options, session)
    const known = { ...readers, told: () => this.#hints.takeHeeded() }
    this.#calls = new PollCalls(options, this.#stopping.signal, known, onLate)
    this.#pause = new PollPause(options.clock, this.#stopping.signal)
  }

  get reading(): HighWaterReading<P> | undefined {
    return this.#standing.known?.reading
  }

  get mark(): P | undefined {
    return this.reading?.mark
  }

  async start(options: StartOptions = {}): Promise<void> {
    requireStartOptions(options)
    if (this.#standing.phase !== 'idle') {
      throw new LifecycleError(
        `the high-water agent was already started or stopped; make a new one to start again`,
      )
    }
    await startUntil(options, {
      begin: () => inBackground(() => this.#begin()),
      stop: () => this.stop(),
      over: this.#over.promise,
    })
  }

  #begin(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#starting = { resolve, reject }
      this.#next({ kind: 'start' })
    })
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#pause.hurry()
    this.#next({ kind: 'stop' })
    const over = new AbortController()
    await Promise.race([this.#over.promise, this.#options.clock.sleep(STOP_GRACE_MS, over.signal)])
    over.abort()
    this.#next({ kind: 'given_up' })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  wake(): void {
    this.#pause.wake()
  }

  /**
   * A page or a checkpoint found another incarnation than this one. The next poll begins anew. Without this, a poll on
   * a connection that it knows would not compare, and such a connection may live as long as the process.
   */
  doubt(incarnation: string): void {
    this.#next({ kind: 'doubted', incarnation })
    this.#pause.hurry()
  }

  nextChange(): Promise<void> {
    return this.#changes.next()
  }

  async waitFor(position: P, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { order } = this.#options.source
    const isSettled = () => isReached(order, position, this.reading?.settled) || undefined
    if (isSettled()) return
    await this.#pause.hurryDuring(() => this.#changes.until(isSettled, this.#shown, signal))
  }

  async freshReading({ signal }: { readonly signal?: AbortSignal } = {}): Promise<HighWaterReading<P>> {
    const after = this.#standing.poll.number
    const fresh = () => {
      const { known } = this.#standing
      return known && known.ofPoll > after ? known.reading : undefined
    }
    return await this.#pause.hurryDuring(() => this.#changes.until(fresh, this.#shown, signal))
  }

  status(): HighWaterStatus<P> {
    return this.#reports.status(this.#standing.shown)
  }

  /** The last sign of life of the polls. */
  get pulse(): Pulse {
    return pulseOf(this.#standing.phase, this.#steppedAtMs, this.#options.pollIntervalMs)
  }

  /** When an event above `position` was first seen below a mark; `undefined` where there is none. */
  firstSeenAboveMs(position: P | undefined): number | undefined {
    return this.#reports.firstSeenAboveMs(position)
  }

  #shown = (): Shown => this.#standing.shown

  #waiting = (what: PollWait): void => this.#reports.waiting(what)

  #next(input: Input<P>): void {
    const { clock, source, checkpoints } = this.#options
    const before = this.#standing
    const nowMs = clock.nowMs()
    const { standing, commands } = next(before, input, {
      nowMs,
      storeMs: this.#reports.storeMs(),
      order: source.order,
      cadence: this.#options,
      isTold: this.#hints.isTold,
      savesSettled: checkpoints?.settled !== undefined,
    })
    this.#standing = standing
    if (standing !== before) this.#steppedAtMs = nowMs
    for (const command of commands) void this.#carryOut(command)
    if (standing.shown !== before.shown) this.#changes.tell()
  }

  async #carryOut(command: Command<P>): Promise<void> {
    try {
      const answer = await this.#do(command)
      if (answer) this.#next(answer)
    } catch (error) {
      this.#next({ kind: 'failed', error, isTransient: this.#calls.isTransient(error) })
    }
  }

  async #do(command: Command<P>): Promise<Input<P> | undefined> {
    switch (command.kind) {
      case 'prepare':
        return await this.#prepare()
      case 'open':
        return { kind: 'opened', ...(await this.#calls.open(this.#waiting)) }
      case 'recall':
        return { kind: 'recalled', stored: await this.#calls.recall() }
      case 'read':
        return { kind: 'read', reading: await this.#calls.read(command.request, this.#waiting) }
      case 'record':
        await this.#calls.record(command.skipped)
        return { kind: 'recorded' }
      case 'save':
        await this.#reports.saving(() => this.#calls.saveSettled(command.reading))
        return { kind: 'saved' }
      case 'wait':
        this.#heed()
        await this.#pause.wait(command)
        return { kind: 'due' }
      case 'started':
        void this.#listen()
        this.#starting?.resolve()
        break
      case 'refused':
        this.#starting?.reject(command.error)
        break
      case 'report':
        this.#reports.tell(command.report)
        break
      case 'end':
        this.#end()
    }
  }

  async #listen(): Promise<void> {
    const told = {
      hint: (wakeUp: WakeUp<P> | undefined) => {
        this.#hints.add(wakeUp)
        if (this.#standing.phase === 'resting') this.#heed()
      },
      over: () => {
        if (this.#hints.end()) this.wake()
      },
    }
    await listenForWakeUps(this.#options, told, this.#stopping.signal)
  }

  /** A hint that comes during a poll may be one of what that poll has seen. */
  #heed(): void {
    if (this.#hints.take(this.#options.source.order, this.reading?.head)) this.wake()
  }

  async #prepare(): Promise<Input<P>> {
    await this.#session.open(this)
    if (!this.#stopping.signal.aborted) {
      void watchStaleness(this.#options, () => this.status(), this.#stopping.signal)
    }
    return { kind: 'prepared' }
  }

  #end(): void {
    this.#stopping.abort()
    this.#session.close(this)
    this.#over.resolve()
    this.#starting?.resolve()
  }
}
