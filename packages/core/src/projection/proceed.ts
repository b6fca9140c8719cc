import type { PendingRequest } from '../ports/control.ts'
import type { Evidence, HighWaterReading } from '../ports/event-source.ts'
import { isReached } from '../ports/position.ts'
import { upTo } from './bound.ts'
import type { Context, Step } from './commands.ts'
import { policyOf, upToItsEnd } from './policy-of.ts'
import { skipAsked } from './skip-asked.ts'
import { attempting, blamingNone, entered, followDueInMs, pageLimit, type Standing } from './standing.ts'

/** The next thing to do, once nothing is at hand. */
export function proceed<P, E>(standing: Standing<P>, context: Context<P>): Step<P, E> {
  const { nowMs, order, isDealtElsewhere = false } = context
  const reading = context.reading && upTo(order, context.reading, standing.bound)
  if (standing.stopping !== 'no') return finish(standing, context)
  const { asked, isAskedDue, pausedBy, right } = standing
  const isStill = pausedBy !== undefined || isPausedForGood(standing)
  const isAskedOfThis = !isDealtElsewhere && isAskedDue && (isStill || right === 'held')
  if (asked !== undefined && isAskedOfThis) {
    const fulfilling = fulfil<P, E>(standing, asked, context)
    if (fulfilling !== undefined) return fulfilling
    // Nothing but the request would try it again.
    if (isPausedForGood(standing)) return hold(standing)
  }
  if (standing.pausedBy !== undefined) return hold(standing)
  if (standing.right === 'lost') return standBy(standing)
  if (standing.right === 'recalled') return handOver(standing)
  if (standing.right === 'none')
    return { standing: attempting(standing, 'unowned'), commands: [{ kind: 'acquire' }] }
  if (reading && !(standing.isCheckpointRead && reading.incarnation === standing.cursorIncarnation)) {
    const { incarnation } = reading
    return {
      standing: attempting(standing, 'opening'),
      commands: [{ kind: 'open', incarnation, head: standing.startedAt?.head }],
    }
  }
  const isMending = standing.letters === 'none' ? undefined : mending<P, E>(standing, reading)
  if (isMending && standing.letters === 'now') return isMending
  if (reading?.mark === undefined || isReached(order, reading.mark, standing.cursor)) {
    return isMending ?? follow(standing, context)
  }
  const paused = stillPaused(standing)
  const pausedForMs = (paused.pause?.failure.nextTryAtMs ?? 0) - nowMs
  if (pausedForMs > 0 && isMending) return isMending
  if (pausedForMs > 0) {
    return { standing: entered(paused, 'paused', paused), commands: [{ kind: 'wait', ms: pausedForMs }] }
  }
  const policy = policyOf(standing, context)
  const pacedForMs = policy.isOfReplay ? standing.pacedUntilMs - nowMs : 0
  if (pacedForMs > 0) {
    const waiting = {
      standing: attempting(paused, 'following'),
      commands: [{ kind: 'wait', ms: pacedForMs }],
    } as const
    return isMending ?? waiting
  }
  const limit = pageLimit(standing, policy.batchSize)
  return {
    standing: attempting(paused, 'loading'),
    commands: [
      { kind: 'load', after: standing.cursor, reading: upToItsEnd(reading, standing, context), limit },
    ],
  }
}

/** Retries one dead letter. `undefined`: nothing says which events are there, or none was ever passed. */
function mending<P, E>(
  standing: Standing<P>,
  reading: HighWaterReading<P> | undefined,
): Step<P, E> | undefined {
  const at = standing.checkpoint?.position
  if (at === undefined || reading?.mark === undefined) return undefined
  return {
    standing: attempting({ ...standing, letters: 'after_batch' }, 'mending'),
    commands: [{ kind: 'retry', at, reading }],
  }
}

/** Whether it comes to anything or not, the next look tells what is still asked for. `undefined`: it has to work first. */
function fulfil<P, E>(
  standing: Standing<P>,
  request: PendingRequest,
  context: Context<P>,
): Step<P, E> | undefined {
  const isSkip = request.operation === 'skip'
  const skip = isSkip ? skipAsked(standing, request, context) : undefined
  if (isSkip && skip === undefined) return undefined
  const incarnation = context.reading?.incarnation ?? standing.cursorIncarnation
  return {
    standing: attempting({ ...standing, isAskedDue: false, moving: undefined }, 'fulfilling'),
    commands: [{ kind: 'fulfil', request, incarnation, skip }],
  }
}

