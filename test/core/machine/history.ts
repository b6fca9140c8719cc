import type { Decision, HighWaterReading } from '@tidemark/core/adapter'
import { denseOrder, ProjectionPausedError } from '@tidemark/core/adapter'
import {
  decideBy,
  type FailureDecision,
  type OnFailure,
  type UndecidedFailure,
} from '../../../packages/core/src/failures/on-failure.ts'
import type { Command, Input } from '../../../packages/core/src/projection/commands.ts'
import type { begin, next } from '../../../packages/core/src/projection/machine.ts'
import type { Standing } from '../../../packages/core/src/projection/standing.ts'
import type { ReadPage } from '../../../packages/core/src/reading/own-pages.ts'
import { Random } from '../model/random.ts'
import { reading } from '../rig.ts'
import { Wrong, wrongWhile } from '../wrong.ts'
import { Store } from './store.ts'

export interface Machine {
  readonly begin: typeof begin
  readonly next: typeof next
}

type AnyInput = Input<bigint, bigint>
type AnyCommand = Command<bigint, bigint>
type Asked = Extract<
  AnyCommand,
  { readonly kind: 'acquire' | 'fulfil' | 'open' | 'load' | 'apply' | 'bury' | 'checkpoint' | 'retry' }
>

type Handling = Pick<ReadPage<bigint, bigint>, 'events' | 'evidence'>

const ATTEMPTS = 3
const POLICIES: Readonly<Record<'pause' | 'skip' | 'function', OnFailure<bigint>>> = {
  pause: 'pause',
  skip: 'skip',
  // Another try, then a pause, then it is given up.
  function: ({ tries }) => (tries === ATTEMPTS ? 'retry' : tries < ATTEMPTS + 3 ? 'pause' : 'skip'),
}
const BATCH = 8
/** A batch of 8 that fails is parted to 4, 2 and 1; one that has grown goes back to the size before. */
const MOST_HALVINGS = 4
/** After so many batches a larger one is tried, however often that has failed. */
const MOST_PATIENCE = 256
const LONGEST_PAUSE_MS = 60_000
/** Enough to come to rest from anywhere: a step is an answer, a wait, or a restart. */
const STEPS_TO_REST = 20_000

/** A random history of so many inputs, then rest. Says what was wrong; `undefined`: nothing. */
export function wrongIn(machine: Machine, seed: number, inputs: number): string | undefined {
  const history = new History(machine, new Random(seed))
  const live = () => {
    while (history.inputs < inputs) history.step()
    history.comeToRest(STEPS_TO_REST)
  }
  return wrongWhile(live, history, seed)
}

/**
 * A machine on a store that crashes, with another owner about, and a shell that does what it says. Beside it goes what is
 * known without a machine: whether it may work, what it has asked for, how often its batch has failed.
 */
class History {
  inputs = 0
  #requests = 0
  readonly #machine: Machine
  readonly #random: Random
  readonly #store = new Store()
  /** Crashes, other owners and restarts are so rare that one failure has time to follow another. */
  readonly #isCalm: boolean
  readonly #hasOperators: boolean
  /** Otherwise its pages may have nothing in them, though events follow. */
  readonly #looksFar: boolean
  readonly #policy: keyof typeof POLICIES
  #standing: Standing<bigint>
  #reading: HighWaterReading<bigint> | undefined
  #nowMs = 1_000_000
  #asked: Asked | undefined
  #waitMs: number | undefined
  #mayWork = false
  #isContested = false
  /** Whether its right is to be given back. */
  #isRecalled = false
  #stopping: 'no' | 'draining' | 'late' = 'no'
  #ends = 0
  /** At one event, or where one was mapped. */
  #ownFailures = 0
  /** The batch that failed, until its end is committed, and how many events may be asked for at once. */
  #failed: { readonly through: bigint; readonly most: number } | undefined
  /** How many events were asked for last, and before that where they became more. */
  #limit = BATCH
  #grownFrom: number | undefined
  /** Whether a batch has passed since, and how many full ones as large as that. */
  #hasPassed = false
  #fullOnes = 0
  /** How often a batch has failed since batches were whole. */
  #growsAfterFailures = 0
  #halvings = 0
  /** How often it has failed again since it was paused; `undefined`: it was not. */
  #pauseTries: number | undefined
  #isPausedForGood = false
  /** The checkpoint as it was last read or moved. */
  #known: { readonly position: bigint | undefined } | undefined
  /** Whether another owner may have moved the checkpoint since this one has looked. */
  #isMovedElsewhere = false
  /** Whether it knows that an operator wants it to stand still. */
  #isHeld = false
  /** Whether it has stood still for that since its checkpoint was read. */
  #wasHeld = false
  /** Whether an operator has decided anything that it was not told of. */
  #isNews = false
  /** Whether an operator has moved the checkpoint since this one has looked. */
  #isMovedByHand = false
  #openedIncarnation: string | undefined

