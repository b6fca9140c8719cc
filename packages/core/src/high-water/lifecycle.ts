import type { Context, Input, InputKind, Step } from './lifecycle-commands.ts'
import { afterFailure, refuse, stayHalted } from './lifecycle-failure.ts'
import {
  beginPoll,
  failedInSource,
  opened,
  read,
  recalled,
  recorded,
  saved,
  type Transition,
} from './lifecycle-poll.ts'
import type { Phase, Standing } from './lifecycle-standing.ts'

type AnyTransition = <P>(standing: Standing<P>, input: Input<P>, context: Context<P>) => Step<P>

/** What follows from one input for a high-water agent. Pure. Of the commands that are answered, one is at hand at most. */
export function next<P>(standing: Standing<P>, input: Input<P>, context: Context<P>): Step<P> {
  return (TABLE[standing.phase][input.kind] as AnyTransition)(standing, input, context)
}

/** Nothing was asked for that this could answer. */
const stay = <P>(standing: Standing<P>): Step<P> => ({ standing, commands: [] })

const start: Transition<'start'> = (standing) => ({
  standing: { ...standing, phase: 'starting', shown: { state: 'polling', error: undefined } },
  commands: [{ kind: 'prepare' }],
})

const begin = <P>(standing: Standing<P>, _: Input<P>, context: Context<P>): Step<P> =>
  beginPoll(standing, context)

const refused: Transition<'failed'> = (standing, { error }) => refuse(standing, error)

const failed: Transition<'failed'> = (standing, failure) => afterFailure(standing, failure)

/** Looked at when the next poll begins. */
const doubted: Transition<'doubted'> = (standing, { incarnation }) => ({
  standing: { ...standing, doubted: incarnation },
  commands: [],
})

const stop = <P>(standing: Standing<P>): Step<P> => ({
  standing: { ...standing, phase: 'stopped', shown: { state: 'stopped', error: standing.shown.error } },
  commands: [{ kind: 'end' }],
})

const stopAtWork = <P>(standing: Standing<P>): Step<P> => ({
  standing: { ...standing, phase: 'stopping' },
  commands: [],
})

type Row = { readonly [K in InputKind]: Transition<K> }

const REST: Row = {
  start: stay,
  prepared: stay,
  opened: stay,
  recalled: stay,
  read: stay,
  recorded: stay,
  saved: stay,
  failed: stay,
  due: stay,
  doubted,
  stop,
  given_up: stay,
}

const WORK: Row = { ...REST, failed, stop: stopAtWork }

const TABLE: Readonly<Record<Phase, Row>> = {
  idle: { ...REST, start },
  starting: { ...REST, prepared: begin, failed: refused },
  opening: { ...WORK, opened, failed: failedInSource },
  recalling: { ...WORK, recalled, failed: failedInSource },
  reading: { ...WORK, read, failed: failedInSource },
  recording: { ...WORK, recorded },
  saving: { ...WORK, saved },
  resting: { ...REST, due: begin },
  halted: { ...REST, due: stayHalted },
  stopping: {
    ...REST,
    opened: stop,
    recalled: stop,
    read: stop,
    recorded: stop,
    saved: stop,
    failed: stop,
    stop: stay,
    given_up: stop,
  },
  stopped: { ...REST, stop: stay },
}
