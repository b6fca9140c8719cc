import { hasCode, messageOf } from '../kernel/errors.ts'
import type { FailureStage } from './classify.ts'
import type { FailureAction } from './policy.ts'

/** What an operator does about a failure; it ends the line in the log. */
export function whatToDo(stage: FailureStage, action: FailureAction, error: unknown): string {
  if (action.kind === 'bury') return 'a dead letter is written, and its events are skipped'
  if (action.kind === 'pause') {
    if (hasCode(error, 'TIDEMARK_HANDLER_ENDED_TRANSACTION')) {
      return 'look what the handler has committed by itself, mend it, then restart the daemon: this process does not try the batch again before that'
    }
    const isDeadly = hasCode(error, 'TIDEMARK_PROCESS_ENDED')
    const mend = stage === 'map' ? 'the mapping (or the event)' : 'the handler or what it writes to'
    const undecided =
      action.fault === undefined
        ? ''
        : `onFailure did not decide, so it is paused: ${messageOf(action.fault)}; `
    if (isDeadly)
      return `${undecided}mend the handler or what it needs, then pause and resume the projection by operations: no process has tried it since, or will before that`
    return `${undecided}mend ${mend}; it is tried again by itself, at growing intervals, and at once after a restart`
  }
  if (action.kind === 'narrow' && stage === 'map')
    return 'what is before it is handled first, in smaller pages; mend the mapping (or the event) if it goes on'
  if (action.kind === 'narrow')
    return 'smaller parts of it are tried by themselves, until it is known which event fails'
  if (stage === 'map') return 'it is tried again by itself; mend the mapping (or the event) if it goes on'
  if (stage === 'handle')
    return 'it is tried again by itself; mend the handler or what it calls if it goes on'
  const isSetUpOtherwise =
    hasCode(error, 'TIDEMARK_PROJECTION_SOURCE') || hasCode(error, 'TIDEMARK_SHARDS_STORED')
  const mend = isSetUpOtherwise
    ? 'do what the error says'
    : 'see that the store is up, and that this role may use it'
  return `it is tried again by itself for as long as it takes; ${mend}`
}
