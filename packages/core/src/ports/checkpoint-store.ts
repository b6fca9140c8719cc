import type { SkippedRun, StoredProgress } from './event-source.ts'

/**
 * The port for progress. Positions are texts of `PositionOrder.format`, so that one store serves every source.
 *
 * Every method that takes a signal rejects at once when it fires, and lets go of what it has taken for the call: the
 * connection, the timer, the lock. `stop()` waits for no store that does not answer.
 *
 * @typeParam Tx - what a handler gets to make its effects part of the checkpoint's transaction
 */
export interface CheckpointStore<Tx> {
  /** Makes what the store needs (tables); may run many times and from several processes at once. */
  prepare?(signal: AbortSignal): Promise<void>
  /** The projection's checkpoint; its row is made here when there is none. */
  read(projection: string, source: string, signal: AbortSignal): Promise<Checkpoint>
  /**
   * Runs `work` and moves the checkpoint from `from` to `to`: both, or neither. A store that can lock does so before
   * `work` runs. In a store that cannot lock, the loser of two owners may have worked before it is found out.
   *
   * Rejects with the error of `work`; with `CheckpointConflictError` when another owner holds or moved the checkpoint
   * (`advance` does not wait for it); and with `IncarnationChangedError` when the events are in the same store and it
   * is not the run of it that `evidence` is about.
   */
  advance(request: AdvanceRequest, work: (tx: Tx) => Promise<void>): Promise<Advanced>
  /** What is remembered of this source, to resume from. */
  progress(source: string, signal: AbortSignal): Promise<readonly StoredProgress<string>[]>
  /**
   * Stores a settled position without a checkpoint: settled can move while nothing is projected. A store for sources
   * that settle their whole log with every poll may do nothing here.
   */
  saveSettled(source: string, evidence: StoredEvidence, signal: AbortSignal): Promise<void>
  /**
   * Remembers runs that a mark passed without proof, before anyone reads up to that mark. Runs that another daemon has
   * recorded already are left out. Rejects if the store does not count skips, so that they are not lost in silence.
   */
  recordSkips(source: string, runs: readonly SkippedRun<string>[], signal: AbortSignal): Promise<void>
  /**
   * Whether progress and the events of that incarnation are in one log, so that a crash or failover keeps both or loses
   * both. If `false`, the mark waits until events are durable.
   */
  sharesLogWith(incarnation: string, signal: AbortSignal): Promise<boolean>
  /**
   * What an operator runs when the events' store went back, or was replaced: how the checkpoints of that source are kept
   * as they stand, and how they are begun anew. It ends the message of the error.
   */
  toDecide?(source: string): string
  /** Whether an error is a passing fault of the store or the way to it. */
  isTransient(error: unknown): boolean
}

/** Why a mark passed positions. `historical_gap`: they lay below the head when the projection first started. */
export const MARK_SKIP_REASONS: readonly ['stale_high_water_mark', 'historical_gap'] = [
  'stale_high_water_mark',
  'historical_gap',
]

/**
 * Why positions or events were skipped. Besides the two reasons of a mark:
 *
 * - `apply_error`: the consumer gave an event up (a `nack` with skip or park)
 * - `unknown_event`: a link whose target is gone came without an event
 * - `truncated`: a stream's revisions jumped (`$maxCount`, `$maxAge`, `$tb`, scavenged)
 */
export const SKIP_REASONS: readonly [
  ...typeof MARK_SKIP_REASONS,
  'apply_error',
  'unknown_event',
  'truncated',
] = [...MARK_SKIP_REASONS, 'apply_error', 'unknown_event', 'truncated']
export type SkipReason = (typeof SKIP_REASONS)[number]

/** Total number of positions skipped, by reason, since the projection first started. */
export type SkipTotals = Readonly<Partial<Record<SkipReason, bigint>>>

export interface Checkpoint {
  /** `undefined`: nothing processed yet. */
  readonly position: string | undefined
  readonly skipped: SkipTotals
}

export interface StoredEvidence {
  readonly incarnation: string
  readonly settled: string | undefined
  readonly logPosition: string | undefined
}

export interface AdvanceRequest {
  readonly projection: string
  readonly source: string
  readonly from: string | undefined
  readonly to: string
  /** The poll behind the page. */
  readonly evidence: StoredEvidence
  /** The source's head when this projection first started; remembered with its first checkpoint. */
  readonly startedAtHead: string | undefined
  /** Fires when nobody waits for `work` any more: the transaction's connection is destroyed. */
  readonly signal: AbortSignal
}

export interface Advanced extends Checkpoint {
  /** The runs that this advance crossed, each counted in `skipped`. */
  readonly crossed: readonly CrossedRun[]
}

/** For `apply_error` and `unknown_event`, `stored` and `current` are the positions of the first and last such event. */
export interface CrossedRun extends SkippedRun<string> {
  readonly reason: SkipReason
}
