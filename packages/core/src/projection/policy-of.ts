import type { HighWaterReading } from '../ports/event-source.ts'
import { upTo } from './bound.ts'
import type { Context, Policy } from './commands.ts'
import { isReplaying, type Standing } from './standing.ts'

/** What holds where it stands: a replay may have a policy of its own. */
export function policyOf<P>(
  standing: Pick<Standing<P>, 'role' | 'furthest' | 'cursor'>,
  { order, policy }: Pick<Context<P>, 'order' | 'policy'>,
): Policy & { readonly isOfReplay: boolean; readonly maxEventsPerSecond: number | undefined } {
  const { replaying } = policy
  if (replaying === undefined || !isReplaying(standing, order)) {
    return { ...policy, isOfReplay: false, maxEventsPerSecond: undefined }
  }
  return { ...replaying, isOfReplay: true }
}

/** No page of a replay that has a policy of its own goes beyond it: what follows has another one. Nor does any go beyond a bound. */
export function upToItsEnd<P>(
  reading: HighWaterReading<P>,
  standing: Pick<Standing<P>, 'role' | 'furthest' | 'bound' | 'cursor'>,
  context: Pick<Context<P>, 'order' | 'policy'>,
): HighWaterReading<P> {
  const { role, furthest, bound } = standing
  const within = upTo(context.order, reading, bound)
  if (role === 'beside' || furthest === undefined || !policyOf(standing, context).isOfReplay) return within
  return upTo(context.order, within, furthest)
}
