import { hasCode } from '../kernel/errors.ts'
import type { Decision, PendingRequest } from '../ports/control.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'
import type { Role } from '../ports/stored-unit.ts'
import { appendSpan } from '../reading/append-span.ts'
import { paceMs } from '../rebuild/pace.ts'
import { afterFailure } from './after-failure.ts'
import { PastBound } from './bound.ts'
import type { Context, Input, InputKind, Report, Step } from './commands.ts'
import { policyOf } from './policy-of.ts'
import {
  end,
  finish,
  followTo,
  handOver,
  hold,
  isPausedForGood,
  proceed,
  standBy,
  withoutNextTry,
} from './proceed.ts'
import {
  attempting,
  blamingNone,
  entered,
  followDueInMs,
  isInTrouble,
  movedTo,
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

/** The same step, with a report before its other commands. */
const telling = <P, E>({ standing, commands }: Step<P, E>, report: Report<P>): Step<P, E> => ({
  standing,
  commands: [{ kind: 'report', report }, ...commands],
})

export const granted: Transition<'granted'> = (standing, _, context) =>
  proceed({ ...standing, right: 'held' }, context)

/** Whatever is at hand is answered first. */
export const revokedAtWork: Transition<'revoked'> = (standing) =>
  // What is recalled is given back all the same.
  stay(standing.right === 'recalled' ? standing : { ...standing, right: 'lost' })

export const revoked: Transition<'revoked'> = (standing, _, context) =>
  proceed({ ...standing, right: 'lost' }, context)

export const recalledAtWork: Transition<'recalled'> = (standing) =>
  stay(standing.right === 'held' ? { ...standing, right: 'recalled' } : standing)

export const recalled: Transition<'recalled'> = (standing, _, context) =>
  standing.right === 'held' ? proceed({ ...standing, right: 'recalled' }, context) : stay(standing)

/** What was paused until a restart, or by an operator, stays so: elsewhere too it would wait for somebody. */
export const recalledAtPause: Transition<'recalled'> = (standing, input, context) => {
  if (isTriedAgain(standing)) return recalled(standing, input, context)
  const isToReturn = standing.stopping === 'no' && standing.right === 'held'
  return isToReturn ? hold({ ...standing, right: 'recalled' }) : stay(standing)
}

export const opened: Transition<'opened'> = (
  standing,
  { checkpoint, role, furthest, bound, incarnation },
  context,
) =>
  proceed(
    withCheckpoint({ ...standing, role, furthest, bound }, context.order, checkpoint, incarnation),
    context,
  )

export const openedOfAnother: Transition<'opened'> = (
  standing,
  { checkpoint, role, furthest, bound, incarnation },
  { order },
) => ({
  standing: entered(
    withCheckpoint({ ...standing, role, furthest, bound }, order, checkpoint, incarnation),
    'unowned',
  ),
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
  const { batchSize } = policyOf(standing, context)
  const passed = mendingNext(recovered(movedTo(standing, context.order, to, { events: 0, batchSize })))
  // While there is always something to load, the checkpoint follows here.
  if (followDueInMs(passed, context.order, context.nowMs) === 0) return followTo(passed, to, evidence)
  return proceed(passed, context)
}

export const applied: Transition<'applied'> = <P, E>(
  standing: Standing<P>,
  {
    skipped,
    suspectedLimit,
    parked = 0,
    isBuried = true,
  }: Extract<Input<P, E>, { readonly kind: 'applied' }>,
  context: Context<P>,
): Step<P, E> => {
  const { moving } = standing
  if (moving === undefined) return stay<P, E>(standing)
  const { to, page, burial } = moving
  const { batchSize, maxEventsPerSecond } = policyOf(standing, context)
  const moved = movedTo(standing, context.order, to, { events: page?.events ?? 0, batchSize })
  const goesOn = proceed<P, E>(
    recovered({
      // A checkpoint that follows empty pages may still stand below the event that failed.
      ...(page || burial ? blamingNone(moved) : { ...moved, failuresInARow: 0 }),
      letters: mendingNext(standing).letters,
      checkpoint: { position: to, skipped },
      checkpointedAtMs: context.nowMs,
      hasPassed: standing.hasPassed || page !== undefined,
      moving: undefined,
      suspectedLimit,
      isDared: false,
      handledEvents: standing.handledEvents + (page?.events ?? 0) - parked,
      pacedUntilMs: context.nowMs + paceMs(page?.events ?? 0, maxEventsPerSecond),
      oldestAppendedAtMs: page ? page.lastAppendedAtMs : standing.oldestAppendedAtMs,
    }),
    context,
  )
  if (parked > 0) return telling(goesOn, { kind: 'parked', events: parked })
  return burial === undefined || !isBuried ? goesOn : telling(goesOn, { kind: 'buried', burial })
}

export const retried: Transition<'retried'> = <P, E>(
  standing: Standing<P>,
  { isMore, failure, letter }: Extract<Input<P, E>, { readonly kind: 'retried' }>,
  context: Context<P>,
): Step<P, E> => {
  const letters = isMore ? standing.letters : 'none'
  const failuresInARow = standing.pause === undefined ? 0 : standing.failuresInARow
  const goesOn = proceed<P, E>(recovered({ ...standing, letters, failuresInARow }), context)
  if (letter !== undefined) return telling(goesOn, { kind: 'letter_retried', letter })
  return failure === undefined ? goesOn : telling(goesOn, { kind: 'retry_failed', failure })
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
  if (standing.right === 'recalled') return handOver(unsure)
  if (work.error instanceof PastBound) return proceed(unsure, context)
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

/** The same object where it is bound as before. */
function boundBy<P>(standing: Standing<P>, bound: P | undefined, order: PositionOrder<P>): Standing<P> {
  const { bound: before } = standing
  const isSame = isReached(order, before, bound) && isReached(order, bound, before)
  return isSame ? standing : { ...standing, bound }
}

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
  { pausedBy, role, bound, isNews, isRetryAsked, asked },
  { order },
) => {
  const known = boundBy(withRole(standing, role), bound, order)
  const told = askedFor(retryAskedFor(known, isRetryAsked), asked)
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
  { pausedBy, role, bound, isNews, isRetryAsked, asked },
  context,
) => {
  const known = boundBy(withRole(before, role), bound, context.order)
  const standing = askedFor(retryAskedFor(known, isRetryAsked), asked)
  if (standing.stopping !== 'no') return stay(standing)
  const after = wanted(standing, pausedBy)
  const isAsBefore = after === standing && (pausedBy !== undefined || !isNews)
  if (isAsBefore) {
    const isToMove = standing.bound !== before.bound && standing.phase === 'following'
    const isToDo = standing.isAskedDue || isToMove || (isRetryAsked && isIdle(standing))
    return isToDo ? proceed(standing, context) : stay(standing)
  }
  if (pausedBy !== undefined) return proceed(after, context)
  return proceed(triedAnew(after, context.nowMs), context)
}

/** Nothing counts against what comes, and the checkpoint is read again. */
function triedAnew<P>(standing: Standing<P>, nowMs: number): Standing<P> {
  return { ...triedNow(blamingNone(standing), nowMs), isCheckpointRead: false }
}

/** What was paused until a restart stays so, unless the request has changed where it stands. */
export const fulfilled: Transition<'fulfilled'> = <P, E>(
  standing: Standing<P>,
  { unit, buried }: Extract<Input<P, E>, { readonly kind: 'fulfilled' }>,
  context: Context<P>,
): Step<P, E> => {
  if (unit === undefined) {
    return isPausedForGood(standing) && standing.stopping === 'no'
      ? hold(standing)
      : proceed(standing, context)
  }
  const changed = {
    ...standing,
    ...unit,
    cursor: unit.checkpoint.position,
    narrowed: undefined,
    asked: undefined,
    isAskedDue: false,
    oldestAppendedAtMs: undefined,
  }
  const goesOn = proceed<P, E>(triedAnew(changed, context.nowMs), context)
  return buried === undefined ? goesOn : telling(goesOn, { kind: 'buried', burial: buried })
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
