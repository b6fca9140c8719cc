import type { FailedBatch } from '../failures/classify.ts'
import { type Beginning, type Begun, begun, isAnothers, passed, taken } from '../failures/suspicion.ts'
import { TURNS } from '../failures/turns.ts'
import type { Clock } from '../kernel/clock.ts'
import { CheckpointConflictError, ProcessEndedError } from '../kernel/errors.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { PositionOrder } from '../ports/position.ts'
import type { Effects } from '../ports/stored-unit.ts'
import type { BeginRequest, FoundTenure, Suspicion, Tenure, Tenures } from '../ports/tenures.ts'
import { type Unit, unitName } from '../ports/unit.ts'
import type { Logger } from '../telemetry/logger.ts'

export interface TenureParts<P, Tx> {
  readonly projection: {
    readonly unit: Unit
    readonly batchSize: number
    readonly attempts: number
    readonly effects: Effects
  }
  readonly source: { readonly order: PositionOrder<P> }
  readonly checkpoints: Pick<CheckpointStore<Tx>, 'tenures'>
  readonly clock: Clock
  readonly logger: Logger
  /** Names this run of the daemon. */
  readonly sessionId: string
}

/** What is about to move the checkpoint. */
interface Start<P> {
  /** By the right to work. */
  readonly begin: Tenures['begin']
  readonly from: P | undefined
  /** The mark. */
  readonly through: P
  readonly incarnation: string
  /** Fires when nobody waits for it any more. */
  readonly signal: AbortSignal
}

interface BatchStart<P> extends Start<P> {
  readonly batch: FailedBatch
  /** How many events its page was asked for with. */
  readonly asked: number
  readonly isDared: boolean
  /** Fires when no new batch is to begin. */
  readonly stopping: AbortSignal
}

/** The handler may be called, and `end` is; or a smaller page is needed. */
export type BatchBegun =
  | { readonly kind: 'go'; readonly end: () => void }
  | { readonly kind: 'smaller'; readonly limit: number }

/**
 * What the checkpoint store keeps of this process at one unit, so that a process that ends in the middle of a batch is told
 * from one that was stopped (failures/suspicion.ts decides). It costs one small write when this process begins at the unit,
 * and one a batch while events are suspected. A store without `tenures` keeps nothing of it.
 */
export class UnitTenure<P, Tx> {
  readonly #parts: TenureParts<P, Tx>
  /** As it is kept, or will be with the next checkpoint; `undefined` where this process has not begun. */
  #kept: Tenure | undefined
  #hasBegun = false

  constructor(parts: TenureParts<P, Tx>) {
    this.#parts = parts
  }

  /** Another owner may have come, or what was kept is not known. */
  forget(): void {
    this.#kept = undefined
  }

  /** No batch of suspected events may be larger; `undefined` where none are known. */
  get limit(): number | undefined {
    return this.#kept?.suspicion?.limit
  }

  /** What this process has begun here; `undefined` where something is to be kept before events may be handled. */
  get begun(): { readonly session?: string } | undefined {
    const { checkpoints, sessionId } = this.#parts
    if (checkpoints.tenures === undefined) return {}
    return this.#kept === undefined || this.#kept.suspicion !== undefined ? undefined : { session: sessionId }
  }

