import type { ReadRequest } from '../../../packages/core/src/high-water/lifecycle-commands.ts'
import type { Settlement } from '../../../packages/core/src/high-water/settlement.ts'
import type { HighWaterReading, OpenedSource } from '../../../packages/core/src/ports/event-source.ts'
import { denseOrder } from '../../../packages/core/src/ports/position.ts'
import type { DaemonParts } from './daemon-parts.ts'
import { PollMessage } from './poll.ts'
import type { Random } from './random.ts'

export type Reading = HighWaterReading<bigint>

/** The server was gone before it answered, or before the poll was done with it. */
const LOST = new Error('connection terminated')
export const CHANGED: Error = Object.assign(new Error('changed'), { code: 'TIDEMARK_INCARNATION_CHANGED' })

/** The poll at hand. */
interface Poll {
  readonly incarnation: string
  /** As it was before. */
  readonly settlement: Settlement
  readonly window: number
  message: PollMessage | undefined
  answered: AnsweredPoll | undefined
}

/** A poll whose message was answered, on its way to become the reading. */
interface AnsweredPoll {
  readonly backend: number
  readonly logPosition: number
  readonly seen: bigint[]
  settlement: Settlement
  needsLookup: boolean
}

/** The event source under the agent: polls as the Postgres adapter does, one step at a time. */
export class ModelSource {
  readonly #parts: DaemonParts
  #poll: Poll | undefined

  constructor(parts: DaemonParts) {
    this.#parts = parts
  }

  open(random: Random): OpenedSource {
    const { sessions } = this.#parts
    const backend = sessions.pick(random)
    return { incarnation: sessions.enter(backend), memory: backend }
  }

  begin({ previous, opened, stored = [], former }: ReadRequest<bigint>): void {
    const { server, subject, setting, judge } = this.#parts
    const { startSettlement, resumeSettled, withMark } = subject.proof
    const { incarnation } = previous ?? opened
    let settlement = previous?.memory as Settlement | undefined
    if (settlement === undefined) {
      settlement = startSettlement(resumeSettled(denseOrder, stored, incarnation))
      if (server.isAlive(opened.memory as number)) judge.settled(server, settlement.settled)
      if (subject.faults.keepsMark) settlement = withMark(settlement, former?.mark)
    }
    // At first the adapter may leave step 3 out, and look the mark up.
    const isFirst = previous === undefined || settlement.settled === undefined
    const window = isFirst && setting.beginsWithoutWindow ? 0 : setting.window
    this.#poll = { incarnation, settlement, window, message: undefined, answered: undefined }
  }

  /** One step of the poll that was begun: its reading, or what it rejects with, once it has come to that. */
  step(random: Random): Reading | Error | undefined {
    const poll = this.#poll
    if (poll === undefined) throw new Error('the model polls unasked')
    return poll.answered ? this.#finish(poll, poll.answered) : this.#takeStep(poll, random)
  }

  #takeStep(poll: Poll, random: Random): Error | undefined {
    const { server, subject, setting, sessions, judge } = this.#parts
    const { settlement, incarnation } = poll
    poll.message ??= new PollMessage(server, subject, sessions.pick(random), settlement.settled, poll.window)
    const { message } = poll
    if (!server.isAlive(message.backend)) return LOST
    const saw = message.takeStep()
    if (!saw) return undefined
    if (!sessions.isSameIncarnation(message.backend, incarnation)) return CHANGED

    const result = subject.proof.settle(settlement, saw)
    judge.poll(server, settlement, result)
    poll.answered = {
      backend: message.backend,
      logPosition: message.logPosition,
      seen: [...saw.visible],
      settlement: result.settlement,
      // With a window from the first poll on, it says nothing about what was settled before.
      needsLookup:
        result.markNeedsLookup || (!setting.beginsWithoutWindow && result.settlement.mark === undefined),
    }
    return undefined
  }

  #finish({ settlement, incarnation }: Poll, answered: AnsweredPoll): Reading | Error | undefined {
    const { server, subject, setting, judge } = this.#parts
    if (!setting.pooled && !server.isAlive(answered.backend)) return LOST
    if (answered.needsLookup) {
      answered.needsLookup = false
      this.#lookUpMark(answered)
      return undefined
    }
    const waits = setting.checkpointsElsewhere && !subject.faults.doesNotWaitForDurability
    if (waits && server.wal.flushed < answered.logPosition) {
      // Behind a pooler the server may have crashed meanwhile, and its log never come that far again.
      return server.wal.inserted < answered.logPosition ? CHANGED : undefined
    }
    judge.mark(settlement.mark, answered.settlement.mark, answered.seen)
    return readingOf(incarnation, answered.settlement)
  }

  /** On any backend, and not compared: whoever uses the mark compares. */
  #lookUpMark(answered: AnsweredPoll): void {
    const { server, subject } = this.#parts
    const { settled } = answered.settlement
    if (settled === undefined) return
    const found = server.table.lastVisible(settled)
    if (found !== undefined) answered.seen.push(found)
    answered.settlement = subject.proof.withMark(answered.settlement, found)
  }
}

/** What operators are told of a poll is left out. */
function readingOf(incarnation: string, settlement: Settlement): Reading {
  return {
    incarnation,
    head: settlement.lastHandedOut,
    settled: settlement.settled,
    mark: settlement.mark,
    gaps: [],
    holders: [],
    provenEmpty: [],
    skipped: [],
    logPosition: undefined,
    memory: settlement,
  }
}
