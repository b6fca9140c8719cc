import type { Pulse } from '../kernel/pulse.ts'
import type { PositionOrder } from '../ports/position.ts'
import { type UnitStatus, whereDealt } from '../projection/status.ts'
import { errorName } from './error-name.ts'
import type { ResolvedHealthOptions } from './options.ts'
import { seconds } from './signs-of-life.ts'
import type { FailureHealth, ProjectionHealth, ProjectionHealthStatus } from './verdict.ts'

export interface ProjectionFacts<P> {
  readonly status: UnitStatus<P>
  /** When its checkpoint last moved in this process, or was read, or the process began. */
  readonly movedAtMs: number
  /** Since when events wait at or below the mark. */
  readonly waitingSinceMs: number | undefined
  readonly pulse: Pulse
}

interface Judging<P> {
  readonly facts: ProjectionFacts<P>
  readonly order: Pick<PositionOrder<P>, 'format'>
  readonly isStarting: boolean
  readonly thresholds: ResolvedHealthOptions
  readonly nowMs: number
}

type Verdict = Pick<ProjectionHealth, 'status' | 'why'>

/** What is said of a unit, and what it is said of. */
export interface JudgedUnit<P> extends Pick<ProjectionFacts<P>, 'status'> {
  readonly health: ProjectionHealth
}

/** What is to be said of one projection, or of one shard of it. Pure. */
export function judgeProjection<P>(judging: Judging<P>): ProjectionHealth {
  const { facts, order } = judging
  const { name, version, role, state, dealtTo, lease, position, lagMs } = facts.status
  return {
    name,
    version,
    role,
    ...verdict(judging),
    state,
    dealtTo,
    lease,
    position: position === undefined ? undefined : order.format(position),
    lagMs,
    movedAtMs: facts.movedAtMs,
    waitingSinceMs: facts.waitingSinceMs,
    pulse: facts.pulse,
    pausedBy: facts.status.pausedBy,
    failure: failureHealth(facts.status),
  }
}

function verdict<P>({ facts, order, isStarting, thresholds, nowMs }: Judging<P>): Verdict {
  const { state, dealtTo, lease, pausedBy, failure, error, skipped, lagMs, replay } = facts.status
  if (state === 'stopped') {
    return isStarting
      ? say('starting', 'the daemon has not come to it yet')
      : say('stopped', 'the daemon was not started, or was stopped')
  }
  if (pausedBy !== undefined) return say('paused', `${pausedBy.who} has paused it: ${pausedBy.why}`)
  if (state === 'paused') {
    const what = `its ${failure?.stage === 'map' ? 'mapping' : 'handler'} failed: ${errorName(error)}`
    return failure?.nextTryAtMs === undefined
      ? say('failed', `${what}; it does not try again by itself`)
      : say('paused', `${what}; it tries again by itself`)
  }
  const sinceMs = standsStillSinceMs(facts)
  if (sinceMs !== undefined && nowMs - sinceMs >= thresholds.stalledAfterMs) {
    return say('stalled', `its checkpoint has not moved for ${seconds(nowMs - sinceMs)}: ${whyStill(facts)}`)
  }
  if (state === 'standby') {
    const elsewhere = whereDealt(dealtTo, lease)
    if (elsewhere === undefined && lease !== undefined) {
      return say('standby', lease.isHere ? 'it is about to work' : 'no node has its lease')
    }
    return say(
      'standby',
      elsewhere === undefined ? 'another process moves its checkpoint' : `it is ${elsewhere}`,
    )
  }
  if (skipped === undefined) return say('starting', 'its checkpoint was not read yet')
  if (state === 'replaying') {
    const { target, secondsLeft } = replay ?? {}
    const left = secondsLeft === undefined ? '' : `, in some ${seconds(secondsLeft * 1_000)}`
    const to = target === undefined ? '' : ` up to ${order.format(target)}`
    return say('replaying', `it handles events anew${to}${left}`)
  }
  if (lagMs !== undefined && lagMs >= thresholds.laggingAfterMs) {
    return say('lagging', `the oldest event that may wait is ${seconds(lagMs)} old`)
  }
  return say('ok', lagMs === 0 ? 'everything up to the mark is handled' : 'work goes on')
}

const say = (status: ProjectionHealthStatus, why: string): Verdict => ({ status, why })

/** Since when it has not moved though it should. What waits for nothing never stands still. */
function standsStillSinceMs<P>({
  status,
  movedAtMs,
  waitingSinceMs,
}: ProjectionFacts<P>): number | undefined {
  const since = status.state === 'retrying' ? status.failure?.sinceMs : waitingSinceMs
  return since === undefined ? undefined : Math.max(since, movedAtMs)
}

function whyStill<P>({ status, pulse }: ProjectionFacts<P>): string {
  if (status.failure !== undefined) {
    return `it fails (${status.failure.stage}: ${errorName(status.error)}), and is tried again by itself`
  }
  const { dealtTo, lease } = status
  if (status.state === 'standby' && lease?.node === undefined && lease !== undefined)
    return 'no node has its lease'
  const elsewhere = whereDealt(dealtTo, lease)
  if (elsewhere !== undefined) {
    return `it is ${elsewhere}, and ${lease === undefined ? 'this node cannot tell whether that one runs' : 'does not move it'}`
  }
  if (status.state === 'standby') return 'another process has it, and does not move it'
  return STILL[pulse.waitsFor]
}

const STILL: Readonly<Record<Pulse['waitsFor'], string>> = {
  answer: 'a store does not answer',
  handler: 'its handler has not ended',
  timer: 'it waits for its next try',
  events: 'it has not noticed that events wait',
  nothing: 'its loop does not run',
}

function failureHealth<P>({ failure, error }: UnitStatus<P>): FailureHealth | undefined {
  if (failure === undefined) return undefined
  const { stage, batch, attempt, inARow, sinceMs, pausedSinceMs, nextTryAtMs, whatToDo } = failure
  return {
    stage,
    error: errorName(error),
    batch,
    attempt,
    inARow,
    sinceMs,
    pausedSinceMs,
    nextTryAtMs,
    whatToDo,
  }
}
