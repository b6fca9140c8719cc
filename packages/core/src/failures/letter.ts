import { describeError } from '../kernel/describe-error.ts'
import { messageOf } from '../kernel/errors.ts'
import { errorJson } from '../kernel/json.ts'
import type { LetterAsker, NewDeadLetter } from '../ports/dead-letters.ts'
import { describeBatch, type FailedBatch, SUBJECT } from './classify.ts'
import { letterError } from './letter-error.ts'

/** Events that are given up, and why. */
export interface Burial {
  readonly stage: 'map' | 'handle'
  readonly error: unknown
  readonly batch: FailedBatch
  readonly tries: number
  /** Later events of this key follow it. */
  readonly key?: string | undefined
  /** The operator who has asked for that. */
  readonly by?: LetterAsker | undefined
}

/** @param node - names the process */
export function letterOf(
  { stage, error, batch, tries, key, by }: Burial,
  source: string,
  node: string,
): NewDeadLetter {
  const { firstPosition, lastPosition, events, eventTypes } = batch
  return {
    source,
    firstPosition,
    lastPosition,
    events,
    eventTypes,
    stage,
    error: letterError(errorJson(error)),
    tries,
    key,
    node,
    ...(by === undefined ? {} : { skippedBy: by }),
  }
}

/** The dead letter of events that were never tried: one of their key stands before them. */
export function parkedLetter(batch: FailedBatch, key: string, source: string, node: string): NewDeadLetter {
  const { firstPosition, lastPosition, events, eventTypes } = batch
  const error = { name: 'Parked', message: 'an earlier event of its key has a dead letter that is open' }
  return {
    source,
    firstPosition,
    lastPosition,
    events,
    eventTypes,
    stage: 'parked',
    error,
    tries: 0,
    key,
    node,
  }
}

/** The entry of the log about a dead letter that has failed again. */
export function describeRetry(
  projection: string,
  id: string,
  { stage, error, batch, tries }: Burial,
): string {
  return (
    `tidemark: projection "${projection}": the dead letter ${id}${describeBatch(batch)} was retried in vain, try ${tries}: ` +
    `${SUBJECT[stage]}: ${messageOf(error)}. It stays open, and is not tried again before that is asked for; mend the cause ` +
    `first\n${describeError(error)}`
  )
}

/** The entry of the log about events that were given up. */
export function describeBurial(projection: string, { stage, error, batch, tries, key, by }: Burial): string {
  const parked =
    key === undefined ? '' : ` Later events of its key ${JSON.stringify(key)} follow it until it is closed.`
  const asked = by === undefined ? '' : ` ${by.who} has asked for that (${by.why}).`
  return (
    `tidemark: projection "${projection}" has skipped ${batch.events === 1 ? 'the event' : 'events'}` +
    `${describeBatch(batch)} after ${tries} ${tries === 1 ? 'try' : 'tries'}: ${SUBJECT[stage]}: ${messageOf(error)}.${asked} ` +
    `A dead letter says where it is and why; the event is still in its source.${parked} Mend the cause, then retry the dead ` +
    `letter, or bring its effect about and close it\n${describeError(error)}`
  )
}
