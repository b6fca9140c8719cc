import type { Settlement } from '../../../packages/core/src/high-water/settlement.ts'
import type { HighWaterReading, StoredProgress } from '../../../packages/core/src/ports/event-source.ts'
import { denseOrder } from '../../../packages/core/src/ports/position.ts'
import type { Subject } from './faults.ts'
import type { Judge } from './judge.ts'
import { PollMessage } from './poll.ts'
import type { Journal, Projection } from './projection.ts'
import type { Random } from './random.ts'
import type { ModelServer } from './server.ts'
import type { Sessions } from './sessions.ts'

export interface DaemonSetting {
  /** Step 3 reads as many positions at most. */
  readonly window: number
  readonly page: number
  readonly beginsWithoutWindow: boolean
  readonly checkpointsElsewhere: boolean
  /** A pooler hides that the server went away between two messages. */
  readonly pooled: boolean
}

export interface DaemonParts {
  readonly server: ModelServer
  readonly journal: Journal
  readonly projections: readonly Projection[]
  readonly setting: DaemonSetting
  readonly subject: Subject
  readonly sessions: Sessions
  readonly judge: Judge
}

export type Reading = HighWaterReading<bigint>

/** A poll whose message was answered, on its way to become the reading. */
interface AnsweredPoll {
  readonly backend: number
  readonly logPosition: number
  readonly seen: bigint[]
  settlement: Settlement
  needsLookup: boolean
}

/** The high-water agent under test: polls as the adapter does, one step at a time. */
export class ModelAgent {
  reading: Reading | undefined
  readonly #parts: DaemonParts
  #incarnation: string | undefined
  #firstBackend = 0
  #settlement: Settlement | undefined
  #message: PollMessage | undefined
  #answered: AnsweredPoll | undefined
  #progressReadEarly: readonly StoredProgress<bigint>[] | undefined
  #keptMark: bigint | undefined

  constructor(parts: DaemonParts) {
    this.#parts = parts
  }

  /** Goes on with the poll at hand, or begins one. */
  step(random: Random): void {
    if (this.#settlement === undefined || this.#incarnation === undefined) this.#resume(random)
    else if (this.#answered) this.#finish(this.#answered, this.#settlement, this.#incarnation)
    else this.#takeStep(this.#settlement, this.#incarnation, random)
  }

  get isBetweenPolls(): boolean {
    return this.#message === undefined && this.#answered === undefined
  }

  /** A runner has found another incarnation than this one. */
  doubt(incarnation: string): void {
    if (this.reading?.incarnation === incarnation) this.forget()
  }

  /** Nothing learned holds any more. */
  forget(): void {
    if (this.#parts.subject.faults.keepsMark) this.#keptMark ??= this.reading?.mark
    this.reading = undefined
    this.#incarnation = undefined
    this.#settlement = undefined
    this.#message = undefined
    this.#answered = undefined
  }

  saveSettled(asynchronous: boolean): void {
    if (this.reading?.settled === undefined) return
    const { incarnation, settled } = this.reading
    this.#parts.journal.saveSettled({ incarnation, settled }, asynchronous)
  }

  /** Two messages: which incarnation this is, then what is stored. What is stored in a later one harms nothing. */
  #resume(random: Random): void {
    const { subject, sessions, server, judge } = this.#parts
    const { startSettlement, resumeSettled } = subject.proof
    if (subject.faults.readsProgressBeforeIncarnation && !this.#progressReadEarly) {
      this.#progressReadEarly = this.#readProgress()
      return
    }
    if (this.#incarnation === undefined) {
      this.#firstBackend = sessions.pick(random)
      this.#incarnation = sessions.enter(this.#firstBackend)
      if (!this.#progressReadEarly) return
    }
    const stored = this.#progressReadEarly ?? this.#readProgress()
    this.#progressReadEarly = undefined
    this.#settlement = startSettlement(resumeSettled(denseOrder, stored, this.#incarnation))
    const { settled } = this.#settlement
    if (server.isAlive(this.#firstBackend)) judge.settled(server, settled)
    if (this.#keptMark === undefined) return
    this.reading = readingOf(this.#incarnation, settled, this.#keptMark)
    this.#keptMark = undefined
  }

  #readProgress(): StoredProgress<bigint>[] {
    const { projections, journal } = this.#parts
    return [journal.alone, ...projections.map((p) => p.checkpoint)].filter((row) => row !== undefined)
  }

  #takeStep(settlement: Settlement, incarnation: string, random: Random): void {
    const { server, subject, setting, sessions, judge } = this.#parts
    if (!this.#message) {
      // Before the first reading the adapter may leave step 3 out, and look the mark up.
      const isFirst = this.reading === undefined || settlement.settled === undefined
      const window = isFirst && setting.beginsWithoutWindow ? 0 : setting.window
      this.#message = new PollMessage(server, subject, sessions.pick(random), settlement.settled, window)
    }
    const message = this.#message
    if (!server.isAlive(message.backend)) {
      this.#message = undefined
      return
    }
    const saw = message.takeStep()
    if (!saw) return
    this.#message = undefined
    // A poll that saw a change is thrown away.
    if (!sessions.isSameIncarnation(message.backend, incarnation)) {
      this.forget()
      return
    }

    const result = subject.proof.settle(settlement, saw)
    judge.poll(server, settlement, result)
    this.#answered = {
      backend: message.backend,
      logPosition: message.logPosition,
      seen: [...saw.visible],
      settlement: result.settlement,
      // With a window from the first poll on, it says nothing about what was settled before.
      needsLookup:
        result.markNeedsLookup || (!setting.beginsWithoutWindow && result.settlement.mark === undefined),
    }
  }

  #finish(poll: AnsweredPoll, settlement: Settlement, incarnation: string): void {
    const { server, subject, setting, judge } = this.#parts
    if (!setting.pooled && !server.isAlive(poll.backend)) {
      this.#answered = undefined
      return
    }
    if (poll.needsLookup) {
      poll.needsLookup = false
      this.#lookUpMark(poll)
      return
    }
    const waits = setting.checkpointsElsewhere && !subject.faults.doesNotWaitForDurability
    if (waits && server.wal.flushed < poll.logPosition) {
      // Behind a pooler the server may have crashed meanwhile, and its log never come that far again.
      if (server.wal.inserted < poll.logPosition) this.forget()
      return
    }

    const { settled, mark } = poll.settlement
    judge.mark(settlement.mark, mark, poll.seen)
    this.#answered = undefined
    this.#settlement = poll.settlement
    this.reading = readingOf(incarnation, settled, mark)
  }

  /** On any backend, and not compared: whoever uses the mark compares. */
  #lookUpMark(poll: AnsweredPoll): void {
    const { server, subject } = this.#parts
    const { settled } = poll.settlement
    if (settled === undefined) return
    const found = server.table.lastVisible(settled)
    if (found !== undefined) poll.seen.push(found)
    poll.settlement = subject.proof.withMark(poll.settlement, found)
  }
}

/** What operators are told of a poll is left out. */
function readingOf(incarnation: string, settled: bigint | undefined, mark: bigint | undefined): Reading {
  return {
    incarnation,
    head: settled,
    settled,
    mark,
    gaps: [],
    holders: [],
    provenEmpty: [],
    skipped: [],
    logPosition: undefined,
    memory: undefined,
  }
}
