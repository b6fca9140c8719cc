import type { PositionOrder } from '../ports/position.ts'
import type { ConsumerGroup } from '../ports/subscription-source.ts'
import { type HeadHistory, isQuiet } from './head-history.ts'
import * as lag from './lag.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { Progress } from './progress.ts'
import type { SubscriptionStatus } from './status.ts'

/** All that is known of a subscription at one moment, and what follows from it. */
export interface Standing<P> {
  readonly nowMs: number
  readonly order: PositionOrder<P>
  readonly progress: Progress<P>
  readonly head: HeadHistory<P>
  readonly group: ConsumerGroup<P> | undefined
  readonly lifecycle: Lifecycle
  /** How it is seen that an event is processed. */
  readonly consumption: 'unseen' | 'iterated' | 'handled'
  readonly isPersistent: boolean
  readonly isFiltered: boolean
  /** Whether items wait in the stream's buffer: its consumer has paused, is slow behind a pipe, or does not exist. */
  readonly isBuffered: boolean
  /** It began at the end: its first position is known once an event has come. */
  readonly beganAtEnd: boolean
  readonly startedAtMs: number | undefined
  /** How long a reading of the head is good for. */
  readonly headGoodForMs: number
  readonly stallAfterMs: number
}

/** Whether everything up to the head comes to this consumer, and where it began is known. */
export function isHeadOurs<P>({ isPersistent, isFiltered, beganAtEnd, progress }: Standing<P>): boolean {
  return !isPersistent && !isFiltered && !(beganAtEnd && progress.arrivals === 0)
}

/** See `SubscriptionStatus.position`. */
function positionOf<P>(standing: Standing<P>): P | undefined {
  if (standing.isPersistent) return standing.group?.checkpoint
  return isProcessingSeen(standing) ? standing.progress.processedTo : undefined
}

/** See `SubscriptionStatus.lagPositions`. */
function lagPositionsOf<P>(standing: Standing<P>): bigint | undefined {
  const { order, isPersistent, group, progress, head } = standing
  if (isPersistent) {
    return lag.positionsBehind(group?.checkpoint, group?.lastKnown, order)
  }
  if (!isProcessingSeen(standing) || !isHeadOurs(standing)) return undefined
  return lag.positionsBehind(progress.processedTo, head.head, order)
}

/** See `SubscriptionStatus.lagMs`. */
function lagMsOf<P>(standing: Standing<P>): number | undefined {
  if (!isProcessingSeen(standing)) return undefined
  const { nowMs, lifecycle, isPersistent, startedAtMs = nowMs } = standing
  return lag.lagMs({
    ...standing,
    startedAtMs,
    isHeadOurs: isHeadOurs(standing),
    isLive: lifecycle.state === 'live' && !isPersistent,
  })
}

/** See `SubscriptionStatus.isStalled`. */
export function isStalled<P>(standing: Standing<P>): boolean | undefined {
  const { head, progress, nowMs, lifecycle, stallAfterMs } = standing
  if (lifecycle.state === 'dropped' || !isHeadOurs(standing) || head.readAtMs === undefined) return undefined
  // A subscription that was never read has no slow consumer, and no other sign would show it.
  if (standing.isBuffered && progress.delivered > 0) return false
  if (isProcessingSeen(standing) && progress.inHand > 0) return false
  return isQuiet(head, progress.arrivals, nowMs, stallAfterMs)
}

/** What users are told. `own`: what does not follow from the standing. */
export function statusOf<P>(
  standing: Standing<P>,
  own: Pick<SubscriptionStatus<P>, 'projection' | 'skipped'>,
): SubscriptionStatus<P> {
  const { progress, head, group, lifecycle } = standing
  const isOver = lifecycle.stage === 'over'
  return {
    projection: own.projection,
    state: lifecycle.state,
    deliveredEvents: progress.delivered,
    processedEvents: progress.processed,
    position: positionOf(standing),
    head: head.head,
    lagPositions: isOver ? undefined : lagPositionsOf(standing),
    lagMs: isOver ? undefined : lagMsOf(standing),
    isStalled: isOver ? undefined : isStalled(standing),
    group: isOver ? undefined : group,
    skipped: own.skipped,
    dropReason: lifecycle.drop?.reason,
    error: lifecycle.drop?.error,
  }
}

function isProcessingSeen<P>({ consumption }: Standing<P>): boolean {
  return consumption !== 'unseen'
}
