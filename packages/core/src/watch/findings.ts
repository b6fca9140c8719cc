import type { ConsumerCheckpoint } from '../ports/consumer-checkpoints.ts'
import type { Suspect } from './exposures.ts'
import type { LostEvent } from './status.ts'

export interface FindingOf {
  readonly consumer: string
  /** Whether the user has said that the consumer handles events of this type. */
  readonly isHandled: boolean
}

export function findingOf(suspect: Suspect, { consumer, isHandled }: FindingOf): LostEvent {
  const { event, passedAt, missingAtMs, visibleAtMs, heldBy } = suspect
  return {
    consumer,
    verdict: isHandled ? 'lost' : 'passed',
    position: event.position,
    type: event.type,
    passedAt: describeCheckpoint(passedAt),
    missingAt: new Date(missingAtMs),
    visibleAt: new Date(visibleAtMs),
    heldBy,
  }
}

/** One line for the log. */
export function describeLost({ consumer, verdict, position, type, passedAt }: LostEvent): string {
  const event = type === undefined ? `the event at ${position}` : `the event at ${position} (${type})`
  const said =
    verdict === 'lost'
      ? `consumer "${consumer}" has lost ${event}`
      : `consumer "${consumer}" has passed ${event}; whether it handles this type is not known here`
  return `${said}: it became visible after the checkpoint had moved to ${passedAt}`
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
