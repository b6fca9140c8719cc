import type { FailedBatch, FailureStage, ProjectionFailure } from '../failures/classify.ts'
import type { Burial } from '../failures/letter.ts'
import type { Decide } from '../failures/on-failure.ts'
import type { ControlledUnit, Decision, PendingRequest } from '../ports/control.ts'
import type { DeadLetter } from '../ports/dead-letters.ts'
import type { Evidence, HighWaterReading } from '../ports/event-source.ts'
import type { PositionOrder } from '../ports/position.ts'
import type { Role, SkipTotals } from '../ports/stored-unit.ts'
import type { PageRequest, ReadPage } from '../reading/own-pages.ts'
import type { KnownCheckpoint, KnownUnit, Standing } from './standing.ts'
import type { ProjectionState } from './status.ts'

/** What happens to a projection. Each command but `hurry`, `release`, `wait`, `doubt` and `report` is answered once. */
export type Input<P, E> =
  /** There may be another reading. */
  | { readonly kind: 'reading' }
  /** Answers `acquire`. */
  | { readonly kind: 'granted' }
  /** Another owner has the right to work. What is at hand is answered all the same. */
  | { readonly kind: 'revoked' }
  /** Another owner is to have the right. What is at hand is answered first; then it is given back. */
  | { readonly kind: 'recalled' }
  /** The checkpoint was read: answers `open`. While `acquire` goes on, it is the checkpoint of another owner. */
  | {
      readonly kind: 'opened'
      readonly checkpoint: KnownCheckpoint<P>
      readonly role: Role
      readonly furthest: P | undefined
      readonly bound?: P | undefined
      /** The newest incarnation when the checkpoint was asked for. */
      readonly incarnation: string
    }
  /** Answers `load`. */
  | { readonly kind: 'loaded'; readonly page: ReadPage<P, E> }
  /** Answers `apply`, `bury` and `checkpoint`. */
  /** `parked`: so many of the events were not handed out, since an earlier one of their key has a dead letter. */
  | {
      readonly kind: 'applied'
      readonly skipped: SkipTotals
      readonly parked?: number
      /** `false`: what was to be given up was passed without a dead letter, since nothing was to be done. */
      readonly isBuried?: boolean
      /** See `Standing.suspectedLimit`. */
      readonly suspectedLimit?: number | undefined
    }
  /** Answers `apply`: a process ended here before. Nothing was handled, and a page may have no more events than that. */
  | { readonly kind: 'suspected'; readonly limit: number }
  /** Answers `retry`. `isMore`: another letter may be asked for. `failure`: it has failed again, and stays. `letter`: it has passed. */
  | {
      readonly kind: 'retried'
      readonly isMore: boolean
      readonly failure?: RetryFailure | undefined
      readonly letter?: DeadLetter | undefined
    }
  /** Answers `acquire`, `open`, `load`, `apply`, `bury`, `checkpoint` and `retry`. `events`: those that the handler was given. */
  | ({ readonly kind: 'failed'; readonly events: readonly E[] } & FailedWork)
  /** A `wait` is over. */
  | { readonly kind: 'due' }
  /**
   * What an operator wants, and the role of this version. `pausedBy`: `undefined` where it is to run. `isNews`: something was
   * decided since this was last told, so that the checkpoint may have been moved. `asked`: what this node is to do, told again
   * and again until it is done. Never told while the checkpoint is being read.
   */
  | {
      readonly kind: 'desired'
      readonly pausedBy: Decision | undefined
      readonly role: Role | undefined
      /** How far it is to come for now. */
      readonly bound?: P | undefined
      readonly isNews: boolean
      /** Whether a retry of dead letters is asked for. */
      readonly isRetryAsked: boolean
      readonly asked: PendingRequest | undefined
    }
  /** Answers `fulfil`. `unit`: where it stands now; `undefined`: nothing was changed. `buried`: what was skipped. */
  | {
      readonly kind: 'fulfilled'
      readonly unit: KnownUnit<P> | undefined
      readonly buried?: Burial | undefined
    }
  /** `isLate`: nobody waits for the end any more. */
  | { readonly kind: 'stop'; readonly isLate: boolean }

/** What an operator wants of a unit. `role`: `undefined` where it has no row. */
export interface Wanted
  extends Pick<ControlledUnit, 'desired' | 'decision' | 'isRetryAsked' | 'asked' | 'answered' | 'bound'> {
  readonly role: Role | undefined
}

export type InputKind = Input<unknown, unknown>['kind']

export interface FailedWork {
  readonly stage: FailureStage
  readonly error: unknown
  readonly batch: FailedBatch | undefined
  /** Whether source or checkpoint store call it a passing fault. */
  readonly isTransient: boolean
}

/** A dead letter whose events have failed again. */
export interface RetryFailure {
  readonly id: string
  readonly burial: Burial
}

