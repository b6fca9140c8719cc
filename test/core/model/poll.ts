import type { SettlementPoll } from '../../../packages/core/src/high-water/settlement.ts'
import type { Subject } from './faults.ts'
import type { ModelServer } from './server.ts'

const IN_ORDER = ['lastHandedOut', 'holders', 'visible'] as const

const ABOVE_EVERY_NUMBER = 2n ** 63n

/** The three steps of a poll, one message on one backend; each has a snapshot of its own. */
export class PollMessage {
  readonly backend: number
  /** Where the log stood after step 3. */
  logPosition = 0
  readonly #server: ModelServer
  readonly #subject: Subject
  readonly #settled: bigint | undefined
  readonly #window: number
  readonly #seen: { -readonly [K in keyof SettlementPoll]?: SettlementPoll[K] } = {}
  #stepsTaken = 0

  constructor(
    server: ModelServer,
    subject: Subject,
    backend: number,
    settled: bigint | undefined,
    window: number,
  ) {
    this.#server = server
    this.#subject = subject
    this.backend = backend
    this.#settled = settled
    this.#window = window
  }

  /** What the message saw, once all of its steps are taken. */
  takeStep(): SettlementPoll | undefined {
    const { faults } = this.#subject
    const step = (faults.order ?? IN_ORDER)[this.#stepsTaken++]
    if (step === 'lastHandedOut') this.#seen.lastHandedOut = this.#readLastHandedOut()
    else if (step === 'holders') this.#seen.holders = this.#readHolders()
    else this.#readVisible()

    if (this.#stepsTaken < IN_ORDER.length) return undefined
    this.logPosition = this.#server.wal.inserted
    return this.#seen as SettlementPoll
  }

  #readLastHandedOut(): bigint {
    const { sequence } = this.#server
    return BigInt(this.#subject.faults.readsUnlocked ? sequence.lastValueReadUnlocked : sequence.last)
  }

  /** `N/0` is in the tail of its commit: it has ended. */
  #readHolders(): string[] {
    return this.#server.holders().filter((id) => !id.endsWith('/0'))
  }

  #readVisible(): void {
    const events = this.#server.table.visible(this.#settled, undefined, this.#window)
    this.#seen.visible = events.map((event) => BigInt(event.position))
    const isFull = events.length === this.#window
    this.#seen.windowEnd = isFull ? this.#seen.visible.at(-1) : ABOVE_EVERY_NUMBER
  }
}
