import { isOwnFault } from '../failures/classify.ts'
import {
  type BatchExtent,
  isNarrowable,
  isParting,
  type Narrowing,
  narrowed,
  narrowedBefore,
} from '../failures/narrow.ts'
import type { Decided } from '../failures/on-failure.ts'
import { onFailure } from '../failures/policy.ts'
import { whatToDo } from '../failures/what-to-do.ts'
import { hasCode, type ProcessEndedError } from '../kernel/errors.ts'
import type { Command, Context, FailedWork, Step } from './commands.ts'
import { bury, decided, givenUp, positionOf } from './giving-up.ts'
import { policyOf } from './policy-of.ts'
import { entered, type Standing } from './standing.ts'

interface FailedMove<P> extends FailedWork {
  /** What the checkpoint was to move over. */
  readonly moving: Standing<P>['moving']
  readonly events: readonly unknown[]
}

/** Something has failed that counts: it is told, and tried again after a wait, or paused, or given up. */
export function afterFailure<P, E>(
  standing: Standing<P>,
  { stage, error, batch, isTransient, moving, events }: FailedMove<P>,
  context: Context<P>,
): Step<P, E> {
  const { nowMs, order, random } = context
  const policy = policyOf(standing, context)
  const deaths = deathsOf(error)
  const attempt = deaths ?? standing.attempts + 1
  const inARow = standing.failuresInARow + 1
  const { pause } = standing
  const triesAtPause = pause === undefined ? 0 : pause.tries + 1
  const extent = moving?.page?.extent
  const given = givenUp(standing, { stage, error, batch, moving, tries: attempt }, context)
  const decide = (): Decided => (given === undefined ? { decision: 'pause' } : decided(given, policy, events))
  const halved =
    deaths === undefined ? halvedAfter(standing, { stage, batch, extent }, { order, policy }) : undefined
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
    decide,
    isNarrowable: halved !== undefined,
  })
  const isPaused = action.kind === 'pause'
  const isGivenUp = action.kind === 'bury'
  const isCounted = isPaused || isGivenUp || (action.kind === 'retry' && action.counted)
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
    whatToDo: whatToDo(stage, action, error),
  }
  const isOfEvents = extent !== undefined && isCounted
  const afterIt = isOfEvents ? narrowed(standing.narrowed, extent, policy.batchSize) : standing.narrowed
  const isKnown = isCounted && halved === undefined && isOfOnePosition(batch, error)
  const counted = {
    ...standing,
    failing: isKnown && given !== undefined ? given : standing.failing,
    isDared: deaths !== undefined && action.kind === 'retry',
    attempts,
    failuresInARow: inARow,
    pause: isPaused ? { tries: triesAtPause, error, failure } : pause,
    narrowed: action.kind === 'narrow' ? halved : afterIt,
  }
  const checkpoint = standing.checkpoint?.position
  const commands: Command<P, E>[] = [
    {
      kind: 'report',
      report: {
        kind: 'failed',
        state: isGivenUp ? 'skipping' : counted.pause === undefined ? 'retrying' : 'paused',
        isNews: isPaused && (pause === undefined || action.waitMs === undefined),
        isFound: !isPaused && !isGivenUp && isCounted && attempts === 1 && isParting(standing.narrowed),
        failure,
        error,
        checkpoint,
      },
    },
  ]
  if (action.kind === 'bury' && given?.evidence)
    return bury(
      { ...counted, error, failure },
      { ...given, burial: { ...given.burial, key: action.key } },
      given.evidence,
      commands,
    )
  const { cursorIncarnation: incarnation } = standing
  if (action.kind === 'drop_page' && incarnation !== undefined) commands.push({ kind: 'doubt', incarnation })
  if (action.waitMs !== undefined) commands.push({ kind: 'wait', ms: action.waitMs })
  const resting = entered(counted, isPaused ? 'paused' : 'resting', { error, failure })
  // Whatever fails while it is paused, it is paused until the event has passed.
  return { standing: counted.pause === undefined ? resting : { ...resting, shows: 'paused' }, commands }
}

/** A source may part no further; but a batch that has ended its transaction is never parted. */
function isOfOnePosition(batch: FailedWork['batch'], error: unknown): boolean {
  if (!hasCode(error, 'TIDEMARK_HANDLER_ENDED_TRANSACTION')) return true
  return batch !== undefined && batch.firstPosition === batch.lastPosition
}

/** How often the process has ended at these events; `undefined` where that is not what failed. */
function deathsOf(error: unknown): number | undefined {
  return hasCode(error, 'TIDEMARK_PROCESS_ENDED') ? (error as unknown as ProcessEndedError).tries : undefined
}

/** Smaller batches, to find the event that fails; `undefined` where it is found, or nothing of this is about an event. */
function halvedAfter<P>(
  { narrowed: before }: Standing<P>,
  {
    stage,
    batch,
    extent,
  }: Pick<FailedWork, 'stage' | 'batch'> & { readonly extent: BatchExtent<P> | undefined },
  { order, policy }: Pick<Context<P>, 'order' | 'policy'>,
): Narrowing<P> | undefined {
  const { batchSize } = policy
  if (extent !== undefined) {
    return isNarrowable(order, before, extent) ? narrowed(before, extent, batchSize) : undefined
  }
  const at = stage === 'map' ? positionOf(order, batch) : undefined
  return at === undefined ? undefined : narrowedBefore(before, at, batchSize)
}
