import type { Pulse } from '../kernel/pulse.ts'

/**
 * After this a loop without a sign of life is taken to have ended. Adapters give up each of their calls after 30 s by default, so
 * a loop whose store does not answer has shown many signs by then.
 */
const LOST_AFTER_MS = 300_000

/**
 * What speaks for it that a loop does not run any more: only a restart brings it back. `undefined`: nothing. A handler is never
 * taken to be lost: nobody can tell a slow one from one that hangs.
 *
 * @param waitingSinceMs - since when there is something to do for who waits for `events`
 */
export function lostLoop(
  { waitsFor, sinceMs, dueMs }: Pulse,
  nowMs: number,
  waitingSinceMs?: number,
): string | undefined {
  const isLost = (fromMs: number): boolean => nowMs - fromMs >= LOST_AFTER_MS
  switch (waitsFor) {
    case 'answer':
      return isLost(sinceMs)
        ? `a call of a store has neither an answer nor an error for ${seconds(nowMs - sinceMs)}`
        : undefined
    case 'timer':
      return dueMs !== undefined && isLost(dueMs)
        ? `its timer was due ${seconds(nowMs - dueMs)} ago`
        : undefined
    case 'events': {
      if (waitingSinceMs === undefined) return undefined
      const fromMs = Math.max(sinceMs, waitingSinceMs)
      return isLost(fromMs) ? `it has not noticed for ${seconds(nowMs - fromMs)} that events wait` : undefined
    }
    case 'handler':
    case 'nothing':
      return undefined
  }
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`
}
