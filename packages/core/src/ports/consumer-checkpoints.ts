/** Where consumers that Tidemark does not run keep their checkpoints. Read only. */
export interface ConsumerCheckpoints {
  /** Names this place in metrics and messages: a consumer is shown as `name.consumer`. */
  readonly name: string
  /** Which event types a consumer handles, where the user has said so; `'all'`: every type. */
  readonly eventTypes: ConsumerEventTypes
  /** Every consumer, as it is stored now. */
  read(signal: AbortSignal): Promise<readonly StoredConsumer[]>
}

export type ConsumerEventTypes = Readonly<Record<string, readonly string[] | 'all'>>

export interface StoredConsumer {
  readonly consumer: string
  /** `undefined`: what is stored says nothing about positions of the events table. */
  readonly checkpoint: ConsumerCheckpoint | undefined
  /** The checkpoint as it is stored. */
  readonly text: string
  /** Changes when the consumer is started again, where the store says so. */
  readonly run: string | undefined
  /** It reads this category alone: streams of that name, and those whose names begin with it and `-`. Absent: all events. */
  readonly category?: string | undefined
  /** Changes whenever the row is written, also with what is there already; `undefined` where the store does not tell. */
  readonly revision?: string | undefined
  /** How the consumer stands in a log of its own, such as one stream. Absent: it reads the log that is watched. */
  readonly inLog?: StandingInLog | undefined
}

/** What a store says of a consumer in its log. The log was read after the checkpoint. */
export interface StandingInLog {
  /** `undefined` where there is no checkpoint yet. */
  readonly place: CheckpointPlace | undefined
  /** Positions between the checkpoint and the end of the log; `undefined` where they are not counted, or not known. */
  readonly lagPositions: bigint | undefined
  /** Messages that the server has set aside for this consumer; `undefined` where it does not do that. */
  readonly parked: bigint | undefined
}

/**
 * - `in_log`: an event stands at the checkpoint.
 * - `beyond_log`: the log ends before it: a restored or another store.
 * - `off_log`: no event stands at it: that was deleted or truncated, or was never there.
 */
export type CheckpointPlace = 'in_log' | (typeof PLACES_OUTSIDE_LOG)[number]

export const PLACES_OUTSIDE_LOG = ['beyond_log', 'off_log'] as const

/**
 * Which events a consumer has passed: it reads none of them again.
 * - `position`: those at or below it.
 * - `pair`: those whose pair of transaction and position is not above it. The position may go down while it goes forward.
 * - `gaps`: those at or below the position, without the gaps that it keeps.
 */
export type ConsumerCheckpoint =
  | { readonly kind: 'position'; readonly position: bigint }
  | { readonly kind: 'pair'; readonly transaction: bigint; readonly position: bigint }
  | { readonly kind: 'gaps'; readonly position: bigint; readonly gaps: readonly bigint[] }
