import { decideBy } from '../../../packages/core/src/failures/on-failure.ts'
import { denseOrder } from '../../../packages/core/src/ports/position.ts'
import type { Command, Input, Step } from '../../../packages/core/src/projection/commands.ts'
import { begin, next } from '../../../packages/core/src/projection/machine.ts'
import { NOT_STARTED, type Standing } from '../../../packages/core/src/projection/standing.ts'
import { type Fetched, isFetchedFor, type ReadPage } from '../../../packages/core/src/reading/own-pages.ts'
import type { ModelAgent } from './agent.ts'
import type { DaemonParts } from './daemon-parts.ts'
import type { ModelEvidence, Projection } from './projection.ts'
import type { Random } from './random.ts'
import { CHANGED, type Reading } from './source.ts'
import type { ModelEvent } from './transaction.ts'

type ModelPage = ReadPage<bigint, ModelEvent>
type ModelCommand = Command<bigint, ModelEvent>
type Asked = Extract<ModelCommand, { readonly kind: 'open' | 'load' | 'apply' | 'checkpoint' }>

const CONFLICT = new Error('another owner has moved the checkpoint')

const TRIES_WITHOUT_POLL = 3

/** The real machine of one projection; one operation of a history carries out one thing that it asks for. */
export class ModelRunner {
  readonly #parts: DaemonParts
  readonly #agent: ModelAgent
  readonly #projection: Projection
  #standing: Standing<bigint> = NOT_STARTED
  #asked: Asked | undefined
  #waitMs: number | undefined
  #nowMs = 1_000_000
  #failures = 0
  #fetched: (Fetched<bigint> & { readonly page: ModelPage }) | undefined

  constructor(parts: DaemonParts, agent: ModelAgent, projection: Projection) {
    this.#parts = parts
    this.#agent = agent
    this.#projection = projection
    this.#take(begin())
  }

  /** Loads the page that is asked for, or the one after the page at hand. */
  load(random: Random): boolean {
    if (this.#waitMs === undefined) this.#next({ kind: 'reading' })
    else this.#due(this.#waitMs)
    if (this.#asked?.kind === 'open') this.#open(this.#asked.incarnation)
    const asked = this.#asked
    if (asked?.kind === 'apply') return this.#prefetch(asked.page.through, random)
    if (asked?.kind !== 'load') return asked?.kind === 'checkpoint'
    const { after, reading } = asked
    const fetched = this.#fetched
    this.#fetched = undefined
    const page = isFetchedFor(denseOrder, fetched, asked)
      ? fetched.page
      : this.#pageAfter(after, reading, random)
    if (page) this.#next({ kind: 'loaded', page })
    else this.#fail('read', CHANGED)
    return page !== undefined
  }

  /** Handles the page at hand and moves the checkpoint, in one transaction. */
  advance(random: Random, asynchronous: boolean): boolean {
    const asked = this.#asked
    if (asked?.kind !== 'apply' && asked?.kind !== 'checkpoint') return false
    const { setting, sessions } = this.#parts
    const isPage = asked.kind === 'apply'
    const to = isPage ? asked.page.through : asked.to
    const { incarnation, settled } = isPage ? asked.page.evidence : asked.evidence
    const evidence = { incarnation, settled }
    if (!setting.checkpointsElsewhere && !this.#isSameRun(sessions.pick(random), evidence)) {
      this.#fail('commit', CHANGED)
      return false
    }
    if (this.#projection.checkpoint?.position !== asked.from) {
      this.#next({ kind: 'revoked' })
      this.#fail('commit', CONFLICT)
      return false
    }
    this.#projection.advance(isPage ? asked.page.events : [], to, evidence, asynchronous)
    this.#next({ kind: 'applied', skipped: {} })
    return true
  }

  /** A page of another incarnation fails again and again, until the agent has polled. */
  catchUp(random: Random): void {
    const most = this.#failures + TRIES_WITHOUT_POLL
    let goesOn = true
    while (goesOn && this.#failures < most) goesOn = this.advance(random, false) || this.load(random)
  }

  #open(incarnation: string): void {
    const position = this.#projection.checkpoint?.position
    this.#next({
      kind: 'opened',
      role: 'live',
      furthest: undefined,
      checkpoint: { position, skipped: {} },
      incarnation,
    })
  }

  #prefetch(after: bigint, random: Random): boolean {
    const reading = this.#reading
    if (this.#fetched || reading?.mark === undefined || reading.mark <= after) return false
    const page = this.#pageAfter(after, reading, random)
    this.#fetched = page && { after, incarnation: reading.incarnation, limit: this.#parts.setting.page, page }
    return page !== undefined
  }

  /** `undefined`: the server is not the one of the reading. */
  #pageAfter(after: bigint | undefined, reading: Reading, random: Random): ModelPage | undefined {
    const { server, setting, sessions } = this.#parts
    const { incarnation, settled, mark, logPosition } = reading
    if (mark === undefined) throw new Error('the machine loads without a mark')
    // With checkpoints in the events' database, the checkpoint's transaction compares.
    if (setting.checkpointsElsewhere && !this.#isSameRun(sessions.pick(random), reading)) return undefined
    const events = server.table.visible(after, mark, setting.page)
    const isFull = events.length === setting.page
    const through = isFull ? BigInt(events.at(-1)?.position ?? Number.NaN) : mark
    const evidence = { incarnation, settled, logPosition }
    return { events, positions: [], through, reachesMark: through === mark, evidence }
  }

  #isSameRun(backend: number, evidence: ModelEvidence): boolean {
    const { subject, sessions } = this.#parts
    return subject.faults.keepsPages === true || sessions.isSameRun(backend, evidence.incarnation)
  }

  get #reading(): Reading | undefined {
    const { reading } = this.#agent
    return reading && this.#parts.subject.faults.checkpointsSettled
      ? { ...reading, mark: reading.settled }
      : reading
  }

  #fail(stage: 'read' | 'commit', error: Error): void {
    this.#failures++
    this.#fetched = undefined
    this.#next({ kind: 'failed', stage, error, batch: undefined, isTransient: false, events: [] })
  }

  #due(ms: number): void {
    this.#nowMs += ms
    this.#waitMs = undefined
    this.#next({ kind: 'due' })
  }

  #next(input: Input<bigint, ModelEvent>): void {
    const { phase } = this.#standing
    if (input.kind !== 'reading' && input.kind !== 'revoked') this.#asked = undefined
    const context = {
      nowMs: this.#nowMs,
      order: denseOrder,
      reading: this.#reading,
      policy: {
        attempts: 1,
        batchSize: this.#parts.setting.page,
        longestPauseMs: 300_000,
        decide: decideBy('pause', 'onFailure'),
      },
      random: 0.5,
    }
    const step = next(this.#standing, input, context)
    if (step.standing.phase !== phase) this.#waitMs = undefined
    this.#take(step)
  }

  #take({ standing, commands }: Step<bigint, ModelEvent>): void {
    this.#standing = standing
    for (const command of commands) {
      if (command.kind === 'acquire') this.#next({ kind: 'granted' })
      else if (command.kind === 'wait') this.#waitMs = command.ms
      else if (command.kind === 'doubt') this.#agent.doubt(command.incarnation)
      else if (command.kind === 'hurry' || command.kind === 'fulfil' || command.kind === 'release')
        throw new Error('nobody asks for anything')
      else if (command.kind === 'bury' || command.kind === 'retry')
        throw new Error('a handler that never fails is given up')
      else if (command.kind !== 'report' && command.kind !== 'end') this.#asked = command
    }
  }
}
