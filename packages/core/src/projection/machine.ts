import type { Command, Context, Input, InputKind, Report, Step } from './commands.ts'
import { NOT_STARTED, type Phase, type Standing, toldState } from './standing.ts'
import {
  applied,
  desired,
  desiredAtStandby,
  desiredAtWork,
  dueAtPause,
  failed,
  fulfilled,
  goOn,
  granted,
  loaded,
  opened,
  openedOfAnother,
  recalled,
  recalledAtPause,
  recalledAtWork,
  retried,
  revoked,
  revokedAtPause,
  revokedAtWork,
  stay,
  stopAtEnd,
  stopAtRest,
  stopAtWork,
  suspected,
  type Transition,
} from './transitions.ts'

type AnyTransition = <P, E>(standing: Standing<P>, input: Input<P, E>, context: Context<P>) => Step<P, E>

/** The first step of a projection. */
export function begin<P, E>(isStandby = false): Step<P, E> {
  const shows = isStandby ? 'standby' : 'catching_up'
  const begun: Standing<P> = { ...NOT_STARTED, phase: 'unowned', shows }
  return {
    standing: begun,
    commands: [{ kind: 'report', report: { kind: 'state', state: begun.shows } }, { kind: 'acquire' }],
  }
}

/** What follows from one input. Pure. Reports stand before the other commands. */
export function next<P, E>(before: Standing<P>, input: Input<P, E>, context: Context<P>): Step<P, E> {
  const { reading } = context
  const from =
    reading && before.startedAt === undefined ? { ...before, startedAt: { head: reading.head } } : before
  const transition = TABLE[before.phase][input.kind] as AnyTransition
  const { standing, commands } = transition(from, input, context)
  const reports = commands.filter(({ kind }) => kind === 'report')
  const others = commands.filter(({ kind }) => kind !== 'report')
  return { standing, commands: [...reports, ...changes<P, E>(before, standing, context), ...others] }
}

/** What operators are told of a step, whatever led to it. */
function changes<P, E>(
  before: Standing<P>,
  after: Standing<P>,
  { order }: Pick<Context<P>, 'order'>,
): Command<P, E>[] {
  const told: Report<P>[] = []
  if (before.failure !== undefined && after.failure === undefined) {
    told.push({ kind: 'over', isWorking: after.shows !== 'standby' })
  }
  if (after.pausedBy !== before.pausedBy) {
    const { pausedBy } = after
    told.push(pausedBy === undefined ? { kind: 'resumed' } : { kind: 'paused_by', decision: pausedBy })
  }
  const state = toldState(after, order)
  if (toldState(before, order) !== state) told.push({ kind: 'state', state })
  return told.map((report) => ({ kind: 'report', report }))
}

type Row = { readonly [K in InputKind]: Transition<K> }

const TABLE: Readonly<Record<Phase, Row>> = {
  unowned: {
    reading: stay,
    granted,
    revoked: stay,
    recalled: stay,
    opened: openedOfAnother,
    loaded: stay,
    applied: stay,
    retried: stay,
    suspected: stay,
    failed,
    due: stay,
    desired: desiredAtStandby,
    fulfilled: stay,
    stop: stopAtWork,
  },
  opening: {
    reading: stay,
    granted: stay,
    revoked: revokedAtWork,
    recalled: recalledAtWork,
    opened,
    loaded: stay,
    applied: stay,
    retried: stay,
    suspected: stay,
    failed,
    due: stay,
    desired: desiredAtWork,
    fulfilled: stay,
    stop: stopAtWork,
  },
  following: {
    reading: goOn,
    granted: stay,
    revoked,
    recalled,
    opened: stay,
    loaded: stay,
    applied: stay,
    retried: stay,
    suspected: stay,
    failed: stay,
    due: goOn,
    desired,
    fulfilled: stay,
    stop: stopAtRest,
  },
  loading: {
    reading: stay,
    granted: stay,
    revoked: revokedAtWork,
    recalled: recalledAtWork,
    opened: stay,
    loaded,
    applied: stay,
    retried: stay,
    suspected: stay,
    failed,
    due: stay,
    desired: desiredAtWork,
    fulfilled: stay,
    stop: stopAtWork,
  },
  applying: {
    reading: stay,
    granted: stay,
    revoked: revokedAtWork,
    recalled: recalledAtWork,
    opened: stay,
    loaded: stay,
    applied,
    suspected,
    retried: stay,
    failed,
    due: stay,
    desired: desiredAtWork,
    fulfilled: stay,
    stop: stopAtWork,
  },
  mending: {
    reading: stay,
    granted: stay,
    revoked: revokedAtWork,
    recalled: recalledAtWork,
    opened: stay,
    loaded: stay,
    applied: stay,
    suspected: stay,
    retried,
    failed,
    due: stay,
    desired: desiredAtWork,
    fulfilled: stay,
    stop: stopAtWork,
  },
  fulfilling: {
    reading: stay,
    granted: stay,
    revoked: revokedAtWork,
    recalled: recalledAtWork,
    opened: stay,
    loaded: stay,
    applied: stay,
    retried: stay,
    suspected: stay,
    failed: stay,
    due: stay,
    desired: desiredAtWork,
    fulfilled,
    stop: stopAtWork,
  },
  resting: {
    reading: stay,
    granted: stay,
    revoked,
    recalled,
    opened: stay,
    loaded: stay,
    applied: stay,
    retried: stay,
    suspected: stay,
    failed: stay,
    due: goOn,
    desired,
    fulfilled: stay,
    stop: stopAtRest,
  },
  paused: {
    reading: stay,
    granted: stay,
    revoked: revokedAtPause,
    recalled: recalledAtPause,
    opened: stay,
    loaded: stay,
    applied: stay,
    retried: stay,
    suspected: stay,
    failed: stay,
    due: dueAtPause,
    desired,
    fulfilled: stay,
    stop: stopAtEnd,
  },
  stopped: {
    reading: stay,
    granted: stay,
    revoked: stay,
    recalled: stay,
    opened: stay,
    loaded: stay,
    applied: stay,
    retried: stay,
    suspected: stay,
    failed: stay,
    due: stay,
    desired: stay,
    fulfilled: stay,
    stop: stopAtEnd,
  },
}
