import type { HighWaterStatus } from '../high-water/status.ts'
import { hasCode } from '../kernel/errors.ts'
import type { Holder } from '../ports/event-source.ts'
import type { PositionOrder } from '../ports/position.ts'
import { errorName } from './error-name.ts'
import { seconds } from './signs-of-life.ts'
import type { MarkHealth, MarkHealthStatus } from './verdict.ts'

export interface MarkFacts<P> {
  readonly source: string
  readonly order: Pick<PositionOrder<P>, 'format'>
  readonly highWater: HighWaterStatus<P>
  readonly staleAfterMs: number
  readonly nowMs: number
  /** `starting`: `start()` is under way. */
  readonly life: 'new' | 'starting' | 'started' | 'stopped'
}

/** What the polls say of the mark. Pure. */
export function judgeMark<P>(facts: MarkFacts<P>): MarkHealth {
  const { source, order, highWater, nowMs } = facts
  const { head, settled, mark, markFirstSeenMs, lastPollAtMs, gaps, holders, error } = highWater
  const text = (position: P | undefined): string | undefined =>
    position === undefined ? undefined : order.format(position)
  const status = markStatus(facts)
  const isHeld = status === 'held'
  const openForMs = gaps.reduce((longest, gap) => Math.max(longest, gap.openForMs), 0)
  const heldSinceMs = isHeld && gaps.length > 0 ? nowMs - openForMs : undefined
  return {
    source,
    status,
    why: why(status, facts, heldSinceMs),
    head: text(head),
    settled: text(settled),
    mark: text(mark),
    movedAtMs: markFirstSeenMs,
    lastPollAtMs,
    heldSinceMs,
    heldBy: isHeld ? holders : [],
    error: error === undefined ? undefined : errorName(error),
  }
}

function markStatus<P>({ highWater, staleAfterMs, nowMs, life }: MarkFacts<P>): MarkHealthStatus {
  const { state, error, stale, unanswered, holders, lastPollAtMs, markFirstSeenMs } = highWater
  if (state === 'idle') return life === 'starting' ? 'starting' : 'stopped'
  if (state === 'stopped') return 'stopped'
  if (state === 'halted') return hasCode(error, 'TIDEMARK_STORE_REWOUND') ? 'went_backwards' : 'halted'
  if (stale) return unanswered === undefined && holders.length > 0 ? 'held' : 'stale'
  if (lastPollAtMs === undefined) return 'starting'
  return markFirstSeenMs !== undefined && nowMs - markFirstSeenMs <= staleAfterMs ? 'moving' : 'idle'
}

function why<P>(status: MarkHealthStatus, { highWater, nowMs }: MarkFacts<P>, heldSinceMs?: number): string {
  const { unanswered, error, holders, markFirstSeenMs } = highWater
  const forHowLong = heldSinceMs === undefined ? '' : ` for ${seconds(nowMs - heldSinceMs)}`
  switch (status) {
    case 'moving':
      return `it moved ${seconds(nowMs - (markFirstSeenMs ?? nowMs))} ago`
    case 'idle':
      return 'everything that was handed out is settled'
    case 'held':
      return `it is held${forHowLong} by ${holders.map(holderName).join(', ')}; it goes on when they have ended`
    case 'stale':
      if (unanswered === undefined) return 'it stands still below the head, and nobody is seen to hold it'
      return error === undefined
        ? `a poll has no answer for ${seconds(unanswered.forMs)}`
        : `polls have failed for ${seconds(unanswered.forMs)}: ${errorName(error)}`
    case 'went_backwards':
      return 'polling has halted: the store stands behind what was processed, and an operator has to decide'
    case 'halted':
      return `polling has halted, and an operator has to decide: ${errorName(error)}`
    case 'starting':
      return error === undefined
        ? 'no poll has succeeded yet'
        : `no poll has succeeded yet: ${errorName(error)}`
    case 'stopped':
      return error === undefined ? 'nothing polls' : `nothing polls: ${errorName(error)}`
  }
}

function holderName({ pid, transaction, applicationName }: Holder): string {
  const who = pid === undefined ? `prepared transaction ${transaction}` : `pid ${pid}`
  return applicationName === undefined || applicationName === '' ? who : `${who} (${applicationName})`
}
