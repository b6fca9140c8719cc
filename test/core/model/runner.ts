import type { DaemonParts, ModelAgent } from './agent.ts'
import type { ModelEvidence, Projection } from './projection.ts'
import type { Random } from './random.ts'
import type { ModelEvent } from './transaction.ts'

interface ModelPage {
  readonly after: bigint | undefined
  readonly events: readonly ModelEvent[]
  readonly through: bigint
  readonly evidence: ModelEvidence
}

/** One projection's load -> handle -> checkpoint: a page at hand and one fetched ahead. */
export class ModelRunner {
  readonly #parts: DaemonParts
  readonly #agent: ModelAgent
  readonly #projection: Projection
  /** As this daemon knows it. */
  #checkpoint: bigint | undefined
  #pages: ModelPage[] = []
  #incarnation: string | undefined

  constructor(parts: DaemonParts, agent: ModelAgent, projection: Projection) {
    this.#parts = parts
    this.#agent = agent
    this.#projection = projection
    this.#checkpoint = projection.checkpoint?.position
  }

  load(random: Random): boolean {
    const { reading } = this.#agent
    if (reading && reading.incarnation !== this.#incarnation) {
      this.#dropPages()
      this.#incarnation = reading.incarnation
    }
    const { server, setting, subject, sessions } = this.#parts
    const last = this.#pages.at(-1)
    const after = last ? last.through : this.#checkpoint
    const upTo = subject.faults.checkpointsSettled ? reading?.settled : reading?.mark
    if (!reading || upTo === undefined || this.#pages.length === 2) return false
    if (after !== undefined && upTo <= after) return false

    // With checkpoints in the events' database, the checkpoint's transaction compares.
    if (setting.checkpointsElsewhere && !this.#isSameRun(sessions.pick(random), reading)) {
      this.#agent.forget()
      return false
    }
    const events = server.table.visible(after, upTo, setting.page)
    const isFull = events.length === setting.page
    const through = isFull ? BigInt(events.at(-1)?.position ?? Number.NaN) : upTo
    const { incarnation, settled } = reading
    this.#pages.push({ after, events, through, evidence: { incarnation, settled } })
    return true
  }

  /** Handles the page at hand and moves the checkpoint, in one transaction. */
  advance(random: Random, asynchronous: boolean): boolean {
    const page = this.#pages[0]
    const { setting, sessions } = this.#parts
    if (!page) return false
    if (!setting.checkpointsElsewhere && !this.#isSameRun(sessions.pick(random), page.evidence)) {
      this.#agent.forget()
      this.#dropPages()
      return false
    }
    if (this.#projection.checkpoint?.position !== page.after) {
      this.#dropPages()
      return false
    }
    this.#projection.advance(page.events, page.through, page.evidence, asynchronous)
    this.#checkpoint = page.through
    this.#pages.shift()
    return true
  }

  catchUp(random: Random): void {
    let goesOn = true
    while (goesOn) goesOn = this.advance(random, false) || this.load(random)
  }

  #isSameRun(backend: number, evidence: ModelEvidence): boolean {
    const { subject, sessions } = this.#parts
    return subject.faults.keepsPages === true || sessions.isSameRun(backend, evidence.incarnation)
  }

  /** A crash may have taken the checkpoint back: it is read again. */
  #dropPages(): void {
    this.#pages = []
    this.#checkpoint = this.#projection.checkpoint?.position
  }
}
