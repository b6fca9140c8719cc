import { hasCode } from '../kernel/errors.ts'
import type { Decision, PendingRequest } from '../ports/control.ts'
import type { Evidence, HighWaterReading } from '../ports/event-source.ts'
import { isReached } from '../ports/position.ts'
import type { Role } from '../ports/stored-unit.ts'
import { appendSpan } from '../reading/append-span.ts'
import { afterFailure } from './after-failure.ts'
import type { Context, Input, InputKind, Step } from './commands.ts'
import {
  attempting,
  blamingNone,
  entered,
  followDueInMs,
  isInTrouble,
  movedTo,
  pageLimit,
  recovered,
  type Standing,
  withCheckpoint,
} from './standing.ts'

export type Transition<K extends InputKind> = <P, E>(
  standing: Standing<P>,
  input: Extract<Input<P, E>, { readonly kind: K }>,
  context: Context<P>,
) => Step<P, E>

/** Nothing was asked for that this could answer, or what it says is looked at later. */
export const stay = <P, E>(standing: Standing<P>): Step<P, E> => ({ standing, commands: [] })

/** The next thing to do, once nothing is at hand. */
function proceed<P, E>(standing: Standing<P>, context: Context<P>): Step<P, E> {
  const { nowMs, order, reading, policy } = context
  if (standing.stopping !== 'no') return finish(standing, context)
  const { asked, isAskedDue, pausedBy, right } = standing
  const isStill = pausedBy !== undefined || isPausedForGood(standing)
  const isAskedOfThis = isAskedDue && (isStill || right === 'held')
  if (asked !== undefined && isAskedOfThis) return fulfil(standing, asked, context)
  if (standing.pausedBy !== undefined) return hold(standing)
  if (standing.right === 'lost') return standBy(standing)
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
  const limit = pageLimit(standing, policy.batchSize)
  return {
    standing: attempting(paused, 'loading'),
    commands: [{ kind: 'load', after: standing.cursor, reading, limit }],
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

/** Whether it comes to anything or not, the next look tells what is still asked for. */
function fulfil<P, E>(standing: Standing<P>, request: PendingRequest, { reading }: Context<P>): Step<P, E> {
  const incarnation = reading?.incarnation ?? standing.cursorIncarnation
  return {
    standing: attempting({ ...standing, isAskedDue: false, moving: undefined }, 'fulfilling'),
    commands: [{ kind: 'fulfil', request, incarnation }],
  }
}

/** Nothing is asked for until an operator resumes it. */
function hold<P, E>(standing: Standing<P>): Step<P, E> {
  const right = standing.right === 'lost' ? 'none' : standing.right
  const held = { ...withoutNextTry(standing), right, moving: undefined }
  return { standing: attempting(held, 'paused'), commands: [] }
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
  return {
    standing: entered(blamingNone(idle), 'following'),
    commands: ms === undefined ? [] : [{ kind: 'wait', ms }],
  }
}

function followTo<P, E>(standing: Standing<P>, to: P, evidence: Evidence<P>): Step<P, E> {
  return {
    standing: attempting({ ...standing, moving: { to, page: undefined } }, 'applying'),
    commands: [{ kind: 'checkpoint', from: standing.checkpoint?.position, to, evidence }],
  }
}

function standBy<P, E>(standing: Standing<P>): Step<P, E> {
  const lost = {
    ...standing,
    right: 'none',
    failuresInARow: 0,
    isCheckpointRead: false,
    moving: undefined,
    isAskedDue: false,
  } as const
  return {
    standing: entered(lost, 'unowned'),
    commands: [{ kind: 'report', report: { kind: 'conflict' } }, { kind: 'acquire' }],
  }
}

/** The end, after one more checkpoint: it saves the next start from looking again at what the filter leaves out. */
function finish<P, E>(standing: Standing<P>, { nowMs, order, reading }: Context<P>): Step<P, E> {
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

const withoutNextTry = <P>(standing: Standing<P>): Standing<P> =>
  standing.failure?.nextTryAtMs === undefined
    ? standing
    : { ...standing, failure: { ...standing.failure, nextTryAtMs: undefined } }

function end<P, E>(standing: Standing<P>): Step<P, E> {
  const ended = withoutNextTry(standing)
  return { standing: entered(ended, 'stopped', ended), commands: [{ kind: 'end' }] }
}

export const granted: Transition<'granted'> = (standing, _, context) =>
  proceed({ ...standing, right: 'held' }, context)

/** Whatever is at hand is answered first. */
export const revokedAtWork: Transition<'revoked'> = (standing) => ({
  standing: { ...standing, right: 'lost' },
  commands: [],
})

export const revoked: Transition<'revoked'> = (standing, _, context) =>
  proceed({ ...standing, right: 'lost' }, context)

export const opened: Transition<'opened'> = (standing, { checkpoint, role, incarnation }, context) =>
  proceed(withCheckpoint({ ...standing, role }, context.order, checkpoint, incarnation), context)

export const openedOfAnother: Transition<'opened'> = (
  standing,
  { checkpoint, role, incarnation },
  { order },
) => ({
  standing: entered(withCheckpoint({ ...standing, role }, order, checkpoint, incarnation), 'unowned'),
  commands: [],
})

export const loaded: Transition<'loaded'> = (standing, { page }, context) => {
  if (standing.stopping !== 'no' || standing.right !== 'held') return proceed(standing, context)
  if (standing.pausedBy !== undefined) return proceed(standing, context)
  const { through: to, events, positions, evidence } = page
  if (events.length > 0) {
    const { firstMs, lastMs } = appendSpan(page)
    const first = positions[0]
    const last = positions.at(-1)
    const extent =
      first === undefined || last === undefined ? undefined : { events: events.length, first, last }
    const moving = { to, page: { events: events.length, extent, evidence, lastAppendedAtMs: lastMs } }
    const handling = { ...standing, moving, oldestAppendedAtMs: firstMs }
    return {
      standing: isInTrouble(standing) ? attempting(handling, 'applying') : entered(handling, 'applying'),
      commands: [{ kind: 'apply', from: standing.checkpoint?.position, page }],
    }
  }
  const { batchSize } = context.policy
  const passed = mendingNext(recovered(movedTo(standing, context.order, to, { events: 0, batchSize })))
  // While there is always something to load, the checkpoint follows here.
  if (followDueInMs(passed, context.order, context.nowMs) === 0) return followTo(passed, to, evidence)
  return proceed(passed, context)
}

export const applied: Transition<'applied'> = <P, E>(
  standing: Standing<P>,
  { skipped, suspectedLimit, parked = 0 }: Extract<Input<P, E>, { readonly kind: 'applied' }>,
  context: Context<P>,
): Step<P, E> => {
  const { moving } = standing
  if (moving === undefined) return stay<P, E>(standing)
  const { to, page, burial } = moving
  const { batchSize } = context.policy
  const moved = movedTo(standing, context.order, to, { events: page?.events ?? 0, batchSize })
  const goesOn = proceed<P, E>(
    recovered({
      // A checkpoint that follows empty pages may still stand below the event that failed.
      ...(page || burial ? blamingNone(moved) : { ...moved, failuresInARow: 0 }),
      letters: mendingNext(standing).letters,
      checkpoint: { position: to, skipped },
      checkpointedAtMs: context.nowMs,
      moving: undefined,
      suspectedLimit,
      isDared: false,
      handledEvents: standing.handledEvents + (page?.events ?? 0) - parked,
      oldestAppendedAtMs: page ? page.lastAppendedAtMs : standing.oldestAppendedAtMs,
    }),
    context,
  )
  const { standing: next, commands } = goesOn
  if (parked > 0) {
    const report = { kind: 'parked', events: parked } as const
    return { standing: next, commands: [{ kind: 'report', report }, ...commands] }
  }
  if (burial === undefined) return goesOn
  return { standing: next, commands: [{ kind: 'report', report: { kind: 'buried', burial } }, ...commands] }
}

export const retried: Transition<'retried'> = <P, E>(
  standing: Standing<P>,
  { isMore, failure }: Extract<Input<P, E>, { readonly kind: 'retried' }>,
  context: Context<P>,
): Step<P, E> => {
  const letters = isMore ? standing.letters : 'none'
  const failuresInARow = standing.pause === undefined ? 0 : standing.failuresInARow
  const goesOn = proceed<P, E>(recovered({ ...standing, letters, failuresInARow }), context)
  if (failure === undefined) return goesOn
  const { standing: next, commands } = goesOn
  return {
    standing: next,
    commands: [{ kind: 'report', report: { kind: 'retry_failed', failure } }, ...commands],
  }
}

/** A batch has had its turn. */
const mendingNext = <P>(standing: Standing<P>): Standing<P> =>
  standing.letters === 'after_batch' ? { ...standing, letters: 'now' } : standing

/** Nothing was handled: the page is loaded again, with fewer events. */
export const suspected: Transition<'suspected'> = (standing, { limit }, context) =>
  proceed({ ...standing, moving: undefined, suspectedLimit: limit }, context)

export const failed: Transition<'failed'> = (standing, work, context) => {
  // Letters that are asked for are seen again at the next look.
  const unasked: typeof standing = { ...standing, letters: 'none' }
  // The checkpoint has to be read again: a commit whose answer was lost may have moved it.
  const unsure = { ...unasked, isCheckpointRead: false, moving: undefined }
  if (standing.stopping !== 'no') return standing.moving ? end(unsure) : finish(standing, context)
  const isRefused = hasCode(work.error, 'TIDEMARK_PROJECTION_PAUSED')
  const pausedBy = isRefused ? decisionOf(work.error) : standing.pausedBy
  // Whatever has failed is tried anew when it is resumed; that a handler has committed by itself is told all the same.
  const isToBeTold = hasCode(work.error, 'TIDEMARK_HANDLER_ENDED_TRANSACTION')
  if (pausedBy !== undefined && !isToBeTold) return proceed(wanted(unsure, pausedBy), context)
  if (standing.right === 'lost') return standBy(unsure)
  return afterFailure(unsure, { ...work, moving: standing.moving }, context)
}

/** What was paused until a restart, or has been stopped meanwhile, stays. */
const isTriedAgain = ({ stopping, failure }: Standing<unknown>): boolean =>
  stopping === 'no' && failure?.nextTryAtMs !== undefined

export const dueAtPause: Transition<'due'> = (standing, _, context) =>
  isTriedAgain(standing) ? proceed(standing, context) : stay(standing)

export const revokedAtPause: Transition<'revoked'> = (standing, _, context) => {
  if (isTriedAgain(standing)) return proceed({ ...standing, right: 'lost' }, context)
  // An operator may let it go on.
  return stay(standing.stopping === 'no' ? { ...standing, right: 'none' } : standing)
}

function decisionOf(error: unknown): Decision {
  const { who, why, sinceMs } = error as Decision
  return { who, why, sinceMs }
}

/** The same object where it is what was wanted before. */
function wanted<P>(standing: Standing<P>, pausedBy: Decision | undefined): Standing<P> {
  const { pausedBy: before } = standing
  const isSame =
    before?.who === pausedBy?.who && before?.why === pausedBy?.why && before?.sinceMs === pausedBy?.sinceMs
  return isSame ? standing : { ...standing, pausedBy }
}

const withRole = <P>(standing: Standing<P>, role: Role | undefined): Standing<P> =>
  role === undefined || standing.role === role ? standing : { ...standing, role }

/** The same object where it is as it was before. */
function retryAskedFor<P>(standing: Standing<P>, isRetryAsked: boolean): Standing<P> {
  if (isRetryAsked === (standing.letters !== 'none')) return standing
  return { ...standing, letters: isRetryAsked ? 'after_batch' : 'none' }
}

/** The same object where nothing is asked for, as before. */
function askedFor<P>(standing: Standing<P>, asked: PendingRequest | undefined): Standing<P> {
  if (asked === undefined && standing.asked === undefined) return standing
  return { ...standing, asked, isAskedDue: asked !== undefined }
}

export const desiredAtWork: Transition<'desired'> = (
  standing,
  { pausedBy, role, isNews, isRetryAsked, asked },
) => {
  const told = askedFor(retryAskedFor(withRole(standing, role), isRetryAsked), asked)
  const after = wanted(told, pausedBy)
  return stay(isNews ? { ...after, isCheckpointRead: false } : after)
}

/** Whoever works on it does what was asked; where that has not come to anything by the next look, this node takes over. */
export const desiredAtStandby: Transition<'desired'> = (standing, input, context) => {
  const { standing: after } = desiredAtWork(standing, input, context)
  const isStillAsked = input.asked !== undefined && standing.asked?.id === input.asked.id
  return { standing: after, commands: isStillAsked ? [{ kind: 'hurry' }] : [] }
}

/** Whoever resumes it wants what failed to be tried again at once, and may have moved the checkpoint. */
export const desired: Transition<'desired'> = (
  before,
  { pausedBy, role, isNews, isRetryAsked, asked },
  context,
) => {
  const standing = askedFor(retryAskedFor(withRole(before, role), isRetryAsked), asked)
  if (standing.stopping !== 'no') return stay(standing)
  const after = wanted(standing, pausedBy)
  const isAsBefore = after === standing && (pausedBy !== undefined || !isNews)
  if (isAsBefore) {
    const isToDo = standing.isAskedDue || (isRetryAsked && isIdle(standing))
    return isToDo ? proceed(standing, context) : stay(standing)
  }
  if (pausedBy !== undefined) return proceed(after, context)
  return proceed(triedAnew(after, context.nowMs), context)
}

/** Nothing counts against what comes, and the checkpoint is read again. */
function triedAnew<P>(standing: Standing<P>, nowMs: number): Standing<P> {
  return { ...triedNow(blamingNone(standing), nowMs), isCheckpointRead: false }
}

const isPausedForGood = ({ pause, failure }: Standing<unknown>): boolean =>
  pause !== undefined && failure !== undefined && failure.nextTryAtMs === undefined

/** What was paused until a restart stays so, unless the request has changed where it stands. */
export const fulfilled: Transition<'fulfilled'> = (standing, { checkpoint }, context) => {
  if (checkpoint === undefined) {
    return isPausedForGood(standing) && standing.stopping === 'no'
      ? hold(standing)
      : proceed(standing, context)
  }
  const changed = {
    ...standing,
    checkpoint,
    cursor: checkpoint.position,
    narrowed: undefined,
    asked: undefined,
    isAskedDue: false,
    oldestAppendedAtMs: undefined,
  }
  return proceed(triedAnew(changed, context.nowMs), context)
}

/** Nothing is at hand, and what failed, if anything, is tried again later by itself. */
const isIdle = (standing: Standing<unknown>): boolean =>
  standing.pausedBy === undefined &&
  (standing.phase === 'following' || (standing.phase === 'paused' && isTriedAgain(standing)))

/** What failed is shown until it has passed, and is paused no more. */
function triedNow<P>(standing: Standing<P>, nowMs: number): Standing<P> {
  const { failure } = standing
  if (failure === undefined) return standing
  return {
    ...standing,
    shows: 'retrying',
    failure: { ...failure, pausedSinceMs: undefined, nextTryAtMs: nowMs },
  }
}

export const goOn = <P, E>(standing: Standing<P>, _: Input<P, E>, context: Context<P>): Step<P, E> =>
  proceed(standing, context)

const stopped = <P>(standing: Standing<P>, isLate: boolean): Standing<P> => ({
  ...standing,
  stopping: isLate ? 'late' : 'draining',
})

export const stopAtWork: Transition<'stop'> = (standing, { isLate }) => ({
  standing: stopped(standing, isLate),
  commands: [],
})

export const stopAtRest: Transition<'stop'> = (standing, { isLate }, context) =>
  finish(stopped(standing, isLate), context)

/** Also where it was never started. */
export const stopAtEnd: Transition<'stop'> = (standing, { isLate }) => ({
  standing: stopped(withoutNextTry(standing), isLate),
  commands: standing.stopping === 'no' ? [{ kind: 'end' }] : [],
})
