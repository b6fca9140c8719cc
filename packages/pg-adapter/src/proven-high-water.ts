import {
  denseOrder,
  emptyTail,
  type Gap,
  type HighWaterReading,
  type HighWaterRequest,
  type Holder,
  IncarnationChangedError,
  resumeSettled,
  type Settlement,
  type StoredProgress,
  settle,
  startSettlement,
  watchEmpty,
  withMark,
} from '@tidemark/core'
import type { KnownBackends } from './backends.ts'
import { waitUntilDurable } from './durability.ts'
import { PostgresConditionError } from './errors.ts'
import type { FormerSequences } from './former-sequences.ts'
import { type PostgresPoll, probe } from './high-water.ts'
import { incarnationOf, parseIncarnation, sequencePart } from './incarnation.ts'
import { type InspectedPoll, pollInspected } from './inspected-poll.ts'
import type { InspectedSequence, Inspection } from './inspection.ts'
import { lateEventsError, newestRuns } from './late-events.ts'
import { lookUpMark } from './load.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'
import { requireNotRewound, requireStoredConsistent } from './rewind.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/** What a source keeps from one incarnation to the next. */
export interface SourceMemory {
  readonly backends: KnownBackends
  readonly former: FormerSequences
}

/** What one poll hands to the next. */
interface Memory {
  readonly inspection: Inspection
  readonly sequence: InspectedSequence
  readonly settlement: Settlement
  /** The newest runs that were proven empty. */
  readonly watched: readonly Gap<bigint>[]
  /** When the greatest visible position was last compared with `v`; the next poll compares it where `undefined`. */
  readonly comparedAtMs: number | undefined
}

/** While idle, a visible position that did not come from the sequence is looked for this often. */
const COMPARE_GREATEST_EVERY_MS = 10_000
/** One poll in proof mode: a probe while nothing is open, the three steps and the settlement otherwise. */
export async function readProvenHighWater(
  options: Options,
  { backends, former }: SourceMemory,
  request: HighWaterRequest<bigint>,
): Promise<HighWaterReading<bigint>> {
  const { previous, signal } = request
  if (previous === undefined) return await readFirst(options, { backends, former }, request)
  const memory = previous.memory as Memory
  const knownBackends = backends.of(previous.incarnation)
  if (isIdle(memory) && !isComparisonDue(memory)) {
    const { inspection, sequence, settlement, watched } = memory
    const found = { inspection, sequence, watched, knownBackends }
    if (await probe(options, found, settlement.lastHandedOut, signal)) return previous
  }
  const polled = await pollInspected(
    options,
    memory,
    former,
    {
      visibleAbove: memory.settlement.settled,
      compareAbove: isComparisonDue(memory) ? memory.settlement.lastHandedOut : undefined,
      watched: memory.watched,
      knownBackends,
    },
    signal,
  )
  requireSameIncarnation(previous.incarnation, polled)
  requireNotRewound(options, memory.settlement, previous.logPosition, polled.poll)
  const { late } = polled.poll
  if (late.length > 0) throw lateEventsError(options.name, options, late, await request.stored())
  return await conclude(options, { backends, former }, request, {
    ...polled,
    incarnation: previous.incarnation,
    settlement: memory.settlement,
    watched: memory.watched,
    comparedAtMs: memory.comparedAtMs,
  })
}

/**
 * The first poll of an incarnation, between whose naming and whose reading the stored progress is read: progress of a
 * run that has crashed meanwhile is then never taken for settled, and another daemon's newest checkpoint never for a
 * store that went back.
 */
async function readFirst(
  options: Options,
  { backends, former }: SourceMemory,
  request: HighWaterRequest<bigint>,
): Promise<HighWaterReading<bigint>> {
  const { stored, sharesLog, signal } = request
  const first = { visibleAbove: undefined, compareAbove: undefined, watched: [], knownBackends: [] }
  const named = await pollInspected(options, undefined, former, first, signal)
  const incarnation = nameIncarnation(named)
  backends.add(incarnation, named.poll.backendKey)
  const progress = await stored()
  former.addStored(progress)
  const isShared = await sharesLog(incarnation)
  const knownBackends = backends.of(incarnation)
  const polled = await pollInspected(
    options,
    named,
    former,
    { ...first, compareAbove: named.poll.lastHandedOut, knownBackends },
    signal,
  )
  requireSameIncarnation(incarnation, polled)
  requireStoredConsistent(progress, { incarnation, poll: polled.poll, isShared })
  return await conclude(options, { backends, former }, request, {
    ...polled,
    incarnation,
    settlement: startSettlement(resumeSettled(denseOrder, progress.filter(isProven), incarnation)),
    watched: [],
    comparedAtMs: undefined,
  })
}

interface Judged extends InspectedPoll {
  readonly incarnation: string
  /** As it was before this poll. */
  readonly settlement: Settlement
  readonly watched: readonly Gap<bigint>[]
  readonly comparedAtMs: number | undefined
}