export type Command<P, E> =
  | { readonly kind: 'acquire' }
  /** Gives the right back. Nothing is at hand, and what is acquired next waits for it. */
  | { readonly kind: 'release' }
  /** The right that is being asked for is taken now, whatever another owner does. */
  | { readonly kind: 'hurry' }
  /** Does what an operator has asked this node to do, in a transaction of its own. Its failures are told, not answered. */
  | {
      readonly kind: 'fulfil'
      readonly request: PendingRequest
      readonly incarnation: string | undefined
      /** What has become of the request, of a `skip`. */
      readonly skip: SkipOrder<P> | undefined
    }
  | ({ readonly kind: 'open' } & Opening<P>)
  | ({ readonly kind: 'load' } & PageRequest<P>)
  /** Handles a page and moves the checkpoint to its end: both, or neither. */
  | { readonly kind: 'apply'; readonly from: P | undefined; readonly page: ReadPage<P, E> }
  /** Moves the checkpoint over events that are given up, and writes their dead letter: both, or neither. */
  | {
      readonly kind: 'bury'
      readonly from: P | undefined
      readonly to: P
      readonly evidence: Evidence<P>
      readonly burial: Burial
    }
  /** Moves the checkpoint over positions that hold nothing for this projection. */
  | {
      readonly kind: 'checkpoint'
      readonly from: P | undefined
      readonly to: P
      readonly evidence: Evidence<P>
    }
  /** Handles the events of the next dead letter that is asked for, and closes it: both, or neither. The checkpoint stays at `at`. */
  | { readonly kind: 'retry'; readonly at: P; readonly reading: HighWaterReading<P> }
  /** Ends with the next `wait`, and with the phase. */
  | { readonly kind: 'wait'; readonly ms: number }
  /** The next poll has to look which incarnation this is. */
  | { readonly kind: 'doubt'; readonly incarnation: string }
  | { readonly kind: 'report'; readonly report: Report<P> }
  /** Gives the right back; nothing follows. */
  | { readonly kind: 'end' }

/** What an operator wants to be skipped, in one transaction with its dead letter; or why nothing is. */
export type SkipOrder<P> =
  | {
      readonly from: P | undefined
      readonly to: P
      readonly evidence: Evidence<P>
      readonly burial: Burial
    }
  | { readonly refused: string }

/** The newest incarnation, and where the head stood when this projection started. */
export type Opening<P> = Pick<HighWaterReading<P>, 'incarnation' | 'head'>

/** What operators are told. */
export type Report<P> =
  | { readonly kind: 'state'; readonly state: ProjectionState }
  | {
      readonly kind: 'failed'
      readonly state: 'paused' | 'retrying' | 'skipping'
      /** Said even where something was said shortly before. */
      readonly isNews: boolean
      /** A batch has failed, and this is the event in it that fails. */
      readonly isFound: boolean
      readonly failure: ProjectionFailure
      readonly error: unknown
      readonly checkpoint: P | undefined
    }
  /** Events were given up, and the checkpoint has passed them. */
  | { readonly kind: 'buried'; readonly burial: Burial }
  /** So many events follow a dead letter of their key. */
  | { readonly kind: 'parked'; readonly events: number }
  /** The events of a dead letter have failed again; it stays. */
  | { readonly kind: 'retry_failed'; readonly failure: RetryFailure }
  /** The events of a dead letter were handled, and it is closed. */
  | { readonly kind: 'letter_retried'; readonly letter: DeadLetter }
  /** Nothing fails any more. `isWorking`: it is this process that goes on. */
  | { readonly kind: 'over'; readonly isWorking: boolean }
  /** An operator has paused it. */
  | { readonly kind: 'paused_by'; readonly decision: Decision }
  /** An operator lets it go on. */
  | { readonly kind: 'resumed' }
  /** Another owner has the checkpoint. */
  | { readonly kind: 'conflict' }

/** How large batches are, and what is done about those that fail. */
export interface Policy {
  readonly attempts: number
  readonly batchSize: number
  readonly longestPauseMs: number
  readonly decide: Decide
}

/** The same of a replay. */
export interface ReplayPolicy extends Policy {
  readonly maxEventsPerSecond: number | undefined
}

/** What a step depends on besides where the projection stands. */
export interface Context<P> {
  readonly nowMs: number
  readonly order: PositionOrder<P>
  /** The newest, `undefined` while none holds. */
  readonly reading: HighWaterReading<P> | undefined
  readonly policy: Policy & { readonly replaying?: ReplayPolicy | undefined }
  /** Another node is to do what is asked of it. */
  readonly isDealtElsewhere?: boolean
  /** In [0, 1): so that many projections do not wait equally long. */
  readonly random: number
}

export interface Step<P, E> {
  readonly standing: Standing<P>
  readonly commands: readonly Command<P, E>[]
}
