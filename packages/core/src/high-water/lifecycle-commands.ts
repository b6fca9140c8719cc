import type { HighWaterReading, HighWaterRequest, SkippedRun, StoredProgress } from '../ports/event-source.ts'
import type { PositionOrder } from '../ports/position.ts'
import type { Cadence } from './cadence.ts'
import type { OpenedRun, Standing } from './lifecycle-standing.ts'

/** What happens to an agent. Each command but `started`, `refused`, `report` and `end` is answered once. */
export type Input<P> =
  | { readonly kind: 'start' }
  /** Answers `prepare`. */
  | { readonly kind: 'prepared' }
  /** Answers `open`. */
  | ({ readonly kind: 'opened' } & OpenedRun)
  /** Answers `recall`. */
  | { readonly kind: 'recalled'; readonly stored: readonly StoredProgress<P>[] }
  /** Answers `read`. */
  | { readonly kind: 'read'; readonly reading: HighWaterReading<P> }
  /** Answers `record`. */
  | { readonly kind: 'recorded' }
  /** Answers `save`. */
  | { readonly kind: 'saved' }
  /** Answers every command that may fail: all but `wait`. */
  | ({ readonly kind: 'failed' } & FailedPoll)
  /** A `wait` is over. */
  | { readonly kind: 'due' }
  /** A page or a checkpoint found another incarnation than this one. */
  | { readonly kind: 'doubted'; readonly incarnation: string }
  | { readonly kind: 'stop' }
  /** Nobody waits any more for what is at hand at the end. */
  | { readonly kind: 'given_up' }

export type InputKind = Input<unknown>['kind']

export interface FailedPoll {
  readonly error: unknown
  /** Whether source or checkpoint store call it a passing fault. */
  readonly isTransient: boolean
}

export type Command<P> =
  /** Readies what is needed before the first poll. */
  | { readonly kind: 'prepare' }
  /** Opens the source, and asks whether the checkpoints share its log. */
  | { readonly kind: 'open' }
  /** Reads the stored progress. */
  | { readonly kind: 'recall' }
  /** Polls the source. */
  | { readonly kind: 'read'; readonly request: ReadRequest<P> }
  /** Stores what was passed without proof. */
  | { readonly kind: 'record'; readonly skipped: readonly SkippedRun<P>[] }
  /** Stores settled by itself. */
  | { readonly kind: 'save'; readonly reading: HighWaterReading<P> }
  | ({ readonly kind: 'wait' } & Wait)
  /** `start()` resolves; polling goes on. */
  | { readonly kind: 'started' }
  /** `start()` rejects. */
  | { readonly kind: 'refused'; readonly error: unknown }
  | { readonly kind: 'report'; readonly report: Report<P> }
  /** Nothing follows. */
  | { readonly kind: 'end' }

/** The wait between two polls. All of it is counted from its beginning. */
export interface Wait {
  /** Nothing ends it before. */
  readonly deafMs: number
  /** Where nobody waits for what polls find, it lasts as long at least. */
  readonly apartMs: number
  /** It lasts as long where there is no wake-up. */
  readonly longestMs: number
}

/** The part of a poll's request that is decided here. */
export type ReadRequest<P> = Pick<
  HighWaterRequest<P>,
  'previous' | 'opened' | 'sharesLog' | 'stored' | 'former'
>

/** What operators are told. */
export type Report<P> =
  | { readonly kind: 'begun' }
  /** Nothing that was learned before holds any more. */
  | { readonly kind: 'forgot' }
  | { readonly kind: 'polled'; readonly reading: HighWaterReading<P>; readonly moved: boolean }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'halted'; readonly error: unknown }

export const FORGOT: Command<never> = { kind: 'report', report: { kind: 'forgot' } }

/** What a step depends on besides where the agent stands. */
export interface Context<P> {
  readonly nowMs: number
  /** How long the poll at hand has kept the store busy so far. */
  readonly storeMs: number
  readonly order: PositionOrder<P>
  readonly cadence: Cadence
  /** Whether the source tells of whatever is appended next. */
  readonly isTold: boolean
  /** Whether settled can be stored by itself. */
  readonly savesSettled: boolean
}

export interface Step<P> {
  readonly standing: Standing<P>
  readonly commands: readonly Command<P>[]
}
