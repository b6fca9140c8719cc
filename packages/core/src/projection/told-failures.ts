import type { ProjectionFailure } from '../failures/classify.ts'
import { letterError } from '../failures/letter-error.ts'
import type { Clock } from '../kernel/clock.ts'
import { messageOf } from '../kernel/errors.ts'
import { FailureLog } from '../kernel/failure-log.ts'
import { errorJson } from '../kernel/json.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { NewFailure } from '../ports/failures.ts'
import type { Unit } from '../ports/unit.ts'
import type { Logger } from '../telemetry/logger.ts'
import { NODE } from './burial.ts'

interface TellingParts {
  readonly projection: { readonly name: string; readonly unit: Unit }
  readonly checkpoints: Pick<CheckpointStore<never>, 'failures'>
  readonly clock: Clock
  readonly logger: Logger
}

/** A failure, at this checkpoint. */
export interface SeenFailure extends Pick<ProjectionFailure, 'stage' | 'batch'> {
  readonly position: string | undefined
  readonly error: unknown
  readonly isPaused: boolean
  /** Of the lease under which it failed. */
  readonly fence: bigint | undefined
}

/** What was told last, and when. */
interface Told {
  /** `undefined`: that nothing fails any more, or it could not be told. */
  readonly what: string | undefined
  readonly atMs: number
}

type Due = { readonly failure: Omit<NewFailure, 'failures'> } | 'over'

/** However fast one failure follows another. */
const LEAST_APART_MS = 1_000
/** The same failure again: how often it has failed, and that its process is there. */
const REFRESH_EVERY_MS = 10_000

/** Whether a failure is told now, after what was told last. Pure. */
export function isToBeTold(
  last: Told | undefined,
  { what, isPause }: { readonly what: string; readonly isPause: boolean },
  nowMs: number,
): boolean {
  if (last === undefined) return true
  const isNews = what !== last.what
  // Nothing may follow for minutes.
  if (isNews && isPause) return true
  return nowMs - last.atMs >= (isNews ? LEAST_APART_MS : REFRESH_EVERY_MS)
}

/**
 * Tells the checkpoint store what fails at one unit, so that it is seen from any process. Never in the way of work: one small
 * statement at a time, of which nobody waits for the answer, and of which a failure is logged alone. While all is well nothing is
 * told.
 */
export class ToldFailures {
  readonly #parts: TellingParts
  readonly #signal: AbortSignal
  readonly #log = new FailureLog()
  #last: (Told & Pick<SeenFailure, 'position'>) | undefined
  /** Since it was last told. */
  #untold = 0
  #due: Due | undefined
  #telling: Promise<void> | undefined

  /** Nothing more is told once `signal` has fired. */
  constructor(parts: TellingParts, signal: AbortSignal) {
    this.#parts = parts
    this.#signal = signal
  }

  failed({ position, stage, batch, error, isPaused, fence }: SeenFailure): void {
    const { projection, checkpoints, clock } = this.#parts
    if (checkpoints.failures === undefined) return
    this.#untold++
    const told = letterError(errorJson(error))
    const place = [position, stage, batch?.firstPosition, batch?.lastPosition, isPaused]
    const what = JSON.stringify([...place, told.name, told.code, told.message])
    const nowMs = clock.nowMs()
    if (!isToBeTold(this.#last, { what, isPause: isPaused }, nowMs)) return
    this.#last = { what, atMs: nowMs, position }
    const { unit } = projection
    const lease = fence === undefined ? {} : { fence }
    this.#tell({
      failure: { unit, position, stage, batch, error: told, isPaused, node: NODE, ...lease },
    })
  }

  /** Nothing fails any more, with the checkpoint there: where that has moved, it says so itself. */
  over(position: string | undefined): void {
    const isToldThere = this.#last?.what !== undefined && this.#last.position === position
    this.forget()
    if (isToldThere) this.#tell('over')
  }

  /** Another owner has it: what was told is left to that one. */
  forget(): void {
    this.#last &&= { ...this.#last, what: undefined }
    this.#untold = 0
  }

  /** Resolves when nothing is on its way. */
  async ended(): Promise<void> {
    await this.#telling
  }

  /** Of what is due meanwhile the newest is told. */
  #tell(due: Due): void {
    this.#due = due
    this.#telling ??= this.#tellAll()
  }

  async #tellAll(): Promise<void> {
    for (let due = this.#due; due !== undefined && !this.#signal.aborted; due = this.#due) {
      this.#due = undefined
      await this.#send(due)
    }
    this.#telling = undefined
  }

  async #send(due: Due): Promise<void> {
    const { projection, checkpoints } = this.#parts
    const failures = due === 'over' ? 0 : this.#untold
    this.#untold -= failures
    try {
      if (due === 'over') await checkpoints.failures?.over(projection.unit, NODE, this.#signal)
      else await checkpoints.failures?.tell({ ...due.failure, failures }, this.#signal)
    } catch (error) {
      this.#untold += failures
      this.#last &&= { ...this.#last, what: undefined }
      this.#failedToTell(error)
    }
  }

  #failedToTell(error: unknown): void {
    const { projection, logger, clock } = this.#parts
    if (this.#signal.aborted || !this.#log.failed(clock.nowMs())) return
    logger.warn(
      `tidemark: projection "${projection.name}": what fails there cannot be kept with its checkpoint, so other processes do not ` +
        `see it: ${messageOf(error)}; its work does not depend on it`,
    )
  }
}
