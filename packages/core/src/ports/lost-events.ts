import type { Gap, Holder } from './event-source.ts'

/**
 * `lost`: the consumer handles events of this type. `passed`: whether it handles this type is not known.
 */
export type LostVerdict = 'lost' | 'passed'

export const LOST_VERDICTS: readonly LostVerdict[] = ['lost', 'passed']

/** Which event a consumer has lost. */
export interface LossKey {
  readonly consumer: string
  /** The run of the events' store in which it was found: in another one the same number may be another event. */
  readonly incarnation: string
  /** A text of `PositionOrder.format`. */
  readonly position: string
}

/** An event that a consumer has lost which Tidemark does not run, or whose handler it monitors. */
export interface KeptLoss extends LossKey {
  readonly verdict: LostVerdict
  /** `undefined` where the source does not know types. */
  readonly type: string | undefined
  /** How far the consumer had gone without it. */
  readonly passedAt: string
  /** Between these two the event became visible. The first one is `undefined` where nobody saw it missing. */
  readonly missingAtMs: number | undefined
  readonly visibleAtMs: number
  /** Transactions that could have held it when it was last not visible. */
  readonly heldBy: readonly Holder[]
  /** W3C `traceparent` of the trace that appended it; `undefined` where the source does not know it. */
  readonly traceparent: string | undefined
}

export interface LossTotal {
  readonly consumer: string
  readonly verdict: LostVerdict
  /** How many were recorded in all. */
  readonly events: number
}

/** What the monitor of a handler has to know when its process is started again. */
export interface PassedPositions {
  /** The run of the events' store: in another one the same number may be another event. */
  readonly incarnation: string
  /** The types that the handler was given then; `undefined` where nobody had said that. */
  readonly eventTypes: readonly string[] | 'all' | undefined
  /** Positions that it had gone past and was not given. Texts of `PositionOrder.format`, both ends included. */
  readonly runs: readonly Gap<string>[]
}

/**
 * Keeps which events were lost, each once, whoever finds it: two watches at once, or one after the other. Whoever has recorded
 * an event, or claimed it, tells of it, and then says so. So what was recorded by a process that has died is told by another.
 */
export interface LostEvents {
  /** Answers those that nobody has recorded before: they are claimed for the caller. */
  record(source: string, losses: readonly KeptLoss[], signal: AbortSignal): Promise<readonly KeptLoss[]>
  /** Those that nobody has told, and whose claim is older than `claimMs`: they are claimed for the caller, at most `limit`. */
  claim(
    source: string,
    due: { readonly claimMs: number; readonly limit: number },
    signal: AbortSignal,
  ): Promise<readonly KeptLoss[]>
  /** That they were told: nobody claims them any more. */
  told(source: string, losses: readonly LossKey[], signal: AbortSignal): Promise<void>
  /** Of each consumer and verdict of which there are any. Writes nothing. */
  totals(source: string, signal: AbortSignal): Promise<readonly LossTotal[]>
  /** The one that was recorded last first, at most `limit`. Writes nothing. */
  list(source: string, limit: number, signal: AbortSignal): Promise<readonly KeptLoss[]>
  /** Keeps this of the consumer, in the place of what was kept before. */
  keepPassed(source: string, consumer: string, passed: PassedPositions, signal: AbortSignal): Promise<void>
  /** What is kept of the consumer. Writes nothing. */
  passed(source: string, consumer: string, signal: AbortSignal): Promise<PassedPositions | undefined>
}
