import { StagedError, stagedError } from '../failures/classify.ts'
import { HandlerCalls } from '../failures/handler-timeout.ts'
import type { Burial } from '../failures/letter.ts'
import { batchLimit, isParting, narrowedAt } from '../failures/narrow.ts'
import type { PollingAgent } from '../high-water/polling-agent.ts'
import type { HighWaterStatus } from '../high-water/status.ts'
import { Changes } from '../kernel/changes.ts'
import { type Deferred, deferred, untilAborted } from '../kernel/deferred.ts'
import { hasCode } from '../kernel/errors.ts'
import { systemRandom } from '../kernel/random.ts'
import type { Grant, Ownership } from '../ownership/ownership.ts'
import type { AdvanceWork, CheckpointStore } from '../ports/checkpoint-store.ts'
import { UNKNOWN_DECISION } from '../ports/control.ts'
import type { TailWish } from '../ports/event-source.ts'
import type { OpenLate } from '../ports/late-events.ts'
import { countOf } from '../ports/skip-totals.ts'
import type { LastDecided } from '../ports/stored-unit.ts'
import type { Unit } from '../ports/unit.ts'
import type { ReadPage } from '../reading/own-pages.ts'
import { keySlotsOf } from '../reading/part.ts'
import { inBackground } from '../telemetry/background.ts'
import { type BatchParts, handleBatch } from './batch.ts'
import { buryEvents } from './burial.ts'
import type { Command, Context, Input, InputKind, Opening, Report, Step, Wanted } from './commands.ts'
import { failedBatch } from './failed-batch.ts'
import { Fulfilments } from './fulfilment.ts'
import { handingOut } from './handing-out.ts'
import { lagMs } from './lag.ts'
import { LateBatches, type LateDue } from './late-batch.ts'
import { begin, next } from './machine.ts'
import { policyOf, upToItsEnd } from './policy-of.ts'
import { readsAfter } from './reads-after.ts'
import { ReplayMeter } from './replay-meter.ts'
import { ProjectionReports } from './reports.ts'
import { retryLetter } from './retry.ts'
import { NOT_STARTED, pageLimit, type Standing, shownState } from './standing.ts'
import {
  type DealtTo,
  isDealtElsewhere,
  type LeaseStatus,
  type ProjectionState,
  type ReplayStatus,
} from './status.ts'
import { type CallParts, type Movement, StoreCalls } from './store-calls.ts'
import { ToldFailures } from './told-failures.ts'
import { type TenureParts, UnitTenure } from './unit-tenure.ts'
import { VitalSigns, type Vitals } from './vitals.ts'

export interface RunnerParts<P, E, Tx>
  extends BatchParts<P, E, Tx>,
    CallParts<P, E, Tx>,
    Pick<TenureParts<P, Tx>, 'sessionId'> {
  readonly checkpoints: CallParts<P, E, Tx>['checkpoints'] & Pick<CheckpointStore<Tx>, 'control' | 'failures'>
  readonly ownership: Ownership<P, Tx>
  readonly agent: PollingAgent<P>
  /** `undefined` where nothing is dealt out. */
  readonly dealtTo: DealtTo | undefined
  /** Which node has its lease; `undefined` where there are none. */
  readonly leaseOf: (() => LeaseStatus) | undefined
  /** A change of this projection that `waitUntilProjected` looks at. */
  readonly onChange: () => void
  /** What has to end before this begins: those that had its slots in this process. */
  readonly former: Promise<unknown> | undefined
  /** Its version is stored in other shards by now. Resolves once others run in its stead, where this process can run them. */
  readonly onOtherShards: () => Promise<void>
}

const LAST_WRITE_MS = 500

/** Carries out what the machine of one projection decides (machine.ts), and hands it what came of that. */
export class ProjectionRunner<P, E, Tx> {
  readonly #parts: RunnerParts<P, E, Tx>
  readonly #calls: StoreCalls<P, E, Tx>
  readonly #handlerCalls: HandlerCalls
  readonly #fulfilments: Fulfilments<P, E, Tx>
  readonly #reports: ProjectionReports<P>
  readonly #toldFailures: ToldFailures
  readonly #tenure: UnitTenure<P, Tx>
  readonly #stopping = new AbortController()
  readonly #givenUp = new AbortController()
  readonly #ended: Deferred = deferred()
  readonly #vitals: VitalSigns<P>
  readonly #replay: ReplayMeter<P>
  /** Something is asked of this unit. */
  readonly #asked = new Changes()
  #standing: Standing<P> = NOT_STARTED
  #grant: Grant<Tx> | undefined
  /** Until the right was given back. */
  #releasing: Promise<void> | undefined
  #wait = new AbortController()
  /** Ends standing by. */
  #hurry = new AbortController()
  /** The newest of what operators have decided that this process has heard of; `undefined` before the checkpoint was opened. */
  #heard: LastDecided | undefined
  /** How often in a row the store has refused to open its checkpoint, for no passing fault. */
  #refusedOpens = 0
  readonly #late: LateBatches<P, E, Tx>
  #lateDue: readonly LateDue[] = []

