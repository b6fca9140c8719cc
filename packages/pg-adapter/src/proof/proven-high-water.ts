import type { HighWaterReading, HighWaterRequest } from '@tidemark/core/adapter'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { halted, requireNotRewound } from '../server/rewind.ts'
import type { Statement } from '../statement.ts'
import { detachedSince } from './attached.ts'
import { conclude } from './conclude.ts'
import { readFirst } from './first-poll.ts'
import { pollInspected } from './inspected-poll.ts'
import { requireMembersKept } from './kept-members.ts'
import { isLookDue, lateEventsError } from './late-events.ts'
import { probe } from './poll.ts'
import { requireSameIncarnation } from './poll-incarnation.ts'
import { isComparisonDue, isIdle, type PollMemory, type SourceMemory } from './poll-memory.ts'
import type { ReadAlong } from './poll-rows.ts'
import { mayReadAlong } from './poll-sql.ts'
import { neededProgress } from './stored-progress.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/** A poll's answer. */
interface ProvenReading {
  readonly reading: HighWaterReading<bigint>
  /** What was read along; its rows may stand above the mark. `undefined`: nothing was. */
  readonly along: ReadAlong | undefined
}

/**
 * One poll in proof mode: a probe while nothing is open, and nothing new was told; the three steps and the settlement otherwise.
 *
 * @param along - selects of which one plan serves all values. They are read along with the three steps, if the table allows that
 */
export async function readProvenHighWater(
  options: Options,
  { backends, former }: SourceMemory,
  request: HighWaterRequest<bigint>,
  along: readonly Statement[],
): Promise<ProvenReading> {
  const { previous, signal } = request
  if (previous === undefined)
    return { reading: await readFirst(options, { backends, former }, request), along: undefined }
  const memory = previous.memory as PollMemory
  const knownBackends = backends.of(previous.incarnation)
  const askedAtMs = performance.now()
  // A watch of numbers that are taken ahead polls like this, and takes nothing for proven.
  const looks = !options.isTakenAhead && isLookDue(memory.look, askedAtMs, memory.inspection)
  const watched = looks ? memory.watched : []
  const look = looks ? { atMs: askedAtMs, newRuns: 0 } : memory.look
  if (isIdle(memory) && !isNews(request.told, memory) && !isComparisonDue(memory, performance.now())) {
    const { inspection, sequence, settlement } = memory
    const found = { inspection, sequence, watched, knownBackends }
    if (await probe(options, found, settlement.lastHandedOut, signal)) {
      memory.handled.upTo = request.projected
      memory.look = look
      return { reading: previous, along: undefined }
    }
  }
  const polled = await pollInspected(
    options,
    memory,
    former,
    {
      visibleAbove: memory.settlement.settled,
      compareAbove: isComparisonDue(memory, performance.now()) ? memory.settlement.lastHandedOut : undefined,
      watched,
      knownBackends,
      along: mayReadAlong(memory.inspection) ? along : [],
    },
    signal,
  )
  requireSameIncarnation(previous.incarnation, polled)
  const { inspection, poll } = polled
  const { incarnation } = previous
  const toDecide = halted(request.toDecide)
  requireNotRewound(options, memory.settlement, previous.logPosition, poll, toDecide)
  const bringsEvents = await requireMembersKept(options, backends, request, previous, polled)
  const { late } = poll
  if (late.length > 0 && !bringsEvents)
    throw lateEventsError(options.name, options, late, neededProgress(request.stored))
  const reading = await conclude(options, { backends, former }, request, {
    ...polled,
    incarnation,
    settlement: memory.settlement,
    watched: bringsEvents ? [] : memory.watched,
    look,
    looksUpMark: bringsEvents,
    comparedAtMs: memory.comparedAtMs,
    detached: detachedSince(memory.detached, memory.inspection, inspection, memory.handled.upTo),
    pending: memory.pending,
  })
  return { reading, along: poll.along }
}

/** A probe would find no more than that there is something to poll for, and cost an event a round trip. */
function isNews(told: bigint | undefined, { settlement: { lastHandedOut } }: PollMemory): boolean {
  return told !== undefined && (lastHandedOut === undefined || told > lastHandedOut)
}
