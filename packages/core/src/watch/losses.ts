import { backOffMs } from '../kernel/back-off.ts'
import type { Clock } from '../kernel/clock.ts'
import { describeError } from '../kernel/describe-error.ts'
import { FailureLog } from '../kernel/failure-log.ts'
import type { KeptLoss, LossTotal, LostVerdict } from '../ports/lost-events.ts'
import { toLostEvent } from './findings.ts'
import type { LossLedger } from './options.ts'
import type { LedgerStatus, LostEvent } from './status.ts'

export interface LossesParts {
  readonly ledger: LossLedger | undefined
  readonly source: string
  readonly clock: Clock
  readonly tell: (losses: readonly KeptLoss[]) => void
  readonly warn: (line: string) => void
}

/** For `lost()`; more are in the ledger. */
const MOST_LISTED = 10_000
/** Found while the ledger cannot be written. */
const MOST_UNWRITTEN = 100_000
const BATCH = 500
/** Whoever has recorded a loss tells of it at once. After so long its process is taken for dead. */
const CLAIM_MS = 10_000
/** How often it looks for what others have recorded. */
const SWEEP_MS = 10_000
/** How long a stop waits for what is left to be written. */
const LAST_WRITE_MS = 5_000

/**
 * What was found, for `lost()`, and told. With a ledger each loss is written before it is told, and told by whoever has written
 * it; what a process that died has written and not told is told by the next one that looks.
 */
export class Losses {
  readonly #parts: LossesParts
  readonly #failures = new FailureLog()
  readonly #giveUp = new AbortController()
  #listed = new Map<string, LostEvent>()
  #totals: readonly LossTotal[] = []
  /** So many losses are counted in what is listed. */
  #known = 0
  #unwritten: KeptLoss[] = []
  /** Told, and the ledger does not know that yet. */
  #unmarked: readonly KeptLoss[] = []
  #isOpen = false
  #sweptAtMs = Number.NEGATIVE_INFINITY
  #error: unknown
  #isStopping = false
  #pause = new AbortController()
  #running: Promise<void> | undefined

  constructor(parts: LossesParts) {
    this.#parts = parts
  }

  /** Prepares the ledger, and reads it. Where that rejects, it is tried again all the same once it runs. */
  async open(): Promise<void> {
    const { ledger } = this.#parts
    if (ledger !== undefined) await this.#open(ledger)
  }

  run(): void {
    const { ledger } = this.#parts
    if (ledger !== undefined) this.#running = this.#run(ledger)
  }

  /** Takes what was found since the last call. */
  found(losses: readonly KeptLoss[]): void {
    if (losses.length === 0) return
    const { ledger, tell } = this.#parts
    if (ledger === undefined) {
      this.#list(losses)
      tell(losses)
      return
    }
    this.#unwritten.push(...losses.slice(0, MOST_UNWRITTEN - this.#unwritten.length))
    if (this.#error === undefined) this.#pause.abort()
  }

  /** Writes what is left, for as long as that takes within some seconds. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#pause.abort()
    if (this.#running === undefined) return this.#giveUp.abort()
    const done = new AbortController()
    const late = this.#parts.clock.sleep(LAST_WRITE_MS, done.signal).then(() => this.#giveUp.abort())
    await this.#running
    done.abort()
    await late
  }

  /** The oldest first. */
  lost(): readonly LostEvent[] {
    return [...this.#listed.values()]
  }

  /** How many are in the ledger; `undefined` where there is none, or it was not read yet. */
  total(consumer: string, verdict: LostVerdict): number | undefined {
    if (!this.#isOpen) return undefined
    const isOf = (total: LossTotal): boolean => total.consumer === consumer && total.verdict === verdict
    return this.#totals.find(isOf)?.events ?? 0
  }

  status(): LedgerStatus | undefined {
    const { ledger } = this.#parts
    return ledger && { store: ledger.name, unwritten: this.#unwritten.length, error: this.#error }
  }

  async #run(ledger: LossLedger): Promise<void> {
    const { clock, source, warn } = this.#parts
    for (let failedInARow = 0; ; ) {
      const isLast = this.#isStopping
      try {
        await this.#sync(ledger)
        failedInARow = 0
        this.#error = undefined
        this.#failures.ended(clock.nowMs())
      } catch (error) {
        if (this.#giveUp.signal.aborted) return
        failedInARow++
        this.#error = error
        if (this.#failures.failed(clock.nowMs())) {
          warn(
            `tidemark: ${source}: lost events cannot be written to ${ledger.name}, and are not told meanwhile: ${describeError(error)}; ` +
              'the watch tries again',
          )
        }
      }
      if (isLast) return
      this.#pause = new AbortController()
      if (this.#isStopping || (failedInARow === 0 && this.#unwritten.length > 0)) continue
      await clock.sleep(failedInARow === 0 ? SWEEP_MS : backOffMs(failedInARow), this.#pause.signal)
    }
  }

  async #open({ prepare, lostEvents }: LossLedger): Promise<void> {
    const { signal } = this.#giveUp
    await prepare(signal)
    await this.#read(lostEvents)
    this.#isOpen = true
  }

  async #sync(ledger: LossLedger): Promise<void> {
    const { lostEvents } = ledger
    const { source, clock } = this.#parts
    const { signal } = this.#giveUp
    if (!this.#isOpen) await this.#open(ledger)
    await this.#mark(lostEvents)
    const hasFound = this.#unwritten.length > 0
    while (this.#unwritten.length > 0) {
      const batch = this.#unwritten.slice(0, BATCH)
      const recorded = await lostEvents.record(source, batch, signal)
      this.#unwritten.splice(0, batch.length)
      this.#list(batch)
      this.#known += recorded.length
      await this.#tell(lostEvents, recorded)
    }
    const isDue = clock.nowMs() - this.#sweptAtMs >= SWEEP_MS
    if (isDue) {
      await this.#tell(
        lostEvents,
        await lostEvents.claim(source, { claimMs: CLAIM_MS, limit: BATCH }, signal),
      )
      this.#sweptAtMs = clock.nowMs()
    }
    if (isDue || hasFound) await this.#read(lostEvents)
  }

  /** What others have recorded too. */
  async #read(lostEvents: LossLedger['lostEvents']): Promise<void> {
    const { source } = this.#parts
    const { signal } = this.#giveUp
    this.#totals = await lostEvents.totals(source, signal)
    const total = this.#totals.reduce((sum, { events }) => sum + events, 0)
    if (this.#isOpen && total === this.#known) return
    const newest = await lostEvents.list(source, MOST_LISTED, signal)
    this.#listed = new Map()
    this.#list(newest.toReversed())
    this.#known = total
  }

  async #tell(lostEvents: LossLedger['lostEvents'], losses: readonly KeptLoss[]): Promise<void> {
    if (losses.length === 0) return
    this.#parts.tell(losses)
    this.#unmarked = losses
    await this.#mark(lostEvents)
  }

  async #mark(lostEvents: LossLedger['lostEvents']): Promise<void> {
    if (this.#unmarked.length === 0) return
    await lostEvents.told(this.#parts.source, this.#unmarked, this.#giveUp.signal)
    this.#unmarked = []
  }

  #list(losses: readonly KeptLoss[]): void {
    for (const loss of losses) {
      const key = JSON.stringify([loss.consumer, loss.incarnation, loss.position])
      if (!this.#listed.has(key)) this.#listed.set(key, toLostEvent(loss))
    }
    for (const key of this.#listed.keys()) {
      if (this.#listed.size <= MOST_LISTED) return
      this.#listed.delete(key)
    }
  }
}
