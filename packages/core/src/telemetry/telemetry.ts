import type { FailedBatch } from '../failures/classify.ts'
import type { CrossedRun } from '../ports/checkpoint-store.ts'
import type { Gap, HighWaterReading, Holder } from '../ports/event-source.ts'
import type { LateEvent } from '../ports/late-events.ts'
import type { LostVerdict } from '../ports/lost-events.ts'
import type { SkipTotals } from '../ports/stored-unit.ts'
import type { ProjectionState } from '../projection/status.ts'
import type { SubscriptionState } from '../subscription/status.ts'
import type { LostEvent } from '../watch/status.ts'
import { quietly } from './quietly.ts'

/**
 * The small port that core reports through. Every method is optional, is called synchronously once a poll or a batch
 * (never once an event), and may throw: that is caught and never reaches the work.
 */
export interface Telemetry {
  polled?(report: PollReport): void
  pollFailed?(report: PollFailedReport): void
  batchProcessed?(report: BatchReport): void
  handlerFailed?(report: HandlerFailedReport): void
  storeFailed?(report: StoreFailedReport): void
  checkpointConflict?(report: { readonly projection: string }): void
  /** This node is given the projection. */
  leaseGranted?(report: { readonly projection: string }): void
  skipped?(report: SkippedReport): void
  lateEvents?(report: LateEventsReport): void
  projectionStateChanged?(report: {
    readonly projection: string
    readonly state: ProjectionState | SubscriptionState
  }): void
  subscriptionProgressed?(report: SubscriptionProgressReport): void
  subscriptionDropped?(report: SubscriptionDroppedReport): void
  eventsAcknowledged?(report: EventsAcknowledgedReport): void
  consumerLostEvents?(report: ConsumerLostEventsReport): void
}

export interface PollReport {
  readonly source: string
  readonly durationMs: number
  readonly reading: HighWaterReading<unknown>
  /** Whether head, settled or the mark moved. */
  readonly moved: boolean
  readonly closedGaps: readonly ClosedGap[]
}

export interface PollFailedReport {
  readonly source: string
  readonly error: unknown
}

export interface ClosedGap {
  readonly gap: Gap<unknown>
  readonly outcome: 'filled' | 'proven_empty' | 'skipped'
  readonly openForMs: number
  /** Who was holding it up, when it was last seen open. */
  readonly holders: readonly Holder[]
}

export interface BatchReport {
  readonly projection: string
  readonly events: number
  readonly durationMs: number
  readonly through: string
  /** From append to handled, of the oldest event; only while the projection is live, and where the source knows. */
  readonly delayMs: number | undefined
}

/** A handler, or the mapping of an event, has failed. */
export interface HandlerFailedReport {
  readonly projection: string
  /** `skip`: its events are given up. */
  readonly action: 'retry' | 'pause' | 'skip'
  readonly error: unknown
  readonly stage: 'map' | 'handle'
  /** How often this batch has failed so, this time included; passing faults of the store are not counted. */
  readonly attempt: number
  /** The events that were handed to the handler, or the one that could not be mapped, with their positions and types. */
  readonly batch: FailedBatch | undefined
}

/** The store failed a projection: no page, no checkpoint. It is tried again for as long as it takes. */
export interface StoreFailedReport {
  readonly projection: string
  readonly stage: 'read' | 'commit'
  readonly error: unknown
}

/** What a wrapped subscription has done since the last of these reports. */
export interface SubscriptionProgressReport {
  readonly projection: string
  /** Events handed over. */
  readonly delivered: number
  /** Events after which the consumer came back for the next, or whose handler resolved. */
  readonly processed: number
  /** Everything up to here is processed, where that is seen. */
  readonly through: string | undefined
  /** From append to processed, of the first event of these; only while the subscription is live. */
  readonly delayMs: number | undefined
}

/** A wrapped subscription ended though nobody unsubscribed. */
export interface SubscriptionDroppedReport {
  readonly projection: string
  /** `silent_end`, `checkpoint_beyond_head`, or what the source's `dropReason` says. */
  readonly reason: string
  /** `undefined` when it ended without one. */
  readonly error: unknown
}

/** What the consumer of a wrapped persistent subscription has acknowledged since the last of these reports. */
export interface EventsAcknowledgedReport {
  readonly projection: string
  /** `ack`, or the action of the `nack`: `park`, `retry`, `skip`, `stop`. */
  readonly action: string
  readonly events: number
}

export interface SkippedReport {
  readonly projection: string
  readonly crossed: readonly CrossedRun[]
  /** As stored with the checkpoint, of a wrapped subscription since it was wrapped; these crossings included. */
  readonly totals: SkipTotals
}

/** Events became visible that a projection has passed and was not given. Of several processes that find one, one reports it. */
export interface LateEventsReport {
  readonly projection: string
  readonly events: readonly LateEvent[]
}

/** A watched consumer has passed events that became visible afterwards. */
export interface ConsumerLostEventsReport {
  readonly consumer: string
  readonly verdict: LostVerdict
  readonly events: readonly LostEvent[]
}

/** Every report, listed once: whatever stands between core and a `Telemetry` follows from this list. */
const REPORTS: Readonly<Record<keyof Telemetry, true>> = {
  polled: true,
  pollFailed: true,
  batchProcessed: true,
  handlerFailed: true,
  storeFailed: true,
  checkpointConflict: true,
  leaseGranted: true,
  skipped: true,
  lateEvents: true,
  projectionStateChanged: true,
  subscriptionProgressed: true,
  subscriptionDropped: true,
  eventsAcknowledged: true,
  consumerLostEvents: true,
}

/** Reports to each of `receivers` in turn. Nothing that one of them throws reaches the work, or the next one. */
export function reportTo(
  receivers: () => readonly Telemetry[],
  onError: (error: unknown) => void,
): Required<Telemetry> {
  const tell = (name: keyof Telemetry, report: unknown): void => {
    for (const receiver of receivers()) {
      const method = receiver[name] as ((report: unknown) => void) | undefined
      quietly(() => method?.call(receiver, report), onError)
    }
  }
  const methods = Object.keys(REPORTS).map((name) => [
    name,
    (report: unknown): void => tell(name as keyof Telemetry, report),
  ])
  return Object.fromEntries(methods) as Required<Telemetry>
}
