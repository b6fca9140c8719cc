import { backOffMs } from '../kernel/back-off.ts'
import { hasCode } from '../kernel/errors.ts'
import { type Command, type FailedPoll, FORGOT, type Step } from './lifecycle-commands.ts'
import { isFirstPoll, type Standing } from './lifecycle-standing.ts'

/** How often an agent that does nothing says so to the event loop. */
const HALTED_TURN_MS = 3_600_000
/** Keeps the process alive: a process that ends by itself looks as if its work was done. */
const STAY_ALIVE: Command<never> = { kind: 'wait', deafMs: HALTED_TURN_MS, apartMs: 0, longestMs: 0 }

/** A poll has failed. A first one that will not pass by itself refuses the start; the operator is there to see it. */
export function afterFailure<P>(standing: Standing<P>, { error, isTransient }: FailedPoll): Step<P> {
  const told: Command<P> = { kind: 'report', report: { kind: 'failed', error } }
  const isFirst = isFirstPoll(standing)
  const passes = isTransient || hasCode(error, 'TIDEMARK_INCARNATION_CHANGED')
  if (isFirst && !passes) {
    const step = refuse(standing, error)
    return { standing: step.standing, commands: [told, ...step.commands] }
  }
  if (!isFirst && hasCode(error, 'TIDEMARK_STORE_REWOUND')) return halt(standing, error, told)
  if (!isFirst && hasCode(error, 'TIDEMARK_LATE_EVENTS')) {
    // What was called proven was not: neither is it read any further, nor shown.
    const { standing: halted, commands } = halt({ ...standing, known: undefined }, error, told)
    return { standing: halted, commands: [...commands, FORGOT] }
  }
  const failuresInARow = standing.pace.failuresInARow + 1
  const wait: Command<P> = { kind: 'wait', deafMs: backOffMs(failuresInARow), apartMs: 0, longestMs: 0 }
  return {
    standing: {
      ...standing,
      phase: 'resting',
      shown: { state: 'failing', error },
      pace: { ...standing.pace, failuresInARow },
    },
    commands: isFirst ? [told, { kind: 'started' }, wait] : [told, wait],
  }
}

export function refuse<P>(standing: Standing<P>, error: unknown): Step<P> {
  return {
    standing: { ...standing, phase: 'stopped', shown: { state: 'stopped', error } },
    commands: [{ kind: 'refused', error }, { kind: 'end' }],
  }
}

function halt<P>(standing: Standing<P>, error: unknown, told: Command<P>): Step<P> {
  return {
    standing: { ...standing, phase: 'halted', shown: { state: 'halted', error } },
    commands: [told, { kind: 'report', report: { kind: 'halted', error } }, STAY_ALIVE],
  }
}

export function stayHalted<P>(standing: Standing<P>): Step<P> {
  return { standing, commands: [STAY_ALIVE] }
}