  constructor(machine: Machine, random: Random) {
    this.#machine = machine
    this.#random = random
    this.#isCalm = random.chance(0.5)
    this.#hasOperators = random.chance(0.4)
    this.#looksFar = random.chance(0.7)
    this.#policy = random.pick(['pause', 'skip', 'function'] as const) ?? 'pause'
    this.#standing = this.#restart()
  }

  step(): void {
    const random = this.#random
    const drawn = random.below(this.#hasOperators ? 103 : 100)
    if (drawn >= 100) {
      this.#operate()
      return
    }
    const isLeftOut = this.#isCalm && drawn >= 28 && drawn < 41 && random.chance(0.9)
    const draw = isLeftOut ? 99 : drawn
    if (draw < 14) this.#store.append(random)
    else if (draw < 28) this.#poll()
    else if (draw < 29) this.#reading = undefined
    else if (draw < 30) this.#isMovedElsewhere = this.#store.crash()
    else if (draw < 32) this.#store.flush()
    else if (draw < 34) this.#isMovedElsewhere = this.#store.moveElsewhere(random) || this.#isMovedElsewhere
    else if (draw < 36) this.#nowMs += random.below(1_500)
    else if (draw < 38) this.#store.mend()
    else if (draw < 39) this.#next(this.#unasked())
    else if (draw < 40) this.#stop(random.chance(0.3))
    else if (draw < 41 && this.#mayWork && random.chance(0.5)) this.#recall()
    else if (draw < 41 && this.#mayWork) this.#revoke()
    else if (this.#asked) this.#answer(this.#asked)
    else if (this.#waitMs !== undefined) this.#due(this.#waitMs)
    else this.#next({ kind: 'reading' })
    this.#restartIfOver()
  }

  /** An operator changes the row. The machine hears of it now, later, or when its checkpoint is to move. */
  #operate(): void {
    const random = this.#random
    const { pausedBy } = this.#store
    if (random.chance(0.3)) {
      this.#askForRebuild()
      return
    }
    if (pausedBy === undefined && random.chance(0.7)) {
      if (random.chance(0.3)) this.#tellDesired()
      return
    }
    if (pausedBy === undefined) {
      this.#store.pausedBy = { who: 'ann', why: 'mending', sinceMs: this.#nowMs }
      this.#isNews = true
    } else if (random.chance(0.4)) {
      this.#store.moveByHand(random)
      this.#isMovedElsewhere = true
      this.#isMovedByHand = true
    } else if (random.chance(0.7)) {
      this.#store.pausedBy = undefined
      this.#isNews = true
    }
    if (random.chance(0.6)) this.#tellDesired()
  }

  /** Or another node does what was asked before. */
  #askForRebuild(): void {
    const { asked } = this.#store
    if (asked === undefined) {
      const id = `request ${++this.#requests}`
      this.#store.asked = { id, operation: 'rebuild', who: 'ann', why: 'wrong sums', sinceMs: this.#nowMs }
    } else if (this.#random.chance(0.3)) this.#rebuildUnseen(asked.id)
    if (this.#random.chance(0.8)) this.#tellDesired()
  }

  #rebuildUnseen(id: string): void {
    if (!this.#store.rebuild(id)) return
    this.#isMovedElsewhere = true
    this.#isMovedByHand = true
    this.#isNews = true
  }

  #tellDesired(): void {
    const { pausedBy, asked } = this.#store
    const { phase } = this.#standing
    if (phase === 'opening') return
    const isNews = this.#isNews
    this.#isNews = false
    const isAtRest = phase === 'following' || phase === 'resting' || phase === 'paused'
    // Whoever resumes it wants it to be tried again, whatever has failed.
    if ((this.#isHeld || isNews) && pausedBy === undefined && isAtRest && this.#stopping === 'no') {
      this.#blameNone()
      this.#isPausedForGood = false
    }
    this.#isHeld = pausedBy !== undefined
    const isRetryAsked = this.#random.chance(0.4)
    this.#next({ kind: 'desired', role: 'live', pausedBy, isNews, isRetryAsked, asked })
  }

  /** Nothing fails any more, and nobody else works. */
  comeToRest(steps: number): void {
    this.#isNews ||= this.#store.pausedBy !== undefined
    this.#store.pausedBy = undefined
    if (this.#isNews && this.#asked?.kind === 'open') this.#succeed(this.#asked)
    if (this.#isNews || this.#isHeld) this.#tellDesired()
    this.#store.mend()
    this.#poll()
    this.#next({ kind: 'reading' })
    for (let left = steps; left > 0; left--) {
      if (this.#isAtRest()) return
      if (this.#isPausedForGood) this.#stop(false)
      else if (this.#asked) this.#succeed(this.#asked)
      else if (this.#waitMs !== undefined) this.#due(this.#waitMs)
      else throw new Wrong(`${this.#standing.phase} waits for nothing, and is not at rest`)
      this.#restartIfOver()
    }
    throw new Wrong(`${this.#standing.phase} does not come to rest`)
  }

  #isAtRest(): boolean {
    const { phase, shows, failure } = this.#standing
    if (phase !== 'following' || shows !== 'live' || this.#asked) return false
    if (failure !== undefined) throw new Wrong('it is live, and shows a failure')
    if (this.#waitMs !== undefined) return false
    if (this.#store.asked !== undefined || this.#isNews) {
      this.#tellDesired()
      return false
    }
    this.#store.checkRest()
    return true
  }

  #restart(): Standing<bigint> {
    this.#asked = undefined
    this.#waitMs = undefined
    this.#mayWork = false
    this.#isContested = false
    this.#isRecalled = false
    this.#stopping = 'no'
    this.#ends = 0
    this.#blameNone()
    this.#isPausedForGood = false
    this.#isHeld = false
    this.#wasHeld = false
    this.#failed = undefined
    this.#forgetSizes()
    this.#known = undefined
    const { standing, commands } = this.#machine.begin<bigint, bigint>()
    for (const command of commands) this.#take(command)
    return standing
  }

  #restartIfOver(): void {
    if (this.#ends === 0) return
    if (this.#asked) throw new Wrong(`it ended, and asked for ${this.#asked.kind}`)
    this.#standing = this.#restart()
  }

  #poll(): void {
    const { incarnation, mark } = this.#store
    this.#reading = reading({ incarnation, head: this.#store.head, settled: mark, mark })
    // The machine may hear of it only with what comes next.
    if (this.#random.chance(0.8)) this.#next({ kind: 'reading' })
  }

  #stop(isLate: boolean): void {
    this.#stopping = isLate ? 'late' : 'draining'
    this.#next({ kind: 'stop', isLate })
    // Whatever is at hand is answered; then it is over.
    for (let answers = 0; this.#ends === 0; answers++) {
      if (answers > 2 || !this.#asked) throw new Wrong(`${this.#standing.phase} does not end`)
      if (this.#asked.kind !== 'fulfil' && this.#random.chance(0.2))
        this.#fail('commit', new Error('connection terminated'), true)
      else this.#answer(this.#asked)
    }
  }

  #due(ms: number): void {
    this.#nowMs += ms
    this.#waitMs = undefined
    this.#next({ kind: 'due' })
  }

  /** What answers nothing that was asked. */
  #unasked(): AnyInput {
    const asked = this.#asked?.kind
    const possible: AnyInput[] = []
    const page = { events: [1n], positions: [1n], through: 1_000n, reachesMark: true, evidence: reading() }
    if (asked !== 'load') possible.push({ kind: 'loaded', page })
    if (asked !== 'apply' && asked !== 'bury' && asked !== 'checkpoint')
      possible.push({ kind: 'applied', skipped: {} })
    if (asked !== 'retry') possible.push({ kind: 'retried', isMore: true })
    if (asked !== 'acquire') possible.push({ kind: 'granted' })
    if (asked === undefined)
      possible.push({ kind: 'failed', ...failedWork('commit', new Error('late'), true) })
    if (asked !== 'open' && asked !== 'acquire') {
      possible.push({
        kind: 'opened',
        role: 'live',
        furthest: undefined,
        checkpoint: { position: 1_000n, skipped: {} },
        incarnation: 'none',
      })
    }
    return this.#random.pick(possible) ?? { kind: 'reading' }
  }

  #answer(asked: Asked): void {
    const random = this.#random
    const looksIn = this.#isContested && this.#stopping === 'no' ? this.#reading?.incarnation : undefined
    if (asked.kind === 'fulfil') this.#succeed(asked)
    else if (random.chance(0.12)) this.#fail('read', new Error('connection terminated'), random.chance(0.5))
    else if (asked.kind === 'load' && random.chance(0.05)) this.#failToMap(asked)
    else if (asked.kind === 'apply' && random.chance(0.002))
      this.#fail('handle', ENDED, false, asked.page.events)
    else if (asked.kind === 'apply' && (random.chance(0.1) || this.#store.isPoisoned(asked.page.events)))
      this.#fail('handle', new Error('boom'), false, asked.page.events)
    else if (asked.kind === 'acquire' && looksIn && random.chance(0.6)) this.#hand(this.#openedIn(looksIn))
    else this.#succeed(asked)
  }

  /** One of the events of that page. */
  #failToMap(asked: Extract<Asked, { readonly kind: 'load' }>): void {
    const at = this.#random.pick(this.#store.load(asked, asked.limit, 1_000n).events)
    if (at === undefined || asked.reading.incarnation !== this.#store.incarnation) this.#succeed(asked)
    else this.#fail('map', new Error('no JSON'), false, [], at)
  }

  #openedIn(incarnation: string): AnyInput {
    const position = this.#store.checkpoint
    return {
      kind: 'opened',
      role: 'live',
      furthest: undefined,
      checkpoint: { position, skipped: {} },
      incarnation,
    }
  }

  #succeed(asked: Asked): void {
    if (asked.kind === 'acquire') {
      this.#isContested = false
      this.#mayWork = true
      this.#hand({ kind: 'granted' })
    } else if (asked.kind === 'fulfil') this.#fulfil(asked.request.id)
    else if (asked.kind === 'open') this.#hand(this.#openedIn(asked.incarnation))
    else if (asked.kind === 'apply') this.#commit(asked.from, asked.page.through, asked.page)
    else if (asked.kind === 'bury') this.#bury(asked)
    else if (asked.kind === 'checkpoint') this.#commit(asked.from, asked.to, { ...asked, events: [] })
    else if (asked.kind === 'retry') this.#retry(asked)
    else if (asked.reading.incarnation !== this.#store.incarnation) this.#fail('read', CHANGED, false)
    else {
      const looksAt = this.#looksFar ? 1_000n : 4n
      this.#hand({ kind: 'loaded', page: this.#store.load(asked, asked.limit, looksAt) })
    }
  }

  /** Done, done with an answer that is lost, or not done at all. */
  #fulfil(id: string): void {
    const draw = this.#random.next()
    if (draw < 0.2) this.#rebuildUnseen(id)
    if (draw < 0.4 || !this.#store.rebuild(id)) {
      this.#hand({ kind: 'fulfilled', unit: undefined })
      return
    }
    this.#blameNone()
    this.#failed = undefined
    this.#forgetSizes()
    this.#isPausedForGood = false
    this.#known = { position: undefined }
    this.#isNews = true
    this.#hand({
      kind: 'fulfilled',
      unit: { checkpoint: { position: undefined, skipped: {} }, role: 'live', furthest: undefined },
    })
  }

  #commit(from: bigint | undefined, to: bigint, { events, evidence }: Handling): void {
    const { pausedBy } = this.#store
    if (pausedBy !== undefined) this.#refuse(pausedBy)
    else if (evidence.incarnation !== this.#store.incarnation) this.#fail('commit', CHANGED, false)
    else if (from !== this.#store.checkpoint) this.#conflict()
    else {
      this.#store.commit(to, events)
      if (events.length > 0) this.#passed(events.length)
      if (this.#random.chance(0.1)) this.#fail('commit', new Error('the answer is lost'), true)
      else this.#hand({ kind: 'applied', skipped: {} }, { to, isHandled: events.length > 0 })
    }
  }

  /** Its transaction is one that moves the checkpoint to where it is. */
  #retry({ at, reading: { incarnation } }: Extract<Asked, { readonly kind: 'retry' }>): void {
    const { pausedBy } = this.#store
    if (pausedBy !== undefined) this.#refuse(pausedBy)
    else if (incarnation !== this.#store.incarnation) this.#fail('commit', CHANGED, false)
    else if (at !== this.#store.checkpoint) this.#conflict()
    else this.#hand({ kind: 'retried', isMore: this.#random.chance(0.5) })
  }

  /** The store moves no checkpoint of a paused unit. */
  #refuse(pausedBy: Decision): void {
    this.#isHeld = true
    this.#asked = undefined
    const error = new ProjectionPausedError('all', pausedBy)
    this.#next({ kind: 'failed', ...failedWork('commit', error, false, []) })
    if (this.#stopping !== 'no') return
    if (this.#asks('fulfil')) return
    if (this.#standing.phase !== 'paused' || this.#waitMs !== undefined)
      throw new Wrong('what an operator has paused is tried again')
  }

  #bury({ from, to, evidence, burial }: Extract<Asked, { readonly kind: 'bury' }>): void {
    if (this.#ownFailures < ATTEMPTS || this.#decision(false) !== 'skip')
      throw new Wrong(`it gives up after ${this.#ownFailures} failures`)
    if (burial.batch.events !== 1) throw new Wrong(`it gives up ${burial.batch.events} events at once`)
    if (burial.tries !== this.#ownFailures) throw new Wrong(`it tells of ${burial.tries} tries`)
    if (evidence.incarnation !== this.#store.incarnation) this.#fail('commit', CHANGED, false)
    else if (from !== this.#store.checkpoint) this.#conflict()
    else {
      this.#store.bury(to, BigInt(burial.batch.firstPosition))
      // It may not have been loaded again since it failed.
      this.#limit = this.#failed?.most ?? this.#limit
      if (this.#random.chance(0.1)) this.#fail('commit', new Error('the answer is lost'), true)
      else this.#hand({ kind: 'applied', skipped: {} }, { to, isHandled: true })
    }
  }

  /** What has to follow from a failure that counts, of one event. */
  #decision(isForGood: boolean): FailureDecision {
    if (isForGood) return 'pause'
    if (this.#ownFailures < ATTEMPTS) return 'retry'
    const onFailure = POLICIES[this.#policy]
    const tries = this.#ownFailures
    return typeof onFailure === 'function' ? onFailure({ ...UNDECIDED, tries }) : onFailure
  }

  #conflict(): void {
    if (this.#isMovedByHand && this.#wasHeld)
      throw new Wrong('it works on without looking what an operator has moved')
    if (!this.#isMovedElsewhere) throw new Wrong('it takes its own commit for that of another owner')
    this.#revoke()
    this.#fail('commit', new Error('conflict'), false)
  }

  /** Another owner is to have the right: it works on until it has given that back, which it does before anything else. */
  #recall(): void {
    this.#isRecalled = true
    this.#next({ kind: 'recalled' })
  }

  #release(): void {
    if (!this.#isRecalled) throw new Wrong('it gives back what nobody has asked for')
    if (this.#asked) throw new Wrong(`it gives back its right while ${this.#asked.kind} goes on`)
    this.#isRecalled = false
    this.#isContested = true
    this.#mayWork = false
  }

  #revoke(): void {
    this.#isContested = true
    this.#mayWork = false
    this.#next({ kind: 'revoked' })
  }

  #fail(
    stage: 'read' | 'map' | 'handle' | 'commit',
    error: Error,
    isTransient: boolean,
    events: readonly bigint[] = [],
    unmapped?: bigint,
  ): void {
    const isOwn = stage === 'map' || stage === 'handle'
    // What fails once an operator wants it to stand still is tried anew when it is resumed.
    const isLooked = !this.#isHeld || error === ENDED
    // Who has it next finds out for itself.
    const counts = this.#stopping === 'no' && this.#mayWork && !this.#isRecalled && isOwn && isLooked
    const through = events.at(-1)
    if (counts && through !== undefined) {
      const isGrown = this.#grownFrom !== undefined && events.length > this.#grownFrom
      const half = Math.max(1, Math.floor(events.length / 2))
      this.#failed = { through, most: isGrown ? (this.#grownFrom ?? half) : half }
      this.#grownFrom = undefined
      this.#fullOnes = 0
      this.#growsAfterFailures++
    }
    const isPageParted = counts && unmapped !== undefined && this.#limit > 1
    if (isPageParted) {
      this.#failed = { through: unmapped, most: Math.floor(this.#limit / 2) }
      this.#grownFrom = undefined
      this.#fullOnes = 0
      this.#growsAfterFailures++
    }
    if (isPageParted || (counts && events.length > 1 && error !== ENDED)) this.#halvings++
    else if (counts) this.#ownFailures++
    if (this.#halvings > MOST_HALVINGS) throw new Wrong(`${this.#halvings} batches fail without a commit`)
    if (counts && error === ENDED) this.#isPausedForGood = true
    this.#asked = undefined
    this.#next({ kind: 'failed', ...failedWork(stage, error, isTransient, events, unmapped) })
    const { phase } = this.#standing
    const found = phase === 'paused' ? 'pause' : this.#asks('bury') ? 'skip' : 'retry'
    const isOne = (events.length <= 1 && !isPageParted) || error === ENDED
    const wanted = isOne ? this.#decision(error === ENDED) : 'retry'
    // What could not be mapped is passed under the newest reading, where that is of the same incarnation.
    const expected = unmapped !== undefined && !this.#holds(unmapped) ? 'retry' : wanted
    if (counts && found !== expected) {
      throw new Wrong(`${found}, not ${expected}, after ${this.#ownFailures} failures`)
    }
    // An operator's pause holds whatever else it comes to.
    if (this.#isHeld) return
    if (found === 'pause') this.#checkPause(error === ENDED)
    else if (
      this.#pauseTries !== undefined &&
      !isOwn &&
      phase !== 'resting' &&
      this.#mayWork &&
      this.#stopping === 'no'
    )
      throw new Wrong('what fails at a pause is not tried again')
  }

  #holds(position: bigint): boolean {
    const { incarnation, mark = 0n } = this.#reading ?? {}
    return incarnation === this.#openedIncarnation && position <= mark
  }

  #asks(kind: Asked['kind']): boolean {
    return this.#asked?.kind === kind
  }

  /** An answer; a look leaves the question open. */
  #hand(input: AnyInput, moved?: { readonly to: bigint; readonly isHandled: boolean }): void {
    const isLook = input.kind === 'opened' && this.#asked?.kind === 'acquire'
    if (!isLook) this.#asked = undefined
    if (moved !== undefined) {
      this.#known = { position: moved.to }
      // What failed may stand above pages with nothing in them.
      if (moved.isHandled) this.#blameNone()
      this.#endFailed(moved.to)
    }
    if (input.kind === 'loaded' && input.page.events.length === 0) this.#endFailed(input.page.through)
    if (input.kind === 'opened') {
      this.#isMovedByHand = false
      this.#wasHeld = false
      const { position } = input.checkpoint
      const isMoved = this.#known !== undefined && position !== this.#known.position
      if (isMoved || input.incarnation !== this.#openedIncarnation) {
        this.#blameNone()
        this.#failed = undefined
        this.#forgetSizes()
      }
      this.#openedIncarnation = input.incarnation
      this.#known = { position }
      this.#isMovedElsewhere = false
    }
    this.#next(input)
    if (moved?.isHandled && this.#failed === undefined && this.#standing.shows === 'retrying') {
      throw new Wrong('what failed is handled, and it shows that it fails')
    }
  }

  /** Tried again by itself, after waits that double; never where trying again would do harm. */
  #checkPause(isForGood: boolean): void {
    this.#pauseTries = this.#pauseTries === undefined ? 0 : this.#pauseTries + 1
    const { failure } = this.#standing
    if (isForGood) {
      if (this.#waitMs !== undefined || failure?.nextTryAtMs !== undefined)
        throw new Wrong('it is tried again')
      return
    }
    const about = Math.min(5_000 * 2 ** this.#pauseTries, LONGEST_PAUSE_MS / 1.25)
    const ms = this.#waitMs ?? Number.NaN
    if (!(ms >= about * 0.75 && ms <= about * 1.25))
      throw new Wrong(`paused for ${ms} ms, not for some ${about}`)
    if (failure?.nextTryAtMs !== this.#nowMs + ms) throw new Wrong('it says another time of its next try')
  }

  #endFailed(reached: bigint): void {
    if (this.#failed === undefined || reached < this.#failed.through) return
    this.#failed = undefined
    this.#blameNone()
  }

  #blameNone(): void {
    this.#ownFailures = 0
    this.#halvings = 0
    this.#pauseTries = undefined
  }

  #next(input: AnyInput): void {
    this.inputs++
    const before = this.#standing
    const context = {
      nowMs: this.#nowMs,
      order: denseOrder,
      reading: this.#reading,
      policy: {
        attempts: ATTEMPTS,
        batchSize: BATCH,
        longestPauseMs: LONGEST_PAUSE_MS,
        decide: decideBy(POLICIES[this.#policy], 'onFailure'),
      },
      random: this.#random.next(),
    }
    const { standing, commands } = this.#machine.next<bigint, bigint>(before, input, context)
    if (standing.phase !== before.phase) this.#waitMs = undefined
    this.#standing = standing
    // All is looked at, so whatever failed is gone.
    if (standing.phase === 'following' && standing.shows === 'live') this.#blameNone()
    for (const command of commands) this.#take(command)
    this.#check()
  }

  #take(command: AnyCommand): void {
    if (command.kind === 'report' || command.kind === 'doubt' || command.kind === 'hurry') return
    if (command.kind === 'wait') {
      this.#waitMs = command.ms
      return
    }
    if (command.kind === 'end') {
      this.#ends++
      return
    }
    if (command.kind === 'release') {
      this.#release()
      return
    }
    if (this.#isRecalled && command.kind !== 'fulfil' && this.#stopping === 'no')
      throw new Wrong(`it asks for ${command.kind} before it has given back its right`)
    if (this.#asked) throw new Wrong(`it asked for ${command.kind} while ${this.#asked.kind} went on`)
    const isLast = command.kind === 'checkpoint' && this.#stopping === 'draining'
    if (this.#stopping !== 'no' && !isLast) throw new Wrong(`it asked for ${command.kind} after its end`)
    const isFulfilledAtPause = (this.#isHeld || this.#isPausedForGood) && command.kind === 'fulfil'
    if (command.kind !== 'acquire' && !this.#mayWork && !isFulfilledAtPause)
      throw new Wrong(`it asked for ${command.kind} unasked`)
    if (this.#isHeld && command.kind !== 'fulfil')
      throw new Wrong(`it asked for ${command.kind}, and knows that it is paused`)
    if (command.kind === 'load') this.#checkLimit(command.limit)
    this.#asked = command
  }

  /** Smaller than the batch that has failed, until that one is handled; then twice as large, now and then, until whole. */
  #checkLimit(limit: number): void {
    const failed = this.#failed
    const last = this.#limit
    const grown = this.#hasPassed ? Math.min(last * 2, BATCH) : last
    const isRight = failed ? limit >= 1 && limit <= failed.most : limit === last || limit === grown
    if (!isRight)
      throw new Wrong(`it asks for ${limit} events after ${last}, ${failed?.most ?? 'no'} at most`)
    if (!failed && limit > last) this.#grownFrom = last
    if (limit !== last) this.#fullOnes = 0
    this.#limit = limit
    this.#hasPassed = false
  }

  #passed(events: number): void {
    this.#hasPassed = true
    if (this.#grownFrom !== undefined && events > this.#grownFrom) this.#grownFrom = undefined
    if (this.#limit === BATCH && this.#grownFrom === undefined) this.#growsAfterFailures = 0
    else if (!this.#failed && events >= this.#limit) this.#fullOnes++
    const patience = Math.min(MOST_PATIENCE, 2 ** this.#growsAfterFailures)
    if (this.#fullOnes > patience) throw new Wrong(`it stays at ${this.#limit} events`)
  }

  #forgetSizes(): void {
    this.#limit = BATCH
    this.#grownFrom = undefined
    this.#hasPassed = false
    this.#fullOnes = 0
    this.#growsAfterFailures = 0
  }

  #check(): void {
    const { phase, cursor, cursorIncarnation } = this.#standing
    this.#wasHeld ||= this.#isHeld && phase === 'paused'
    if (this.#ends > 1) throw new Wrong('it ended twice')
    // It is read again before anything else is done.
    if (cursorIncarnation === this.#store.incarnation && !this.#isMovedByHand)
      this.#store.checkHandled(cursor, 'the cursor')
    if (this.#isPausedForGood && phase !== 'paused' && phase !== 'stopped' && phase !== 'fulfilling')
      throw new Wrong('it is tried again')
    const isTrying = this.#pauseTries !== undefined && this.#mayWork && phase === 'applying'
    if (isTrying && this.#standing.failure === undefined) throw new Wrong('a pause shows no failure')
    const waits =
      phase === 'following' ||
      this.#isHeld ||
      this.#isPausedForGood ||
      phase === 'stopped' ||
      this.#stopping !== 'no'
    if (!waits && !this.#asked && this.#waitMs === undefined) throw new Wrong(`${phase} waits for nothing`)
  }
}

const CHANGED = Object.assign(new Error('changed'), { code: 'TIDEMARK_INCARNATION_CHANGED' })

const ENDED = Object.assign(new Error('ended'), { code: 'TIDEMARK_HANDLER_ENDED_TRANSACTION' })

const UNDECIDED: UndecidedFailure<bigint> = {
  error: undefined,
  stage: 'handle',
  batch: { firstPosition: '1', lastPosition: '1', events: 1, eventTypes: [] },
  events: [],
  tries: 0,
}

function failedWork(
  stage: 'read' | 'map' | 'handle' | 'commit',
  error: Error,
  isTransient: boolean,
  events: readonly bigint[] = [],
  unmapped?: bigint,
) {
  const first = events[0] ?? unmapped
  const last = events.at(-1) ?? unmapped
  const count = Math.max(1, events.length)
  const batch =
    first === undefined
      ? undefined
      : { firstPosition: `${first}`, lastPosition: `${last}`, events: count, eventTypes: [] }
  return { stage, error, batch, isTransient, events }
}
