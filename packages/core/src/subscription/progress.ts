import { laterOf, type PositionOrder } from '../ports/position.ts'
import type { Delivery } from '../ports/subscription-source.ts'

/** How far one subscription has come. Every function here returns a new one; none of them knows the time. */
export interface Progress<P> {
  readonly delivered: number
  readonly processed: number
  /** How many are handed over and have not ended. */
  readonly inHand: number
  /** Whether an event that its handler failed at holds the position. */
  readonly isHeld: boolean
  /** The furthest position handed over; before the first, where the subscription began. */
  readonly deliveredTo: P | undefined
  /** Everything up to here is processed. */
  readonly processedTo: P | undefined
  /** Append time of the last event handed over. */
  readonly deliveredAppendedAtMs: number | undefined
  /** Append time of the last event processed. */
  readonly processedAppendedAtMs: number | undefined
  /** Append time of the oldest event that is handed over and not processed. */
  readonly inHandAppendedAtMs: number | undefined
  /** A filter's checkpoint that counts once what came before it is processed. */
  readonly checkpoint: { readonly position: P; readonly afterEnded: number } | undefined
  /** Signs of life: deliveries and checkpoints. */
  readonly arrivals: number
}

/** `from`: where a catch-up subscription begins, exclusive; `undefined` when that is its start, or not known. */
export function startProgress<P>(from: P | undefined): Progress<P> {
  return {
    delivered: 0,
    processed: 0,
    inHand: 0,
    isHeld: false,
    deliveredTo: from,
    processedTo: from,
    deliveredAppendedAtMs: undefined,
    processedAppendedAtMs: undefined,
    inHandAppendedAtMs: undefined,
    checkpoint: undefined,
    arrivals: 0,
  }
}

export function deliver<P>(
  progress: Progress<P>,
  { position, appendedAtMs }: Delivery<P>,
  order: PositionOrder<P>,
): Progress<P> {
  return {
    delivered: progress.delivered + 1,
    processed: progress.processed,
    inHand: progress.inHand + 1,
    isHeld: progress.isHeld,
    // An event that is delivered again is not where the next one is expected.
    deliveredTo: laterOf(order, progress.deliveredTo, position),
    processedTo: progress.processedTo,
    deliveredAppendedAtMs: appendedAtMs,
    processedAppendedAtMs: progress.processedAppendedAtMs,
    inHandAppendedAtMs: progress.inHandAppendedAtMs ?? appendedAtMs,
    checkpoint: progress.checkpoint,
    arrivals: progress.arrivals + 1,
  }
}

/** A handler that failed at an event is called with it again. */
export function tryAgain<P>(progress: Progress<P>): Progress<P> {
  return { ...progress, inHand: progress.inHand + 1 }
}

/** The consumer came back for the next: everything handed over is processed. */
export function processAll<P>(progress: Progress<P>, order: PositionOrder<P>): Progress<P> {
  const { delivered, deliveredTo, deliveredAppendedAtMs } = progress
  return withCheckpoint(
    {
      delivered,
      processed: progress.processed + progress.inHand,
      inHand: 0,
      isHeld: false,
      deliveredTo,
      processedTo: laterOf(order, progress.processedTo, deliveredTo),
      deliveredAppendedAtMs,
      processedAppendedAtMs: deliveredAppendedAtMs,
      inHandAppendedAtMs: undefined,
      checkpoint: progress.checkpoint,
      arrivals: progress.arrivals,
    },
    order,
  )
}

/** The effect of one handler's end, whether it resolved or failed. */
export interface Handled<P> {
  /** Whether it was called again with the same item before it ended: then that call counts. */
  readonly isGivenUp: boolean
  readonly hasFailed: boolean
  /** The last delivery before which all have resolved, where that moved. */
  readonly through: Delivery<P> | undefined
  /** The oldest that has not resolved. */
  readonly oldestInHand: Delivery<P> | undefined
  /** Whether one that failed holds the position. */
  readonly isHeld: boolean
}

export function handle<P>(
  progress: Progress<P>,
  { isGivenUp, hasFailed, through, oldestInHand, isHeld }: Handled<P>,
  order: PositionOrder<P>,
): Progress<P> {
  if (isGivenUp) return progress
  return withCheckpoint(
    {
      ...progress,
      processed: progress.processed + (hasFailed ? 0 : 1),
      inHand: progress.inHand - 1,
      isHeld,
      processedTo: laterOf(order, progress.processedTo, through?.position),
      processedAppendedAtMs: through?.appendedAtMs ?? progress.processedAppendedAtMs,
      inHandAppendedAtMs: oldestInHand?.appendedAtMs,
    },
    order,
  )
}

/** The filter has looked at everything up to `position`; `buffered` events of that have not been handed over yet. */
export function checkpoint<P>(
  progress: Progress<P>,
  position: P,
  buffered: number,
  order: PositionOrder<P>,
): Progress<P> {
  return withCheckpoint(
    {
      ...progress,
      checkpoint: { position, afterEnded: progress.delivered + buffered },
      arrivals: progress.arrivals + 1,
    },
    order,
  )
}

function withCheckpoint<P>(progress: Progress<P>, order: PositionOrder<P>): Progress<P> {
  const { checkpoint: noted, delivered, inHand, isHeld, processedTo } = progress
  if (noted === undefined || isHeld || delivered - inHand < noted.afterEnded) return progress
  return { ...progress, checkpoint: undefined, processedTo: laterOf(order, processedTo, noted.position) }
}

/** The furthest that anything has arrived from. */
export function reachedBy<P>(
  { deliveredTo, processedTo, checkpoint: noted }: Progress<P>,
  order: PositionOrder<P>,
): P | undefined {
  return laterOf(order, laterOf(order, deliveredTo, noted?.position), processedTo)
}
