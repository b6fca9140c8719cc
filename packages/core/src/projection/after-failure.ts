import { isOwnFault } from '../failures/classify.ts'
import { type BatchExtent, isGrown, isNarrowable, isParting, narrowed } from '../failures/narrow.ts'
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
  { nowMs, order, policy, random }: Context<P>,
): Step<P, E> {
  const attempt = standing.attempts + 1
  const inARow = standing.failuresInARow + 1
  const { pause } = standing
  const triesAtPause = pause === undefined ? 0 : pause.tries + 1
  const action = onFailure({
    error,
    stage,
    transient: isTransient,
    attempt,
    inARow,
    attempts: policy.attempts,
    triesAtPause,
    longestPauseMs: policy.longestPauseMs,
    random,
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
    sinceMs: (inARow > 1 ? standing.failure?.sinceMs : undefined) ?? nowMs,
    pausedSinceMs: pause?.failure.pausedSinceMs ?? (isPaused ? nowMs : undefined),
    nextTryAtMs: action.waitMs === undefined ? undefined : nowMs + action.waitMs,
    whatToDo: whatToDo(stage, action.kind, error),
  }
  const isOfEvents = extent !== undefined && (isCounted || action.kind === 'narrow')
  const counted = {
    ...standing,
    attempts,
    failuresInARow: inARow,
    pause: isPaused ? { tries: triesAtPause, error, failure } : pause,
    narrowed: isOfEvents ? narrowed(standing.narrowed, extent, policy.batchSize) : standing.narrowed,
  }
  const checkpoint = standing.checkpoint?.position
  const commands: Command<P, E>[] = [
    {
      kind: 'report',
      report: {
        kind: 'failed',
        state: counted.pause === undefined ? 'retrying' : 'paused',
        isNews: isPaused
          ? pause === undefined || action.waitMs === undefined
          : isCounted && attempts === 1 && isParting(standing.narrowed),
        isGrowth: action.kind === 'narrow' && extent !== undefined && isGrown(standing.narrowed, extent),
        failure,
        error,
        checkpoint,
      },
    },
  ]
  const { cursorIncarnation: incarnation } = standing
  if (action.kind === 'drop_page' && incarnation !== undefined) commands.push({ kind: 'doubt', incarnation })
  if (action.waitMs !== undefined) commands.push({ kind: 'wait', ms: action.waitMs })
  const resting = entered(counted, isPaused ? 'paused' : 'resting', { error, failure })
  // Whatever fails while it is paused, it is paused until the event has passed.
  return { standing: counted.pause === undefined ? resting : { ...resting, shows: 'paused' }, commands }
}