async function conclude(
  options: Options,
  { backends, former }: SourceMemory,
  { sharesLog, signal }: HighWaterRequest<bigint>,
  { inspection, sequence, poll, incarnation, settlement: before, watched, comparedAtMs }: Judged,
): Promise<HighWaterReading<bigint>> {
  backends.add(incarnation, poll.backendKey)
  if (poll.greatestVisible !== undefined && poll.greatestVisible > poll.lastHandedOut) {
    throw explicitPosition(options, sequence, poll)
  }
  const formerHolders = stillInTheWay(poll, before)
  if (formerHolders.length === 0) former.forgetAllBut(sequence.oid)
  const holders = [...poll.holders, ...formerHolders]
  const { settlement, provenEmpty, gaps, markNeedsLookup } = settle(before, {
    lastHandedOut: poll.lastHandedOut,
    holders: holders.map((holder) => holder.transaction),
    visible: poll.visible,
    windowEnd: poll.windowEnd,
  })
  const lookedUp =
    markNeedsLookup && settlement.settled !== undefined
      ? await lookUpMark(options, backends, incarnation, settlement.settled, signal)
      : undefined
  if (!poll.isFlushed && !(await sharesLog(incarnation))) {
    await waitUntilDurable(options.pool, backends, incarnation, poll.insertLsn, signal)
  }
  const concluded = withMark(settlement, lookedUp)
  // A position is looked for again only where the index finds it.
  const isWatching = inspection.hasIndex
  const tail =
    markNeedsLookup && settlement.settled !== undefined
      ? emptyTail(settlement.settled, lookedUp, sequence.start)
      : []
  return {
    head: poll.lastHandedOut,
    settled: concluded.settled,
    mark: concluded.mark,
    gaps,
    holders,
    provenEmpty,
    skipped: [],
    incarnation,
    logPosition: poll.insertLsn,
    memory: {
      inspection,
      sequence,
      settlement: concluded,
      watched: isWatching ? newestRuns(watchEmpty(watched, [...provenEmpty, ...tail]), inspection) : [],
      comparedAtMs: nextComparedAtMs(comparedAtMs, poll),
    } satisfies Memory,
  }
}

/**
 * Who holds a former sequence may insert a number of it as long as it lives, if it took its lock before the change: then the
 * first poll behind the change has seen it. Whoever came later uses the old sequence for something else.
 */
function stillInTheWay({ formerHolders }: PostgresPoll, before: Settlement): readonly Holder[] {
  const isFirstPoll = before.lastHandedOut === undefined
  return formerHolders.filter(({ transaction }) => isFirstPoll || before.holderBounds.has(transaction))
}

function nameIncarnation({ sequence, poll }: InspectedPoll): string {
  if (poll.identity === undefined) throw new TypeError('a poll with no known backend reads the identity')
  return incarnationOf(poll.identity, sequence)
}

/** The same backend is the same incarnation; on another one, all four facts are compared. */
function requireSameIncarnation(expected: string, { sequence, poll }: InspectedPoll): void {
  if (poll.identity === undefined) {
    // Only backends of the expected incarnation were called known.
    if (expected.endsWith(sequencePart(sequence))) return
    throw new IncarnationChangedError(expected, `${sequence.name} (oid ${sequence.oid})`)
  }
  const found = incarnationOf(poll.identity, sequence)
  if (found !== expected) throw new IncarnationChangedError(expected, found)
}

/** Stale-threshold mode moves checkpoints past transactions that are still open: those settle nothing. */
function isProven({ incarnation }: StoredProgress<bigint>): boolean {
  return incarnation !== undefined && parseIncarnation(incarnation) !== undefined
}

function isIdle({ settlement }: Memory): boolean {
  return settlement.settled !== undefined && settlement.settled === settlement.lastHandedOut
}

function isComparisonDue({ comparedAtMs }: Pick<Memory, 'comparedAtMs'>): boolean {
  return comparedAtMs === undefined || performance.now() - comparedAtMs >= COMPARE_GREATEST_EVERY_MS
}

/** A backend that was met for the first time makes the next poll compare. */
function nextComparedAtMs(before: number | undefined, poll: PostgresPoll): number | undefined {
  if (poll.isCompared) return performance.now()
  return poll.identity === undefined ? before : undefined
}

function explicitPosition(
  options: Options,
  sequence: InspectedSequence,
  poll: PostgresPoll,
): PostgresConditionError {
  return new PostgresConditionError(
    'explicit_positions',
    `${options.sql.table} has an event at position ${poll.greatestVisible}, but ${sequence.name} has only handed out ` +
      `numbers up to ${poll.lastHandedOut}: positions are also written explicitly, and such an event can appear below ` +
      "the mark; let the sequence fill them, or choose highWater: { mode: 'stale-threshold' }, which may lose events",
  )
}