  /** Before a batch is handled. Throws `ProcessEndedError` where its handler is not to be called any more. */
  async beginBatch(start: BatchStart<P>): Promise<BatchBegun> {
    if (this.begun !== undefined) return { kind: 'go', end: () => {} }
    let endTurn: (() => void) | undefined
    const takeTurn = async (): Promise<void> => {
      endTurn ??= await TURNS.take(this.#parts.clock, start.stopping)
    }
    try {
      if (this.#kept?.suspicion !== undefined) await takeTurn()
      let answer = await this.#begin(start, endTurn !== undefined)
      if (answer.kind === 'wait') {
        await takeTurn()
        answer = await this.#begin(start, true)
      }
      if (answer.kind === 'go') return { kind: 'go', end: endTurn ?? (() => {}) }
      endTurn?.()
      if (answer.kind === 'smaller') return { kind: 'smaller', limit: answer.limit }
      if (answer.kind === 'tried')
        throw new ProcessEndedError(unitName(this.#parts.projection.unit), start.batch, answer.tries)
      throw new TypeError('it is the turn of this unit already')
    } catch (error) {
      endTurn?.()
      throw error
    }
  }

  /** Before the checkpoint moves without the handler. */
  async beginMove(start: Start<P>): Promise<void> {
    if (this.#parts.checkpoints.tenures === undefined || this.#kept !== undefined) return
    await this.#change(start, (found) => taken(found, this.#beginning(start)))
  }

  /** What is kept with a checkpoint at `to`, that many events further. */
  after(to: P, events: number): Tenure | undefined {
    const { source } = this.#parts
    return (
      this.#kept && { ...this.#kept, suspicion: passed(source.order, this.#kept.suspicion, { to, events }) }
    )
  }

  /** It is kept. */
  moved(tenure: Tenure | undefined): void {
    this.#kept = tenure
  }

  /** The batch at hand has failed, and its process has not ended: that is not counted. */
  async failed(start: Omit<Start<P>, 'begin'>): Promise<void> {
    const { tenures } = this.#parts.checkpoints
    const kept = this.#kept
    if (tenures === undefined || kept?.suspicion === undefined) return
    this.forget()
    if (kept.suspicion.trying === 'nothing') return
    try {
      await tenures.begin(this.#requestOf(start), (found) =>
        found.session === kept.session ? taken(found, this.#beginning(start)) : found,
      )
    } catch {
      // The store cannot be reached, or another owner has come.
    }
  }

  /** A clean end, as far as the store can be reached. */
  async end(signal: AbortSignal): Promise<void> {
    const { checkpoints, projection, sessionId } = this.#parts
    if (!this.#hasBegun) return
    await checkpoints.tenures?.end(projection.unit, sessionId, signal).catch(() => {})
  }

  async #begin(start: BatchStart<P>, hasTurn: boolean): Promise<Begun> {
    const { projection } = this.#parts
    const { batch, asked, isDared } = start
    const isPosition = batch.firstPosition === batch.lastPosition
    const trial = { asked, isPosition, isDared, hasTurn, attempts: projection.attempts }
    let answer: Begun | undefined
    await this.#change(start, (found) => {
      answer = begun(found, this.#beginning(start), trial)
      return answer.tenure
    })
    if (answer === undefined) throw new TypeError('a store has begun without asking what is to be kept')
    return answer
  }

  async #change(start: Start<P>, decide: (found: FoundTenure) => Tenure): Promise<void> {
    const { projection } = this.#parts
    let change: { readonly found: FoundTenure; readonly kept: Tenure } | undefined
    await start.begin(this.#requestOf(start), (found) => {
      if (isAnothers(found, this.#beginning(start))) {
        throw new CheckpointConflictError(unitName(projection.unit), 'another owner is about to work on it')
      }
      const kept = decide(found)
      change = { found, kept }
      return kept
    })
    this.#hasBegun = true
    this.#kept = change?.kept
    if (change) this.#tell(change.found, change.kept.suspicion)
  }

  #requestOf({ from, incarnation, signal }: Omit<Start<P>, 'begin' | 'through'>): BeginRequest {
    const { projection, source } = this.#parts
    const { format } = source.order
    return {
      unit: projection.unit,
      from: from === undefined ? undefined : format(from),
      incarnation,
      effects: projection.effects,
      signal,
    }
  }

  #beginning({ from, through }: Pick<Start<P>, 'from' | 'through'>): Beginning {
    const { projection, source, sessionId } = this.#parts
    const { format } = source.order
    return {
      session: sessionId,
      from: from === undefined ? undefined : format(from),
      through: format(through),
      batchSize: projection.batchSize,
    }
  }

  /** Once for each end. */
  #tell(found: FoundTenure, suspicion: Suspicion | undefined): void {
    const { projection, logger, sessionId } = this.#parts
    const isNews = found.session !== undefined && found.session !== sessionId
    if (!isNews || suspicion === undefined) return
    const { from, limit, tries } = suspicion
    const behind = from === null ? 'from the first event on' : `behind position ${from}`
    const counted = tries === 0 ? '' : `; the next position was tried by itself ${times(tries)}`
    logger.warn(
      `tidemark: projection "${unitName(projection.unit)}": the process that worked here before was not stopped cleanly; ${behind} each batch ` +
        `is written down before it is handled, and has at most ${limit === 1 ? 'the events of one position' : `${limit} events`}, until ` +
        `whatever may have ended it is passed${counted}`,
    )
  }
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`
}
