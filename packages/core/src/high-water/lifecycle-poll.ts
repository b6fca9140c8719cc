import { hasCode } from '../kernel/errors.ts'
import type { HighWaterReading, StoredProgress } from '../ports/event-source.ts'
import { spacedToMs } from './cadence.ts'
import {
  type Command,
  type Context,
  FORGOT,
  type Input,
  type InputKind,
  type Step,
} from './lifecycle-commands.ts'
import { afterFailure } from './lifecycle-failure.ts'
import { paceAfter, rest } from './lifecycle-rest.ts'
import {
  hasMoved,
  isFirstPoll,
  isSaveDue,
  type Pace,
  type Phase,
  type Poll,
  type Standing,
} from './lifecycle-standing.ts'

export type Transition<K extends InputKind> = <P>(
  standing: Standing<P>,
  input: Extract<Input<P>, { readonly kind: K }>,
  context: Context<P>,
) => Step<P>

const BEGUN: Command<never> = { kind: 'report', report: { kind: 'begun' } }

export function beginPoll<P>(
  { shown, known, newest, doubted, poll, pace: before, saved }: Standing<P>,
  { cadence, nowMs }: Context<P>,
): Step<P> {
  const isDoubted = doubted !== undefined && doubted === known?.reading.incarnation
  const holds = isDoubted ? undefined : known
  const begun: Poll<P> = {
    number: poll.number + 1,
    before: known?.reading,
    run: holds?.run,
    isAnew: false,
    asksStored: false,
    reading: undefined,
  }
  const { phase, command } = ask(holds, newest, begun)
  const { failuresInARow, backOffMs, lastPollsMs } = before
  const spaced = spacedToMs(cadence, before.spacedToMs, nowMs)
  const pace: Pace = { failuresInARow, backOffMs, lastPollsMs, spacedToMs: spaced }
  return {
    // Written out, as below: to spread it takes ten times as long, and a model takes millions of steps.
    standing: { phase, shown, known: holds, newest, doubted: undefined, poll: begun, pace, saved },
    commands: isDoubted ? [BEGUN, FORGOT, command] : [BEGUN, command],
  }
}

/**
 * What a poll needs next. One that goes on from nothing opens the source, then reads the stored progress, then polls:
 * progress that is read earlier may be lost in a crash meanwhile.
 */
function ask<P>(
  known: Standing<P>['known'],
  newest: Standing<P>['newest'],
  { run }: Poll<P>,
  stored?: readonly StoredProgress<P>[],
): { readonly phase: Phase; readonly command: Command<P> } {
  if (run === undefined) return { phase: 'opening', command: { kind: 'open' } }
  const previous = known?.reading
  if (previous === undefined && stored === undefined) return RECALL
  const { opened: source, sharesLog } = run
  const former = previous === undefined ? newest : undefined
  const request = { previous, opened: source, sharesLog, stored, former }
  return { phase: 'reading', command: { kind: 'read', request } }
}

const RECALL = { phase: 'recalling', command: { kind: 'recall' } } as const

/** The poll at hand goes on. */
function goOn<P>(standing: Standing<P>, poll: Poll<P>, stored?: readonly StoredProgress<P>[]): Step<P> {
  const { shown, known, newest, doubted, pace, saved } = standing
  const { phase, command } = ask(known, newest, poll, stored)
  return {
    standing: { phase, shown, known, newest, doubted, poll, pace, saved },
    commands: [command],
  }
}

export const opened: Transition<'opened'> = (standing, { opened: source, sharesLog }) =>
  goOn(standing, { ...standing.poll, run: { opened: source, sharesLog } })

export const recalled: Transition<'recalled'> = (standing, { stored }) =>
  goOn(standing, standing.poll, stored)

/** Skipped runs are recorded before the reading that passed them is used. */
export const read: Transition<'read'> = (standing, { reading }, context) => {
  const { skipped } = reading
  if (skipped.length === 0) return accept(standing, reading, context)
  return {
    standing: { ...standing, phase: 'recording', poll: { ...standing.poll, reading } },
    commands: [{ kind: 'record', skipped }],
  }
}

export const recorded: Transition<'recorded'> = (standing, _, context) => {
  const { reading } = standing.poll
  return reading === undefined ? goOn(standing, standing.poll) : accept(standing, reading, context)
}

/** From here on projections read up to this mark. */
function accept<P>(standing: Standing<P>, reading: HighWaterReading<P>, context: Context<P>): Step<P> {
  const { doubted, poll, pace, saved: lastSaved } = standing
  const { order } = context
  if (poll.run === undefined) return goOn(standing, poll)
  const moved = hasMoved(order, poll.before, reading)
  const isSaving = context.savesSettled && isSaveDue(standing, reading, order, context.nowMs)
  const accepted: Standing<P> = {
    phase: isSaving ? 'saving' : 'resting',
    shown: { state: 'polling', error: undefined },
    known: { run: poll.run, reading, ofPoll: poll.number },
    newest: reading,
    doubted,
    poll,
    pace: isFirstPoll(standing) ? pace : paceAfter(pace, reading, { moved, isDone: !isSaving }, context),
    saved: lastSaved,
  }
  const told: Command<P> = { kind: 'report', report: { kind: 'polled', reading, moved } }
  const commands: Command<P>[] = isSaving
    ? [told, { kind: 'save', reading }]
    : [told, ...rest(accepted, context)]
  return { standing: accepted, commands }
}

export const saved: Transition<'saved'> = (standing, _, context) => {
  const { known, pace } = standing
  return {
    standing: {
      ...standing,
      phase: 'resting',
      pace: { ...pace, failuresInARow: 0 },
      saved: known && { reading: known.reading, atMs: context.nowMs },
    },
    commands: rest(standing, context),
  }
}

/**
 * A poll that saw another incarnation is thrown away: everything learned is dropped, progress is read again. Any other
 * failure drops nothing: the source compares incarnations when it is reached again.
 */
export const failedInSource: Transition<'failed'> = (standing, failure) => {
  const { known, poll } = standing
  if (hasCode(failure.error, 'TIDEMARK_INCARNATION_CHANGED') && !poll.isAnew) {
    const anew = { ...poll, run: undefined, isAnew: true }
    const { standing: asking, commands } = goOn({ ...standing, known: undefined }, anew)
    return { standing: asking, commands: [FORGOT, ...commands] }
  }
  const isNeeded = hasCode(failure.error, 'TIDEMARK_PROGRESS_NEEDED')
  if (isNeeded && known !== undefined && !poll.asksStored) {
    const asking = { ...standing, phase: RECALL.phase, poll: { ...poll, asksStored: true } }
    return { standing: asking, commands: [RECALL.command] }
  }
  return afterFailure(standing, failure)
}
