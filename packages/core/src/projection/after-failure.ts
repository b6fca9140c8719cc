import { isOwnFault } from '../failures/classify.ts'
import { type BatchExtent, isNarrowable, narrowed } from '../failures/narrow.ts'
import { onFailure } from '../failures/policy.ts'
import { whatToDo } from '../failures/what-to-do.ts'
import type { Command, Context, FailedWork, Step } from './commands.ts'
import { entered, type Standing } from './standing.ts'

interface FailedMove<P> extends FailedWork {
  /** What was handled, where something was. */
  readonly extent: BatchExtent<P> | undefined
}

/** Something has failed that counts: it is told, and tried again after a wait, or paused. */
export function afterFailure<P, E>(
  standing: Standing<P>,
  { stage, error, batch, isTransient, extent }: FailedMove<P>,
  { nowMs, order, policy }: Context<P>,
): Step<P, E> {
  const attempt = standing.attempts + 1
  const inARow = standing.failuresInARow + 1
  const action = onFailure({
    error,
    stage,
    transient: isTransient,
    attempt,
    inARow,
    attempts: policy.attempts,
    isNarrowable: extent !== undefined && isNarrowable(order, standing.narrowed, extent),
  })
  const isPaused = action.kind === 'pause'
  const isCounted = isPaused || (action.kind === 'retry' && action.counted)
  const attempts = isCounted ? attempt : standing.attempts
  const failure = {
    stage,
    batch,
    attempt: isOwnFault(stage) ? attempts : 0,
    attempts: policy.attempts,
    inARow,
    sinceMs: standing.failure?.sinceMs ?? nowMs,
    whatToDo: whatToDo(stage, action.kind, error),
  }
  const isOfEvents = extent !== undefined && (isCounted || action.kind === 'narrow')
  const counted = {
    ...standing,
    attempts,
    failuresInARow: inARow,
    narrowed: isOfEvents ? narrowed(standing.narrowed, extent) : standing.narrowed,
  }
  const checkpoint = standing.checkpoint?.position
  const commands: Command<P, E>[] = [
    {
      kind: 'report',
      report: { kind: 'failed', state: isPaused ? 'paused' : 'retrying', failure, error, checkpoint },
    },
  ]
  if (action.kind === 'pause') return { standing: entered(counted, 'paused', { error, failure }), commands }
  const { cursorIncarnation: incarnation } = standing
  if (action.kind === 'drop_page' && incarnation !== undefined) commands.push({ kind: 'doubt', incarnation })
  commands.push({ kind: 'wait', ms: action.waitMs })
  return { standing: entered(counted, 'resting', { error, failure }), commands }
}
