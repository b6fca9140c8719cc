import type { HighWaterReading, HighWaterRequest } from '@tidemark/core/adapter'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import type { KnownBackends } from '../server/backends.ts'
import { halted } from '../server/rewind.ts'
import { attachedSince, attachedUpTo, detachedSince, requireNothingPassed } from './attached.ts'
import type { InspectedPoll } from './inspected-poll.ts'
import type { PollMemory } from './poll-memory.ts'
import { lookUpMark } from './proven-rows.ts'
import { claimsOf, requireNotReplaced } from './replacement.ts'
import { neededProgress } from './stored-progress.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/**
 * Throws where the table was emptied and filled again meanwhile, or a partition has brought events that were passed.
 * Whether one has brought events between the mark and settled: nobody has passed those, they are handled.
 */
export async function requireMembersKept(
  options: Options,
  backends: KnownBackends,
  request: HighWaterRequest<bigint>,
  previous: HighWaterReading<bigint>,
  polled: InspectedPoll,
): Promise<boolean> {
  const memory = previous.memory as PollMemory
  const { mark, settled, incarnation } = previous
  if (memory.inspection === polled.inspection || settled === undefined) return false
  const { signal } = request
  const toDecide = halted(request.toDecide)
  const attached = attachedSince(memory.inspection, polled.inspection)
  if (mark !== undefined) {
    await requireNothingPassed(
      options,
      backends,
      incarnation,
      attachedUpTo(attached, mark),
      detachedSince(memory.detached, memory.inspection, polled.inspection, memory.handled.upTo),
      { progress: () => neededProgress(request.stored), toDecide },
      signal,
    )
    const claims = claimsOf([], previous, incarnation)
    await requireNotReplaced(options, backends, claims, { ...polled, incarnation }, toDecide, signal)
  }
  if (attached.length === 0) return false
  const visible = await lookUpMark(options, backends, incarnation, settled, signal)
  return visible !== undefined && (mark === undefined || visible > mark)
}
