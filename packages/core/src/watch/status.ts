import { errorJson, withJson } from '../kernel/json.ts'
import type { CheckpointPlace } from '../ports/consumer-checkpoints.ts'
import type { Holder } from '../ports/event-source.ts'
import type { LostVerdict } from '../ports/lost-events.ts'

export interface WatchStatus {
  /** `failing`: looks fail and are retried. Nothing is seen meanwhile. */
  readonly state: 'idle' | 'watching' | 'failing' | 'stopped'
  readonly source: string
  /** How many looks there were. */
  readonly looks: number
  readonly lastLookAtMs: number | undefined
  /** How far apart the newest looks were: what falls between two of them is not seen. */
  readonly looksApartMs: { readonly mean: number; readonly longest: number } | undefined
  /** How often everything learned was dropped: a restarted server, a table that was replaced. */
  readonly begunAnew: number
  readonly consumers: readonly WatchedConsumer[]
  /** As `name.consumer`: named by `eventTypes`, and stored at no look so far. It has not begun yet, or another name is meant. */
  readonly unknownConsumers: readonly string[]
  /** The ledger of lost events; `undefined` where none is named. */
  readonly ledger: LedgerStatus | undefined
  readonly error: unknown
}

export interface LedgerStatus {
  /** What users know this kind of store by. */
  readonly store: string
  /** Lost events that were found and are not written yet, and so not told. */
  readonly unwritten: number
  /** Why they are not, while that fails. */
  readonly error: unknown
}

export interface WatchedConsumer {
  /** As `name.consumer`: where its checkpoint is kept, and what it is called there. */
  readonly consumer: string
  /** As it is stored. */
  readonly checkpoint: string
  /** Whether that can be read as a checkpoint of the watched table. */
  readonly isUnderstood: boolean
  /**
   * Where it stands in the log: `beyond_log` is above its end (a restored or another store), `off_log` is where no event
   * stands. Of EventStoreDB and KurrentDB; `undefined` of other stores, and where there is no checkpoint yet.
   */
  readonly place: CheckpointPlace | undefined
  /** Messages that were parked, of the group of a persistent subscription; `undefined` of others. */
  readonly parked: bigint | undefined
  /**
   * Positions between the checkpoint and the high-water mark, or the end of the consumer's own log. A consumer that passes
   * over events without storing that shows a large one and is not behind. Absent where the checkpoint is a pair of transaction and position, or one of `$all`.
   */
  readonly lagPositions: bigint | undefined
  /**
   * How old the oldest settled event is that waits for the consumer, of the types that it handles. Absent where that is not known: the source
   * has no `appendedAt` or no index led by the position, nobody has said which types the consumer handles, or its
   * checkpoint is no position.
   */
  readonly lagMs: number | undefined
  /** For how long the checkpoint has stood where it is; where it has not moved, since it was first seen. */
  readonly ageMs: number
  /** When a look first saw the checkpoint where it is; `undefined`: it has not moved since it was first seen. */
  readonly movedAtMs: number | undefined
  /** Looks since it was first seen, and those of them at which it had moved: near the same number, moves were not seen. */
  readonly looks: number
  readonly moves: number
  /** Positions that it has passed and that may still become visible. Absent for a pair. */
  readonly exposedPositions: bigint | undefined
  /** Events that became visible late, while it has not moved on since it had passed them. */
  readonly unconfirmed: number
  /** Lost events that were told. With a ledger those that are in it: of former runs, and of other watches, too. */
  readonly lost: number
  /** Events that were passed, of types of which nobody said whether it handles them. */
  readonly passed: number
  /** Events that became visible below its checkpoint, and may have been handled for all that is known. */
  readonly cannotTell: Readonly<Partial<Record<UnsureReason, number>>>
}

/** Of `monitorHandler` over a source that can be watched. */
export interface LossMonitorStatus
  extends Pick<
    WatchedConsumer,
    'consumer' | 'lagPositions' | 'exposedPositions' | 'unconfirmed' | 'lost' | 'passed' | 'cannotTell'
  > {
  /** `failing`: looks fail and are retried. What is handed over meanwhile is kept, and nothing is missed. */
  readonly state: 'watching' | 'failing' | 'stopped'
  readonly source: string
  /** At or below this nothing is known of what was handed over; `undefined` before the first event came. */
  readonly floor: bigint | undefined
  /** The furthest position that was handed over. */
  readonly handedTo: bigint | undefined
  /** Up to where looks have come. Below it, what is not visible yet is looked at again. */
  readonly lookedTo: bigint | undefined
  /** Lost events that were handed over after they had been told, since the consumer went back. They are not in `lost`. */
  readonly handedLater: number
  /** How often everything learned was dropped: a restarted server, a table that was replaced, too much to keep. */
  readonly begunAnew: number
  /** The ledger of lost events; `undefined` where none is named. */
  readonly ledger: LedgerStatus | undefined
  readonly error: unknown
}

/** An event that a consumer has passed. Each is told once. As JSON its position is a text. */
export interface LostEvent {
  /** As `name.consumer`: where its checkpoint is kept, and what it is called there. Of `monitorHandler`, its `projection`. */
  readonly consumer: string
  /**
   * `lost`: the consumer handles events of this type, as `eventTypes` says. `passed`: whether it handles this type is not
   * known here.
   */
  readonly verdict: LostVerdict
  readonly position: bigint
  /** `undefined` where the source does not know types. */
  readonly type: string | undefined
  /** How far the consumer had gone without it: by its checkpoint, or by what was handed over. */
  readonly passedAt: string
  /** The last look that did not show the event. `undefined` of `monitorHandler`, where the first look there did. */
  readonly missingAt: Date | undefined
  /** The first look that did: it became visible in between. */
  readonly visibleAt: Date
  /** Transactions that could have held it when it was last not visible. */
  readonly heldBy: readonly Holder[]
  /** W3C `traceparent` of the trace that appended it; `undefined` where the source does not know it (`traceContext`). */
  readonly traceparent: string | undefined
}

/** Why an event that became visible below a checkpoint is not called lost. */
export type UnsureReason =
  /** The checkpoint had passed it when it was first seen: a consumer may start at the head. */
  | 'first_sight'
  /** Reset, replayed, restored, or moved by hand. */
  | 'went_back'
  | 'vanished'
  /** It changed its kind: a position became a pair of transaction and position, or the other way round. */
  | 'changed_kind'
  /** The consumer was started again, perhaps from elsewhere than its checkpoint; its handler may have had the event before. */
  | 'restarted'
  /** It moved between two looks that were so far apart that it may have been reset in between. */
  | 'looks_apart'
  /** Its row was written anew and says the same: it may have been set back and have come up again. */
  | 'rewritten'
  /** Parts of the table were attached or detached when it appeared. */
  | 'rearranged'
  /** More events became visible late than are kept. */
  | 'too_many'
  /** The store is another one than at the look before: a crash, a failover, a table that was replaced. */
  | 'begun_anew'

/** `JSON.stringify` writes positions as texts. */
export function statusWithJson<S extends WatchStatus | LossMonitorStatus>(status: S): S {
  const { error, ledger } = status
  const toError = (thrown: unknown): unknown => (thrown === undefined ? undefined : errorJson(thrown))
  return withJson(status, () => ({
    ...status,
    ledger: ledger && { ...ledger, error: toError(ledger.error) },
    error: toError(error),
  }))
}
