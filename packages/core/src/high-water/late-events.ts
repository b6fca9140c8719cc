import { TidemarkError } from '../kernel/errors.ts'
import type { StoredProgress } from '../ports/event-source.ts'
import type { LateEvent } from '../ports/late-events.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'
import { unitName } from '../ports/unit.ts'

/**
 * A projection whose checkpoint stood at or above late events when they were found. It has missed each one that was not
 * visible yet when it read there, and will not get it any more.
 */
export interface PassedLateEvents {
  readonly projection: string
  readonly checkpoint: string
  /** The positions of those events. */
  readonly positions: readonly string[]
}

/**
 * Events became visible where the mark had passed: this store does not keep what the mark rests on. Polling halts, and
 * nothing more is projected, until the operator has decided and the process is started again.
 */
export class LateEventsError extends TidemarkError {
  readonly code = 'TIDEMARK_LATE_EVENTS'
  readonly source: string
  readonly events: readonly LateEvent[]
  readonly passedBy: readonly PassedLateEvents[]
  /** @param explanation - how this comes about in such a store, and what to do */
  constructor(
    source: string,
    events: readonly LateEvent[],
    passedBy: readonly PassedLateEvents[],
    explanation: string,
  ) {
    super(`${source}: ${describeEvents(events)}. ${describePassed(passedBy)} ${explanation}`)
    this.source = source
    this.events = events
    this.passedBy = passedBy
  }
}

/** Which projections have passed which of these events, by what a checkpoint store remembers. */
export function passedLateEvents<P>(
  order: PositionOrder<P>,
  progress: readonly StoredProgress<P>[],
  positions: readonly P[],
): readonly PassedLateEvents[] {
  return progress.flatMap(({ unit, position: checkpoint }) => {
    if (unit === undefined || checkpoint === undefined) return []
    const passed = positions.filter((position) => isReached(order, position, checkpoint)).map(order.format)
    return passed.length === 0
      ? []
      : [{ projection: unitName(unit), checkpoint: order.format(checkpoint), positions: passed }]
  })
}

/** A message is read by people: the first ones, and how many more. */
const MOST_NAMED = 10

function describeEvents(events: readonly LateEvent[]): string {
  const named = events
    .slice(0, MOST_NAMED)
    .map(({ position, type }) => (type === undefined ? position : `${position} (${type})`))
  const place = events.length === 1 ? 'an event' : `${events.length} events`
  return `${place} became visible after the mark had passed: at ${listed(named, events.length)}`
}

function describePassed(passedBy: readonly PassedLateEvents[]): string {
  if (passedBy.length === 0) return 'No stored checkpoint has passed them yet.'
  const each = passedBy.slice(0, MOST_NAMED).map(({ projection, checkpoint, positions }) => {
    const passed = listed(positions.slice(0, MOST_NAMED), positions.length)
    return `"${projection}", at ${checkpoint}, has passed ${passed}`
  })
  return `A projection has missed those that it passed before they were visible: ${listed(each, passedBy.length, '; ')}.`
}

function listed(named: readonly string[], count: number, separator = ', '): string {
  const more = count - named.length
  return more > 0 ? `${named.join(separator)} and ${more} more` : named.join(separator)
}