/** Nothing is asked for until an operator resumes it. */
export function hold<P, E>(standing: Standing<P>): Step<P, E> {
  const right = standing.right === 'held' ? 'held' : 'none'
  const held = { ...withoutNextTry(standing), right, moving: undefined } as const
  const commands = standing.right === 'recalled' ? [{ kind: 'release' } as const] : []
  return { standing: attempting(held, 'paused'), commands }
}

/** Another owner had the right meanwhile, and has not passed the event either. */
function stillPaused<P>(standing: Standing<P>): Standing<P> {
  const { pause, failure } = standing
  if (pause === undefined || failure !== undefined) return standing
  return { ...standing, shows: 'paused', error: pause.error, failure: pause.failure }
}

/** Nothing to load: moves the checkpoint up to the cursor now and then, and waits for a new mark. */
function follow<P, E>(standing: Standing<P>, { nowMs, order, reading }: Context<P>): Step<P, E> {
  const idle =
    standing.oldestAppendedAtMs === undefined ? standing : { ...standing, oldestAppendedAtMs: undefined }
  if (reading === undefined) return { standing: attempting(idle, 'following'), commands: [] }
  const ms = followDueInMs(standing, order, nowMs)
  if (ms === 0 && standing.cursor !== undefined) return followTo(idle, standing.cursor, reading)
  const blameless = blamingNone(idle)
  // At a bound there is more to come.
  const isAtMark = isReached(order, reading.mark, standing.cursor)
  return {
    standing: isAtMark ? entered(blameless, 'following') : attempting(blameless, 'following'),
    commands: ms === undefined ? [] : [{ kind: 'wait', ms }],
  }
}

export function followTo<P, E>(standing: Standing<P>, to: P, evidence: Evidence<P>): Step<P, E> {
  return {
    standing: attempting({ ...standing, moving: { to, page: undefined } }, 'applying'),
    commands: [{ kind: 'checkpoint', from: standing.checkpoint?.position, to, evidence }],
  }
}

export function standBy<P, E>(standing: Standing<P>): Step<P, E> {
  return {
    standing: withoutRight(standing),
    commands: [{ kind: 'report', report: { kind: 'conflict' } }, { kind: 'acquire' }],
  }
}

export function handOver<P, E>(standing: Standing<P>): Step<P, E> {
  return { standing: withoutRight(standing), commands: [{ kind: 'release' }, { kind: 'acquire' }] }
}

function withoutRight<P>(standing: Standing<P>): Standing<P> {
  const without = {
    ...standing,
    right: 'none',
    failuresInARow: 0,
    isCheckpointRead: false,
    moving: undefined,
    isAskedDue: false,
  } as const
  return entered(without, 'unowned')
}

/** The end, after one more checkpoint: it saves the next start from looking again at what the filter leaves out. */
export function finish<P, E>(standing: Standing<P>, { nowMs, order, reading }: Context<P>): Step<P, E> {
  const { stopping, right, isCheckpointRead, cursor, cursorIncarnation, pausedBy } = standing
  const isBehindCursor =
    right === 'held' &&
    pausedBy === undefined &&
    isCheckpointRead &&
    followDueInMs(standing, order, nowMs) !== undefined
  if (stopping === 'draining' && isBehindCursor && cursor !== undefined) {
    if (reading?.incarnation === cursorIncarnation && reading !== undefined)
      return followTo(standing, cursor, reading)
  }
  return end(standing)
}

export const withoutNextTry = <P>(standing: Standing<P>): Standing<P> =>
  standing.failure?.nextTryAtMs === undefined
    ? standing
    : { ...standing, failure: { ...standing.failure, nextTryAtMs: undefined } }

export function end<P, E>(standing: Standing<P>): Step<P, E> {
  const ended = withoutNextTry(standing)
  return { standing: entered(ended, 'stopped', ended), commands: [{ kind: 'end' }] }
}

export const isPausedForGood = ({ pause, failure }: Standing<unknown>): boolean =>
  pause !== undefined && failure !== undefined && failure.nextTryAtMs === undefined
