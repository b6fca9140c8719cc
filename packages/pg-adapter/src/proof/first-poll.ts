import {
  denseOrder,
  type HighWaterReading,
  type HighWaterRequest,
  type OpenedSource,
  resumeSettled,
  startSettlement,
} from '@tidemark/core/adapter'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { halted, requireHandedOut, requireStoredConsistent } from '../server/rewind.ts'
import { attachedAfter, attachedUpTo, type DetachedMembers, requireNothingPassed } from './attached.ts'
import { conclude } from './conclude.ts'
import { requireNoneAbove } from './explicit-positions.ts'
import { type InspectedPoll, pollInspected } from './inspected-poll.ts'
import { NO_LOOK } from './late-events.ts'
import { nameIncarnation, requireSameIncarnation } from './poll-incarnation.ts'
import type { SourceMemory } from './poll-memory.ts'
import { claimsOf, laterThan, requireNotReplaced } from './replacement.ts'
import { isProven, neededProgress } from './stored-progress.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/** A first poll, without a window: its steps bring nothing before there is stored progress to go on from. */
const FIRST = { visibleAbove: undefined, compareAbove: undefined, watched: [], knownBackends: [], along: [] }

/**
 * Names the incarnation, and checks every condition. The stored progress is read between this and the first poll: so
 * progress of a run that has crashed meanwhile is never taken for settled, and another daemon's newest checkpoint never
 * for a store that went back.
 */
export async function openProven(
  options: Options,
  { backends, former }: SourceMemory,
  signal: AbortSignal,
): Promise<OpenedSource> {
  const named = await pollInspected(options, undefined, former, FIRST, signal)
  const incarnation = nameIncarnation(named)
  backends.add(incarnation, named.poll.backendKey)
  return { incarnation, memory: named }
}

/** The first poll: it goes on from what is stored, if that still holds. */
export async function readFirst(
  options: Options,
  { backends, former }: SourceMemory,
  request: HighWaterRequest<bigint>,
): Promise<HighWaterReading<bigint>> {
  const { opened, sharesLog: isShared, signal } = request
  const { incarnation } = opened
  const named = opened.memory as InspectedPoll
  const progress = neededProgress(request.stored)
  former.addStored(progress)
  const knownBackends = backends.of(incarnation)
  const polled = await pollInspected(
    options,
    named,
    former,
    { ...FIRST, compareAbove: named.poll.lastHandedOut, knownBackends },
    signal,
  )
  requireSameIncarnation(incarnation, polled)
  requireNoneAbove(options, polled)
  const toDecide = halted(request.toDecide)
  requireStoredConsistent(progress, { incarnation, poll: polled.poll, isShared, toDecide })
  const claims = claimsOf(progress, request.former, incarnation)
  for (const { of, position } of claims) requireHandedOut(of, position, polled.poll, toDecide)
  backends.add(incarnation, polled.poll.backendKey)
  const pending = await requireNotReplaced(
    options,
    backends,
    claims,
    { ...polled, incarnation },
    toDecide,
    signal,
  )
  const attached = claims.flatMap(({ seen, position }) =>
    attachedUpTo(attachedAfter(seen, polled.inspection, laterThan(polled.poll.snapshot)), position),
  )
  await requireNothingPassed(
    options,
    backends,
    incarnation,
    attached,
    NO_DETACHED,
    { progress: () => progress, toDecide },
    signal,
  )
  const resumed = resumeSettled(denseOrder, progress.filter(isProven), incarnation)
  return await conclude(options, { backends, former }, request, {
    ...polled,
    incarnation,
    // Who holds the new sequence may hold numbers that were settled before.
    settlement: startSettlement(pending.length > 0 ? undefined : resumed),
    watched: [],
    look: NO_LOOK,
    looksUpMark: false,
    comparedAtMs: undefined,
    detached: NO_DETACHED,
    pending,
  })
}

const NO_DETACHED: DetachedMembers = new Map()
