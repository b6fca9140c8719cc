import type { HighWaterReading } from '../ports/event-source.ts'
import { apartMs, leastRestMs, nextBackOffMs, POLLS_REMEMBERED, restMs } from './cadence.ts'
import type { Command, Context } from './lifecycle-commands.ts'
import { isBehind, isFirstPoll, type Pace, type Standing } from './lifecycle-standing.ts'

/** A poll was answered. Failures in a row end when nothing is left to do. */
export function paceAfter<P>(
  { failuresInARow, backOffMs, lastPollsMs, spacedToMs }: Pace,
  reading: HighWaterReading<P>,
  { moved, isDone }: { readonly moved: boolean; readonly isDone: boolean },
  { order, cadence, isTold, storeMs }: Context<P>,
): Pace {
  const behind = isBehind(order, reading)
  return {
    failuresInARow: isDone ? 0 : failuresInARow,
    backOffMs: nextBackOffMs(cadence, { moved, behind, isTold, backOffMs }),
    lastPollsMs: [...lastPollsMs, storeMs].slice(-POLLS_REMEMBERED),
    spacedToMs,
  }
}

/** A poll has succeeded, all of it: the next one comes after a while. */
export function rest<P>(standing: Standing<P>, { cadence, nowMs }: Context<P>): readonly Command<P>[] {
  // The first one opens connections, and says nothing about the cost of others.
  if (isFirstPoll(standing))
    return [{ kind: 'started' }, { kind: 'wait', deafMs: 0, apartMs: 0, longestMs: 0 }]
  const { backOffMs, lastPollsMs, spacedToMs } = standing.pace
  return [
    {
      kind: 'wait',
      deafMs: leastRestMs(cadence, lastPollsMs),
      apartMs: apartMs(cadence, spacedToMs, nowMs),
      longestMs: restMs(cadence, lastPollsMs.at(-1) ?? 0) + backOffMs,
    },
  ]
}
