import type { Pulse } from '../kernel/pulse.ts'
import type { PositionOrder } from '../ports/position.ts'
import { unitName } from '../ports/unit.ts'
import { isDealtElsewhere, isLeasedElsewhere, type UnitStatus } from '../projection/status.ts'
import { errorName } from './error-name.ts'
import { judgeMark, type MarkFacts } from './judge-mark.ts'
import { judgeProjection, type ProjectionFacts } from './judge-projection.ts'
import type { ResolvedHealthOptions } from './options.ts'
import { lostLoop, seconds } from './signs-of-life.ts'
import type { DaemonHealth, ProjectionHealth, ProjectionHealthStatus } from './verdict.ts'
import { wholeProjections } from './whole-projection.ts'

export interface DaemonFacts<P> extends MarkFacts<P> {
  readonly order: PositionOrder<P>
  /** What `start()` was refused with. */
  readonly refused: { readonly error: unknown } | undefined
  /** Of the polls. */
  readonly pulse: Pulse
  readonly projections: readonly ProjectionFacts<P>[]
}

/** Whether work goes on, or is done elsewhere. */
const IS_READY: Readonly<Record<ProjectionHealthStatus, boolean>> = {
  ok: true,
  replaying: true,
  lagging: true,
  standby: true,
  stalled: false,
  paused: false,
  failed: false,
  starting: false,
  stopped: false,
}

/** Whether its readers miss what it should do. Of a version beside the live one nobody reads. What another node has is missed there. */
function isMissed({ status, pausedBy, role, dealtTo, lease }: ProjectionHealth): boolean {
  if (isDealtElsewhere(dealtTo) || isLeasedElsewhere(lease)) return false
  return !IS_READY[status] && pausedBy === undefined && (role === undefined || role === 'live')
}

/** What is to be said of a daemon, from what is known of it. Pure. */
export function judge<P>(facts: DaemonFacts<P>, thresholds: ResolvedHealthOptions): DaemonHealth {
  const { order, life, nowMs } = facts
  const mark = judgeMark(facts)
  const isStarting = life === 'starting'
  const units = facts.projections.map((unit) => ({
    status: unit.status,
    health: judgeProjection({ facts: unit, order, isStarting, thresholds, nowMs }),
  }))
  const notLive = whyNotLive(facts)
  const notReady = [
    ...whyNotReady(facts, thresholds),
    ...units
      .filter(({ health }) => life === 'started' && isMissed(health))
      .map(({ status, health }) => `projection "${nameOf(status)}" is ${health.status}: ${health.why}`),
  ]
  return {
    live: notLive.length === 0,
    ready: notLive.length === 0 && notReady.length === 0,
    reasons: [...notLive, ...notReady],
    mark,
    projections: wholeProjections(order, units),
  }
}

function nameOf({ name, version, slots }: Pick<UnitStatus<unknown>, 'name' | 'version' | 'slots'>): string {
  return unitName({ projection: name, version, slots })
}

/**
 * Only where a restart would help. A halted mark is not among it: a restart finds the store as it is, or goes on past what
 * nobody has looked at yet. Neither is a handler that has ended its transaction: a restart repeats what it has committed.
 */
function whyNotLive<P>({ refused, pulse, projections, nowMs, life }: DaemonFacts<P>): string[] {
  if (refused)
    return [`start() was refused: ${errorName(refused.error)}; once that is mended, a restart helps`]
  if (life !== 'started') return []
  const polls = lostLoop(pulse, nowMs)
  const lost = polls === undefined ? [] : [`the polls show no sign of life: ${polls}`]
  for (const { status, pulse: ofProjection, waitingSinceMs } of projections) {
    // It waits for no next try while an operator wants it to stand still.
    if (status.pausedBy !== undefined && ofProjection.waitsFor === 'timer') continue
    const why = lostLoop(ofProjection, nowMs, waitingSinceMs)
    if (why !== undefined) lost.push(`projection "${nameOf(status)}" shows no sign of life: ${why}`)
  }
  return lost
}

/** A mark that is held makes nobody unready: this process does what can be done, and so would any other. */
function whyNotReady<P>(
  { life, refused, highWater }: DaemonFacts<P>,
  { stalledAfterMs }: ResolvedHealthOptions,
): string[] {
  if (refused) return []
  if (life === 'new') return ['the daemon was not started']
  if (life === 'stopped') return ['the daemon was stopped']
  if (life === 'starting') return ['the daemon is starting']
  const { state, error, lastPollAtMs, unanswered } = highWater
  if (state === 'halted') return [`polling has halted, and an operator has to decide: ${errorName(error)}`]
  if (lastPollAtMs === undefined) return ['no poll has succeeded yet']
  if (unanswered === undefined || unanswered.forMs < stalledAfterMs) return []
  return [`no poll has succeeded for ${seconds(unanswered.forMs)}`]
}
