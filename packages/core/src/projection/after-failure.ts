import { isOwnFault, whatToDo } from '../failures/classify.ts'
import { onFailure } from '../failures/policy.ts'
import type { Command, Context, FailedWork, Step } from './commands.ts'
import { entered, type Standing } from './standing.ts'

/** Something has failed that counts: it is told, and tried again after a wait, or paused. */
export function afterFailure<P, E>(
  standing: Standing<P>,
  { stage, error, batch, isTransient }: FailedWork,
  { nowMs, policy }: Context<P>,
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
    whatToDo: whatToDo(stage, isPaused, error),
  }
  const counted = { ...standing, attempts, failuresInARow: inARow }
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
