import { withJson } from '../kernel/json.ts'
import type { ConsumerCheckpoint } from '../ports/consumer-checkpoints.ts'
import type { KeptLoss } from '../ports/lost-events.ts'
import type { Suspect } from './exposures.ts'
import type { HandedSuspect } from './handed.ts'
import type { LostEvent } from './status.ts'

export interface FindingOf {
  readonly consumer: string
  /** Of the store, as the look had it. */
  readonly incarnation: string
  /** Whether the user has said that the consumer handles events of this type. */
  readonly isHandled: boolean
}

export function findingOf(
  suspect: Suspect | HandedSuspect,
  { consumer, incarnation, isHandled }: FindingOf,
): KeptLoss {
  const { event, passedAt, missingAtMs, visibleAtMs, heldBy } = suspect
  return {
    consumer,
    incarnation,
    position: String(event.position),
    verdict: isHandled ? 'lost' : 'passed',
    type: event.type,
    passedAt: typeof passedAt === 'bigint' ? String(passedAt) : describeCheckpoint(passedAt),
    missingAtMs: missingAtMs === undefined ? undefined : Math.round(missingAtMs),
    visibleAtMs: Math.round(visibleAtMs),
    heldBy,
    traceparent: event.traceparent,
  }
}

/** `JSON.stringify` writes its position as text. */
export function toLostEvent(loss: KeptLoss): LostEvent {
  const { consumer, verdict, position, type, passedAt, missingAtMs, visibleAtMs, heldBy, traceparent } = loss
  const event: LostEvent = {
    consumer,
    verdict,
    position: BigInt(position),
    type,
    passedAt,
    missingAt: missingAtMs === undefined ? undefined : new Date(missingAtMs),
    visibleAt: new Date(visibleAtMs),
    heldBy,
    traceparent,
  }
  return withJson(event, () => ({ ...event }))
}

/** One line for the log. */
export function describeLost(loss: Omit<KeptLoss, 'heldBy'>): string {
  const { consumer, verdict, position, type } = loss
  const event = type === undefined ? `the event at ${position}` : `the event at ${position} (${type})`
  const said =
    verdict === 'lost'
      ? `consumer "${consumer}" has lost ${event}`
      : `consumer "${consumer}" has passed ${event}; whether it handles this type is not known here`
  return `${said}: it ${describePassing(loss)}`
}

/** One line for the log. */
export function describeBeyond(consumer: string, checkpoint: string): string {
  return (
    `the checkpoint of consumer "${consumer}", ${checkpoint}, stands beyond the end of its log: the store was restored from a ` +
    'backup, or is another one; what is appended up to there may never be given to this consumer'
  )
}

/** Of those that are stored, as many are named in a message. */
const MOST_NAMED = 10

/** One line for the log. */
export function describeUnknown(unknown: readonly string[], stored: readonly string[]): string {
  const named = (names: readonly string[]): string => names.map((name) => `"${name}"`).join(', ')
  const more = stored.length > MOST_NAMED ? `, and ${stored.length - MOST_NAMED} more` : ''
  const known = stored.length === 0 ? 'no consumer' : `${named(stored.slice(0, MOST_NAMED))}${more}`
  return (
    `eventTypes names ${named(unknown)}, of which no checkpoint is stored: that consumer has not begun yet, or another ` +
    `name is meant; stored is ${known}`
  )
}

function describePassing({ passedAt, missingAtMs }: Omit<KeptLoss, 'heldBy'>): string {
  return missingAtMs === undefined
    ? `is visible, and the consumer went on to ${passedAt} without it`
    : `became visible after the consumer had gone on to ${passedAt}`
}

function describeCheckpoint(checkpoint: ConsumerCheckpoint): string {
  switch (checkpoint.kind) {
    case 'position':
      return String(checkpoint.position)
    case 'pair':
      return `${checkpoint.transaction}:${checkpoint.position}`
    case 'gaps':
      return checkpoint.gaps.length === 0
        ? String(checkpoint.position)
        : `${checkpoint.position} without ${checkpoint.gaps.join(', ')}`
  }
}
