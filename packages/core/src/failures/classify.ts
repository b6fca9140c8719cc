import { describeError } from '../kernel/describe-error.ts'
import { hasCode, messageOf } from '../kernel/errors.ts'

/**
 * Where a failure came from. What a handler (`handle`) or a mapping (`map`) throws is theirs, and counts as an attempt.
 * What the store throws is nobody's: while a checkpoint or a page was read (`read`), or a checkpoint moved (`commit`).
 */
export type FailureStage = 'read' | 'map' | 'handle' | 'commit'

/** What a failure was about. Positions are texts, as in checkpoints. */
export interface FailedBatch {
  readonly firstPosition: string
  readonly lastPosition: string
  readonly events: number
  /** Each once, where the source knows them. */
  readonly eventTypes: readonly string[]
}

/** What `ProjectionStatus.error` is about. */
export interface ProjectionFailure {
  readonly stage: FailureStage
  /** `undefined` where nothing was read yet. */
  readonly batch: FailedBatch | undefined
  /**
   * How often handler or mapping have failed at this batch, this time included; 0 where the store did, and while smaller
   * parts of the batch are tried to find the event that fails. Faults that pass by themselves do not change it.
   */
  readonly attempt: number
  /** How often they may before the projection is paused. */
  readonly attempts: number
  /** How many failures this is in a row, of whatever kind. */
  readonly inARow: number
  /** When the first of them was. */
  readonly sinceMs: number
  /** Since when the projection is paused; `undefined` where it is not. */
  readonly pausedSinceMs: number | undefined
  /** When it is tried again, or was last; `undefined` where only a restart tries it again. */
  readonly nextTryAtMs: number | undefined
  readonly whatToDo: string
}

/** An error on its way to whoever decides, with where it came from. */
export class StagedError extends Error {
  readonly stage: FailureStage
  readonly error: unknown
  readonly batch: FailedBatch | undefined
  constructor(stage: FailureStage, error: unknown, batch?: FailedBatch) {
    super('an error with its stage')
    this.stage = stage
    this.error = error
    this.batch = batch
  }
}

/** Settles as `work` does; what it throws is of that stage. */
export async function atStage<T>(stage: FailureStage, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw stagedError(stage, error, undefined)
  }
}

/** What stores throw on the handler's account: it has ended or broken the transaction that it was given. */
const HANDLERS_FAULTS = [
  'TIDEMARK_HANDLER_ENDED_TRANSACTION',
  'TIDEMARK_TRANSACTION_FAILED',
  'TIDEMARK_TRANSACTION_TIMED_OUT',
  'TIDEMARK_COMMIT_REFUSED',
]

export function stagedError(
  stage: FailureStage,
  error: unknown,
  batch: FailedBatch | undefined,
): StagedError {
  if (stage === 'read' && hasCode(error, 'TIDEMARK_EVENT_MAPPING')) {
    const { position, eventType, events } = error as Error &
      Partial<Record<'position' | 'eventType' | 'events', unknown>>
    const at = String(position)
    const eventTypes = typeof eventType === 'string' ? [eventType] : []
    return new StagedError('map', error, {
      firstPosition: at,
      lastPosition: at,
      events: typeof events === 'number' ? events : 1,
      eventTypes,
    })
  }
  const isHandlers = stage === 'commit' && HANDLERS_FAULTS.some((code) => hasCode(error, code))
  return new StagedError(isHandlers ? 'handle' : stage, error, batch)
}

/** Whether it is handler or mapping that failed, and not the store. */
export function isOwnFault(stage: FailureStage): boolean {
  return stage === 'handle' || stage === 'map'
}

/** What has failed, as a sentence. */
export const SUBJECT: Readonly<Record<FailureStage, string>> = {
  read: 'the store could not be read',
  map: 'an event could not be mapped',
  handle: 'its handler failed',
  commit: 'its checkpoint could not be moved',
}
/** More types than these tell nobody more. */
const MOST_TYPES = 10

/** One entry of the log: what failed, where, how often, what to do, and the error with its stack and causes. */
export function describeFailure(
  projection: string,
  state: 'paused' | 'retrying',
  { stage, batch, attempt, attempts, inARow, pausedSinceMs, nextTryAtMs, whatToDo }: ProjectionFailure,
  checkpoint: string | undefined,
  error: unknown,
  maySkip: boolean,
): string {
  const tries =
    isOwnFault(stage) && attempt > 0
      ? attempt > attempts
        ? `, attempt ${attempt}`
        : `, attempt ${attempt} of ${attempts}`
      : inARow > 1
        ? `, ${inARow} times in a row`
        : ''
  const since = pausedSinceMs === undefined ? '' : `, it is paused since ${isoTime(pausedSinceMs)}`
  const next =
    state === 'paused' && nextTryAtMs !== undefined ? `, its next try is at ${isoTime(nextTryAtMs)}` : ''
  const skipped = maySkip ? 'It is not skipped so far' : 'Nothing is skipped'
  // Pages for operators name codes.
  const code = codeOf(error)
  return (
    `tidemark: projection "${projection}" is ${state}: ${SUBJECT[stage]}${describeBatch(batch)}${tries}: ${messageOf(error)}` +
    `${code === undefined ? '' : ` (${code})`}. ${skipped}, its checkpoint is ${checkpoint ?? 'none yet'}${since}${next}; ${whatToDo}\n${describeError(error)}`
  )
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error && 'code' in error)) return undefined
  return typeof error.code === 'string' && error.code.startsWith('TIDEMARK_') ? error.code : undefined
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}

/** Where it is, for a sentence. */
export function describeBatch(batch: FailedBatch | undefined): string {
  if (batch === undefined) return ''
  const { firstPosition, lastPosition, events, eventTypes } = batch
  const shown = eventTypes.slice(0, MOST_TYPES).join(', ') + (eventTypes.length > MOST_TYPES ? ', ...' : '')
  const types = eventTypes.length === 0 ? '' : ` (${shown})`
  return events === 1
    ? ` at position ${firstPosition}${types}`
    : ` on ${events} events${types} at positions ${firstPosition} to ${lastPosition}`
}