  constructor(parts: RunnerParts<P, E, Tx>) {
    this.#parts = parts
    this.#reports = new ProjectionReports(parts, this.#stopping.signal)
    this.#toldFailures = new ToldFailures(parts, this.#stopping.signal)
    this.#calls = new StoreCalls(parts, this.#stopping.signal)
    this.#handlerCalls = new HandlerCalls(parts, this.#givenUp.signal)
    this.#late = new LateBatches(parts)
    this.#tenure = new UnitTenure(parts)
    this.#fulfilments = new Fulfilments({ ...parts, calls: this.#handlerCalls })
    this.#vitals = new VitalSigns(parts.source.order, parts.clock.nowMs())
    this.#replay = new ReplayMeter(parts.source.order)
  }

  get name(): string {
    return this.#parts.projection.name
  }

  get unit(): Unit {
    return this.#parts.projection.unit
  }

  get eventTypes(): readonly string[] | undefined {
    return this.#parts.projection.eventTypes
  }

  get dealtTo(): DealtTo | undefined {
    return this.#parts.dealtTo
  }

  get lease(): LeaseStatus | undefined {
    return this.#parts.leaseOf?.()
  }

  get state(): ProjectionState {
    return shownState(this.#standing, this.#parts.source.order, this.#parts.agent.reading)
  }

  /** Where it stands, for who shows it. */
  get shown(): Pick<
    Standing<P>,
    'checkpoint' | 'role' | 'handledEvents' | 'error' | 'failure' | 'pausedBy' | 'asked'
  > {
    return this.#standing
  }

  /** How far this projection has seen of that incarnation; what `waitUntilProjected` compares. */
  cursorIn(incarnation: string): P | undefined {
    const { cursor, cursorIncarnation } = this.#standing
    return incarnation === cursorIncarnation ? cursor : undefined
  }

  /** From where it reads on; `undefined`: it does not. */
  get tail(): TailWish<P> | undefined {
    const { agent, projection } = this.#parts
    const after = readsAfter(this.#standing, agent.reading)
    if (after === undefined) return undefined
    const slots = keySlotsOf(projection.part)
    return { after, eventTypes: projection.eventTypes, ...(slots === undefined ? {} : { slots }) }
  }

  /** Somebody waits for it: where another process moves the checkpoint, it is looked at sooner. */
  hurry(): void {
    this.#parts.ownership.hurry()
  }

  /** How often in a row its checkpoint could not be opened, passing faults of the store aside. */
  get refusedOpens(): number {
    return this.#refusedOpens
  }

  get vitals(): Vitals {
    return this.#vitals.tell(this.#standing, this.#parts.agent)
  }

  /** See `ProjectionStatus.replay`. */
  get replay(): ReplayStatus<P> | undefined {
    const { agent, clock } = this.#parts
    return this.#replay.tell(this.#standing, agent.reading?.mark, clock.nowMs())
  }

  /** See `ProjectionStatus.lagMs`. */
  lagMs(highWater: HighWaterStatus<P>): number | undefined {
    const { source, clock, agent } = this.#parts
    if (this.#standing.checkpoint === undefined) return undefined
    const firstSeenAtMs = agent.firstSeenAboveMs(this.#standing.cursor)
    const nowMs = clock.nowMs()
    return lagMs({ ...this.#standing, order: source.order, highWater, firstSeenAtMs, nowMs })
  }

  start(): void {
    this.#take(begin(isDealtElsewhere(this.dealtTo) || this.lease !== undefined))
    void this.#listen()
  }

  /** What an operator wants, and the last that was decided. */
  follow({ desired, decision, role, bound, isRetryAsked: isAsked, asked, answered }: Wanted): void {
    // Late events are mended as dead letters are: between batches, the checkpoint where it is.
    const isRetryAsked = isAsked || this.#lateDue.length > 0
    const { phase } = this.#standing
    // The answer that is on its way may be of before or after it: the next look comes in a second.
    if (phase === 'opening') return
    const heard = { atMs: decision?.sinceMs, answered: answered?.id }
    // What was decided before the checkpoint was first opened lets nothing go on that has failed since.
    const isNews =
      this.#heard !== undefined &&
      !(heard.atMs === this.#heard.atMs && heard.answered === this.#heard.answered)
    if (isNews) this.#heard = heard
    const pausedBy = desired === 'running' ? undefined : (decision ?? UNKNOWN_DECISION)
    const heardOf = { role, bound: bound === undefined ? undefined : this.#parts.source.order.parse(bound) }
    inBackground(() => this.#next({ kind: 'desired', pausedBy, ...heardOf, isNews, isRetryAsked, asked }))
    if (isRetryAsked) this.#asked.tell()
  }

  /** How many late events of this unit are open, and how many of them an operator has asked for; handled from the next look on. */
  lateEvents({ open, asked }: Pick<OpenLate, 'open' | 'asked'>): void {
    const isOwn = this.#parts.projection.onLateEvent !== undefined && open > asked
    this.#lateDue = [...(asked > 0 ? (['asked'] as const) : []), ...(isOwn ? (['others'] as const) : [])]
  }

  /** Ends after the batch at hand. */
  drain(): Promise<void> {
    this.#stopping.abort()
    inBackground(() => this.#next({ kind: 'stop', isLate: false }))
    return this.#ended.promise
  }

  /** Fires the handler's signal and destroys its transaction. */
  giveUp(): void {
    this.#givenUp.abort()
    inBackground(() => this.#next({ kind: 'stop', isLate: true }))
  }

  async #listen(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await untilAborted(this.#parts.agent.nextChange(), signal)
      this.#next({ kind: 'reading' })
    }
  }

  get #context(): Pick<Context<P>, 'order' | 'policy' | 'isDealtElsewhere'> {
    const { source, projection } = this.#parts
    return { order: source.order, policy: projection, isDealtElsewhere: isDealtElsewhere(this.dealtTo) }
  }

  #next(input: Input<P, E>): void {
    const { clock, agent } = this.#parts
    const { reading } = agent
    const random = systemRandom()
    const context = { ...this.#context, nowMs: clock.nowMs(), reading, random }
    this.#take(next(this.#standing, input, context), input.kind)
  }

  #take({ standing, commands }: Step<P, E>, by?: InputKind): void {
    if (standing.phase !== this.#standing.phase) {
      this.#wait.abort()
      if (standing.phase === 'paused') this.#calls.dropPages()
    }
    const nowMs = this.#parts.clock.nowMs()
    this.#vitals.see(this.#standing, standing, by, nowMs)
    this.#replay.see(standing, nowMs)
    this.#standing = standing
    this.#parts.onChange()
    for (const command of commands) void this.#carryOut(command)
  }

  async #carryOut(command: Command<P, E>): Promise<void> {
    try {
      const answer = await this.#do(command)
      if (answer) this.#next(answer)
    } catch (error) {
      const events = command.kind === 'apply' ? command.page.events : []
      const failed = this.#calls.failed(error)
      const isOpening = command.kind === 'open' || command.kind === 'acquire'
      if (isOpening && failed.stage === 'read' && !failed.isTransient) this.#refusedOpens++
      this.#next({ kind: 'failed', ...failed, events })
    }
  }

  async #do(command: Command<P, E>): Promise<Input<P, E> | undefined> {
    switch (command.kind) {
      case 'acquire':
        await this.#releasing
        if (this.#parts.former) await untilAborted(this.#parts.former, this.#stopping.signal)
        await this.#acquire()
        break
      case 'release':
        this.#releasing = this.#giveBack()
        await this.#releasing
        break
      case 'hurry':
        this.#hurry.abort()
        break
      case 'fulfil':
        return await this.#fulfil(command)
      case 'open':
        return await this.#open(command)
      case 'load':
        return { kind: 'loaded', page: await this.#calls.nextPage(command) }
      case 'apply':
        return await this.#handle(command.page, command.from)
      case 'bury':
        await this.#handlerCalls.ended()
        return await buryEvents(this.#parts, command.burial, async (passed, work) => {
          const burying = { ...command, ...ofBurial(command.burial), passed, signal: this.#givenUp.signal }
          const applied = await this.#move(burying, work)
          return { ...applied, isBuried: passed.length > 0 }
        })
      case 'checkpoint':
        return await this.#move({ ...command, page: undefined, signal: this.#givenUp.signal }, async () => {})
      case 'retry':
        return await this.#mend(command)
      case 'wait':
        return await this.#sleep(command.ms)
      case 'doubt':
        this.#parts.agent.doubt(command.incarnation)
        break
      case 'report':
        this.#reports.tell(command.report)
        this.#keepFailure(command.report)
        break
      case 'end':
        this.#wait.abort()
        await this.#giveBack()
        await this.#toldFailures.ended()
        this.#ended.resolve()
    }
  }

  /** Only who has the right to work says what fails there. */
  #keepFailure(report: Report<P>): void {
    const { right, checkpoint } = this.#standing
    const at = checkpoint?.position
    const position = at === undefined ? undefined : this.#parts.source.order.format(at)
    if (report.kind === 'over') {
      if (report.isWorking) this.#toldFailures.over(position)
      else this.#toldFailures.forget()
    }
    if (report.kind !== 'failed' || right !== 'held' || checkpoint === undefined) return
    // Its dead letter says so.
    if (report.state === 'skipping') return
    this.#toldFailures.failed({
      ...report.failure,
      position,
      error: report.error,
      isPaused: report.state === 'paused',
      fence: this.#grant?.fence,
    })
  }

  async #giveBack(): Promise<void> {
    await this.#handlerCalls.ended()
    await this.#tenure.end(this.#lastSignal())
    await this.#grant?.release()
  }

  async #acquire(): Promise<void> {
    const { ownership, agent } = this.#parts
    const look = async () => {
      if (agent.reading) this.#next(await this.#open(agent.reading))
      return this.#standing.checkpoint?.position
    }
    this.#hurry = new AbortController()
    const grant = await ownership.acquire({
      look,
      bound: () => this.#standing.bound,
      isAsked: () => this.#standing.letters !== 'none',
      nextAsked: () => this.#asked.next(),
      signal: this.#stopping.signal,
      hurry: this.#hurry.signal,
    })
    this.#grant = grant
    this.#tenure.forget()
    this.#next({ kind: 'granted' })
    const { lost, recalled } = grant
    whenFired(lost, () => this.#next({ kind: 'revoked' }))
    if (recalled) whenFired(recalled, () => this.#next({ kind: 'recalled' }))
  }

  async #open({ incarnation, head }: Opening<P>): Promise<Input<P, E>> {
    const opened = this.#calls.openCheckpoint(head)
    const { decided, ...unit } = await opened.catch(async (thrown: unknown) => {
      const error = thrown instanceof StagedError ? thrown.error : thrown
      const isGone = hasCode(error, 'TIDEMARK_SHARDS_STORED')
      if (isGone) await untilAborted(this.#parts.onOtherShards(), this.#stopping.signal)
      throw thrown
    })
    this.#refusedOpens = 0
    // Only the first: what is decided later is told by the next look, and counts as news then.
    this.#heard ??= decided
    return { kind: 'opened', ...unit, incarnation }
  }

  /** What was read ahead is of where it stood before. */
  async #fulfil(asked: Parameters<Fulfilments<P, E, Tx>['fulfil']>[0]): Promise<Input<P, E>> {
    this.#calls.dropPages()
    await this.#handlerCalls.ended()
    const done = await this.#fulfilments.fulfil(asked, this.#tenure.begun, this.#givenUp.signal)
    // Another owner may have begun, and what was suspected may be behind.
    this.#tenure.forget()
    // Its own answer is no news.
    if (done && this.#heard) this.#heard = { ...this.#heard, answered: asked.request.id }
    return {
      kind: 'fulfilled',
      unit: done?.unit && this.#calls.known(done.unit),
      buried: done?.buried,
    }
  }

  async #handle(page: ReadPage<P, E>, from: P | undefined): Promise<Input<P, E>> {
    const { through: to, evidence } = page
    const signal = this.#givenUp.signal
    await this.#handlerCalls.ended()
    const start = this.#startOf({ from, to, evidence, signal })
    const batch = failedBatch(this.#parts.source, page)
    const { isDared } = this.#standing
    const asked = pageLimit(this.#standing, policyOf(this.#standing, this.#context).batchSize)
    const stopping = this.#stopping.signal
    const begun = await this.#tenure
      .beginBatch({ ...start, batch, asked, isDared, stopping })
      .catch((error: unknown) => {
        throw stagedError(hasCode(error, 'TIDEMARK_PROCESS_ENDED') ? 'handle' : 'commit', error, batch)
      })
    if (begun.kind === 'smaller') return { kind: 'suspected', limit: begun.limit }
    const { clock } = this.#parts
    const startedMs = clock.nowMs()
    try {
      const handing = handingOut(this.#parts, page)
      const { passed, positions } = handing ?? {}
      const applied = await handleBatch(this.#parts, {
        page,
        calls: this.#handlerCalls,
        move: (work, signal) =>
          this.#moveBegun(
            {
              ...{ from, to, evidence, page, signal },
              ...(passed === undefined ? {} : { passed }),
              ...(positions === undefined ? {} : { positions }),
            },
            work,
          ),
        handing,
        // Only now, so that parsing overlaps the server's work. An owner that lost the checkpoint loads nothing.
        onCalled: () => this.#prefetch(page),
      })
      this.#calls.handled(page, clock.nowMs() - startedMs)
      const parked = countOf(passed ?? [])
      return parked === 0 ? applied : { ...applied, parked }
    } catch (error) {
      await this.#tenure.failed(start)
      throw error
    } finally {
      begun.end()
    }
  }

  /** Where this process begins to work. */
  #startOf({ from, to, evidence, signal }: Pick<Movement<P, E>, 'from' | 'to' | 'evidence' | 'signal'>) {
    const { begin } = this.#held()
    const { incarnation } = evidence
    return { begin, from, through: this.#parts.agent.reading?.mark ?? to, incarnation, signal }
  }

  #held(): Grant<Tx> {
    if (this.#grant === undefined) throw new TypeError('no checkpoint moves without the right to it')
    return this.#grant
  }

  /** Also after everything was given up the store gets a moment. */
  #lastSignal(): AbortSignal {
    const { signal } = this.#givenUp
    return signal.aborted ? AbortSignal.timeout(LAST_WRITE_MS) : signal
  }

  /** Late events first: they are older than what was given up. */
  async #mend({ at, reading }: Extract<Command<P, E>, { readonly kind: 'retry' }>): Promise<Input<P, E>> {
    const work = {
      calls: this.#handlerCalls,
      commit: async (committed: AdvanceWork<Tx>, signal: AbortSignal) => {
        await this.#move({ from: at, to: at, evidence: reading, page: undefined, signal }, committed)
      },
      stopping: this.#stopping.signal,
      givenUp: this.#givenUp.signal,
    }
    const read = (position: P) => this.#calls.read(position, position, 1, reading)
    for (const due of this.#lateDue) {
      if (await this.#late.next(due, { ...work, at, read })) return { kind: 'retried', isMore: true }
    }
    this.#lateDue = []
    return await retryLetter(
      {
        ...this.#parts,
        ...work,
        read: (first, last, events) => this.#calls.read(first, last, events, reading),
      },
      reading,
    )
  }

  #prefetch({ through: after, events, bytes }: ReadPage<P, E>): void {
    const { agent, source } = this.#parts
    const { reading } = agent
    const { narrowed } = this.#standing
    // How large the page after this one is, depends on what becomes of it.
    if (reading === undefined || isParting(narrowed) || this.#tenure.limit !== undefined) return
    const { batchSize } = policyOf({ ...this.#standing, cursor: after }, this.#context)
    const next = narrowedAt(source.order, narrowed, after, events.length, batchSize)
    const within = upToItsEnd(reading, { ...this.#standing, cursor: after }, this.#context)
    this.#calls.prefetch({ after, reading: within, limit: batchLimit(next, batchSize) }, { bytes })
  }

  async #move(
    movement: Movement<P, E>,
    work: AdvanceWork<Tx>,
  ): Promise<Extract<Input<P, E>, { readonly kind: 'applied' }>> {
    await this.#tenure.beginMove(this.#startOf(movement))
    return await this.#moveBegun(movement, work)
  }

  async #moveBegun(
    movement: Movement<P, E>,
    work: AdvanceWork<Tx>,
  ): Promise<Extract<Input<P, E>, { readonly kind: 'applied' }>> {
    const { to, page, passed = [] } = movement
    const tenure = this.#tenure.after(to, page?.events.length ?? countOf(passed))
    const { skipped } = await this.#calls.advance(
      this.#held(),
      { ...movement, ...(tenure === undefined ? {} : { tenure }) },
      work,
    )
    this.#tenure.moved(tenure)
    return { kind: 'applied', skipped, suspectedLimit: this.#tenure.limit }
  }

  async #sleep(ms: number): Promise<Input<P, E> | undefined> {
    this.#wait.abort()
    const wait = new AbortController()
    this.#wait = wait
    await this.#parts.clock.sleep(ms, wait.signal)
    return wait.signal.aborted ? undefined : { kind: 'due' }
  }
}

/** Also where it has fired before. */
function whenFired(signal: AbortSignal, then: () => void): void {
  if (signal.aborted) then()
  else signal.addEventListener('abort', then, { once: true })
}

function ofBurial({ batch }: Burial): Pick<Movement<never, never>, 'page' | 'positions'> {
  return { page: undefined, positions: [batch.firstPosition, batch.lastPosition] }
}
