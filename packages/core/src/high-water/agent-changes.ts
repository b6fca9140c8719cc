import { Changes } from '../kernel/changes.ts'
import { untilAborted } from '../kernel/deferred.ts'
import { messageOf, WaitFailedError } from '../kernel/errors.ts'
import type { Shown } from './lifecycle-standing.ts'

/** Those who wait for a change of an agent. */
export class AgentChanges extends Changes {
  /** What `find` finds, once it does. Rejects where no poll will bring it any more. */
  async until<T>(find: () => T | undefined, shown: () => Shown, signal: AbortSignal | undefined): Promise<T> {
    for (;;) {
      const found = find()
      if (found !== undefined) return found
      signal?.throwIfAborted()
      const { state, error } = shown()
      if (state !== 'polling' && state !== 'failing') {
        const why = error === undefined ? '' : `: ${messageOf(error)}`
        throw new WaitFailedError(`the high-water agent is ${state}${why}`, { cause: error })
      }
      await untilAborted(this.next(), signal)
    }
  }
}
