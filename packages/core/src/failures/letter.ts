import { describeError } from '../kernel/describe-error.ts'
import { messageOf } from '../kernel/errors.ts'
import { type ErrorJson, errorJson } from '../kernel/json.ts'
import type { LetterError, NewDeadLetter } from '../ports/dead-letters.ts'
import { describeBatch, type FailedBatch, SUBJECT } from './classify.ts'

/** Events that are given up, and why. */
export interface Burial {
  readonly stage: 'map' | 'handle'
  readonly error: unknown
  readonly batch: FailedBatch
  readonly tries: number
}

/** More of a text tells nobody more; a stack has some hundred characters a line. */
const MOST_CHARACTERS = 10_000
/** Causes below a cause, and parts of one error. */
const MOST_LEVELS = 8

/** @param node - names the process */
export function letterOf(
  { stage, error, batch, tries }: Burial,
  source: string,
  node: string,
): NewDeadLetter {
  const { firstPosition, lastPosition, events, eventTypes } = batch
  const told = letterError(errorJson(error), MOST_LEVELS)
  return {
    source,
    firstPosition,
    lastPosition,
    events,
    eventTypes,
    stage,
    error: told,
    tries,
    key: undefined,
    node,
  }
}

/** An error's other fields are left out: they may hold what is in the event. */
function letterError({ name, message, stack, code, cause, errors }: ErrorJson, levels: number): LetterError {
  return {
    name: cut(name),
    message: cut(message),
    ...(typeof code === 'string' ? { code: cut(code) } : {}),
    ...(stack === undefined ? {} : { stack: cut(stack) }),
    ...(cause === undefined || levels === 0 ? {} : { cause: letterError(cause, levels - 1) }),
    ...(errors === undefined || levels === 0
      ? {}
      : { errors: errors.slice(0, MOST_LEVELS).map((each) => letterError(each, levels - 1)) }),
  }
}

function cut(text: string): string {
  return text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}...` : text
}

/** The entry of the log about events that were given up. */
export function describeBurial(
  projection: string,
  { stage, error, batch, tries }: Burial,
  others: number,
): string {
  const more = others === 0 ? '' : ` ${others} further events were skipped since the line before this one.`
  return (
    `tidemark: projection "${projection}" has skipped ${batch.events === 1 ? 'the event' : 'events'}` +
    `${describeBatch(batch)} after ${tries} ${tries === 1 ? 'try' : 'tries'}: ${SUBJECT[stage]}: ${messageOf(error)}.${more} ` +
    'A dead letter says where it is and why; the event is still in its source. Mend the cause, bring its effect about, then ' +
    `close the dead letter\n${describeError(error)}`
  )
}
