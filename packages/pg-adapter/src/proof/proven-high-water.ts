import {
  denseOrder,
  emptyTail,
  type Gap,
  type HighWaterReading,
  type HighWaterRequest,
  type Holder,
  IncarnationChangedError,
  type OpenedSource,
  ProgressNeededError,
  resumeSettled,
  type Settlement,
  type StoredProgress,
  settle,
  startSettlement,
  watchEmpty,
  withMark,
} from '@tidemark/core/adapter'
import { PostgresConditionError } from '../errors.ts'
import { quoteLiteral } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import type { KnownBackends } from '../server/backends.ts'
import { waitUntilDurable } from '../server/durability.ts'
import { incarnationOf, parseIncarnation, type TableIdentity, tablePart } from '../server/incarnation.ts'
import { formatLogPosition } from '../server/log-position.ts'
import { halted, requireHandedOut, requireNotRewound, requireStoredConsistent } from '../server/rewind.ts'
import {
  attachedAfter,
  attachedSince,
  attachedUpTo,
  type DetachedMembers,
  detachedSince,
  requireNothingPassed,
} from './attached.ts'
import type { FormerSequences } from './former-sequences.ts'
import { type InspectedPoll, pollInspected } from './inspected-poll.ts'
import type { InspectedSequence, Inspection } from './inspection.ts'
import { isLookDue, type Look, lateEventsError, NO_LOOK, newestRuns } from './late-events.ts'
import { probe } from './poll.ts'
import type { PostgresPoll } from './poll-rows.ts'
import { lookUpMark } from './proven-rows.ts'
import { type Claim, claimsOf, laterThan, requireNotReplaced } from './replacement.ts'

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
  look: Look
  /** When the greatest visible position was last compared with `v`; the next poll compares it where `undefined`. */
  readonly comparedAtMs: number | undefined
  readonly detached: DetachedMembers
  /** Up to where every projection of this process had handled everything when the newest poll or probe began. */
  readonly handled: { upTo: bigint | undefined }
  /** What was passed on before the table or its sequence was replaced, and cannot be judged yet. */
  readonly pending: readonly Claim[]
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
  const askedAtMs = performance.now()
  const looks = isLookDue(memory.look, askedAtMs)
  const watched = looks ? memory.watched : []
  const look = looks ? { atMs: askedAtMs, newRuns: 0 } : memory.look
  if (isIdle(memory) && !isComparisonDue(memory)) {
    const { inspection, sequence, settlement } = memory
    const found = { inspection, sequence, watched, knownBackends }
    if (await probe(options, found, settlement.lastHandedOut, signal)) {
      memory.handled.upTo = request.projected
      memory.look = look
      return previous
    }
  }
  const polled = await pollInspected(
    options,
    memory,
    former,
    {
      visibleAbove: memory.settlement.settled,
      compareAbove: isComparisonDue(memory) ? memory.settlement.lastHandedOut : undefined,
      watched,
      knownBackends,
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
    throw lateEventsError(options.name, options, late, needed(request.stored))
  return await conclude(options, { backends, former }, request, {
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
}

/**
 * Throws where the table was emptied and filled again meanwhile, or a partition has brought events that were passed.
 * Whether one has brought events between the mark and settled: nobody has passed those, they are handled.
 */
async function requireMembersKept(
  options: Options,
  backends: KnownBackends,
  request: HighWaterRequest<bigint>,
  previous: HighWaterReading<bigint>,
  polled: InspectedPoll,
): Promise<boolean> {
  const memory = previous.memory as Memory
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
      { progress: () => needed(request.stored), toDecide },
      signal,
    )
    const claims = claimsOf([], previous, incarnation)
    await requireNotReplaced(options, backends, claims, { ...polled, incarnation }, toDecide, signal)
  }
  if (attached.length === 0) return false
  const visible = await lookUpMark(options, backends, incarnation, settled, signal)
  return visible !== undefined && (mark === undefined || visible > mark)
}

/** The caller reads it, and polls again. */
function needed(stored: HighWaterRequest<bigint>['stored']): readonly StoredProgress<bigint>[] {
  if (stored === undefined) throw new ProgressNeededError()
  return stored
}

/** A first poll, without a window: its steps bring nothing before there is stored progress to go on from. */
const FIRST = { visibleAbove: undefined, compareAbove: undefined, watched: [], knownBackends: [] }

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

async function readFirst(
  options: Options,
  { backends, former }: SourceMemory,
  request: HighWaterRequest<bigint>,
): Promise<HighWaterReading<bigint>> {
  const { opened, sharesLog: isShared, signal } = request
  const { incarnation } = opened
  const named = opened.memory as InspectedPoll
  const progress = needed(request.stored)
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

interface Judged extends InspectedPoll {
  readonly incarnation: string
  /** As it was before this poll. */
  readonly settlement: Settlement
  readonly watched: readonly Gap<bigint>[]
  readonly look: Look
  readonly comparedAtMs: number | undefined
  readonly detached: DetachedMembers
  /** Whether events may have become visible between mark and settled. */
  readonly looksUpMark: boolean
  readonly pending: readonly Claim[]
}

async function conclude(
  options: Options,
  { backends, former }: SourceMemory,
  request: HighWaterRequest<bigint>,
  judged: Judged,
): Promise<HighWaterReading<bigint>> {
  const { sharesLog, signal } = request
  const { inspection, sequence, poll, incarnation, settlement: before, watched, detached } = judged
  backends.add(incarnation, poll.backendKey)
  backends.hasPartitions = inspection.relations.length > 1
  requireNoneAbove(options, judged)
  const formerHolders = stillInTheWay(poll, before)
  if (formerHolders.length === 0) former.forgetAllBut(sequence.oid)
  const holders = [...poll.holders, ...formerHolders]
  const { settlement, provenEmpty, gaps, markNeedsLookup } = settle(before, {
    lastHandedOut: poll.lastHandedOut,
    holders: holders.map((holder) => holder.transaction),
    visible: poll.visible,
    windowEnd: poll.windowEnd,
  })
  let { pending } = judged
  if (pending.length > 0 && settlement.settled !== undefined) {
    // Whoever held the new sequence when it was first seen has ended.
    const noHolders = { ...judged, poll: { ...poll, holders: [] } }
    pending = await requireNotReplaced(
      options,
      backends,
      pending,
      noHolders,
      halted(request.toDecide),
      signal,
    )
  }
  const lookedUp =
    (markNeedsLookup || judged.looksUpMark) && settlement.settled !== undefined
      ? await lookUpMark(options, backends, incarnation, settlement.settled, signal)
      : undefined
  if (!poll.isFlushed && !sharesLog) {
    await waitUntilDurable(options.pool, backends, incarnation, poll.insertLsn, signal)
  }
  const concluded = withMark(settlement, lookedUp)
  // A position is looked for again only where the index finds it.
  const isWatching = inspection.hasIndex
  const tail =
    markNeedsLookup && settlement.settled !== undefined
      ? emptyTail(settlement.settled, lookedUp, sequence.start)
      : []
  const newRuns = isWatching ? [...provenEmpty, ...tail] : []
  return {
    head: poll.lastHandedOut,
    settled: concluded.settled,
    mark: concluded.mark,
    gaps,
    holders,
    provenEmpty,
    skipped: [],
    incarnation,
    logPosition: formatLogPosition(poll.insertLsn, poll.snapshot),
    memory: {
      inspection,
      sequence,
      settlement: concluded,
      watched: isWatching ? newestRuns(watchEmpty(watched, newRuns), inspection) : [],
      look: { atMs: judged.look.atMs, newRuns: judged.look.newRuns + newRuns.length },
      comparedAtMs: nextComparedAtMs(judged.comparedAtMs, poll),
      detached,
      handled: { upTo: request.projected },
      pending,
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

function nameIncarnation(polled: InspectedPoll): string {
  const { identity } = polled.poll
  if (identity === undefined) throw new TypeError('a poll with no known backend reads the identity')
  return incarnationOf(identity, tableIdentity(polled))
}

function tableIdentity({ inspection, sequence }: InspectedPoll): TableIdentity {
  return { tableOid: inspection.tableOid, sequenceOid: sequence.oid, sequenceFile: sequence.relfilenode }
}

/** The same backend is the same incarnation; on another one, all four facts are compared. */
function requireSameIncarnation(expected: string, polled: InspectedPoll): void {
  const { sequence, poll } = polled
  const table = tableIdentity(polled)
  if (poll.identity === undefined) {
    // Only backends of the expected incarnation were called known.
    if (expected.endsWith(tablePart(table))) return
    throw new IncarnationChangedError(expected, `${sequence.name} (${Object.values(table).join('/')})`)
  }
  const found = incarnationOf(poll.identity, table)
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

/** No event stands above the sequence. */
function requireNoneAbove(options: Options, { sequence, poll }: InspectedPoll): void {
  const { greatestVisible, lastHandedOut } = poll
  if (greatestVisible === undefined || greatestVisible <= lastHandedOut) return
  const { table, position } = options.sql
  throw new PostgresConditionError(
    'explicit_positions',
    `${table} has an event at position ${greatestVisible}, but ${sequence.name} has only handed out numbers up to ` +
      `${lastHandedOut}. If the rows were copied (a restored dump, logical replication, a switch to another server), the ` +
      'sequence stands behind them, and the next append would fail or be lost; set it behind them, and start again:\n' +
      `  SELECT setval(${quoteLiteral(sequence.name)}, (SELECT max(${position}) FROM ${table}));\n` +
      'If writers choose positions themselves, such an event can also appear below the mark; let the sequence fill ' +
      "them, or choose highWater: { mode: 'stale-threshold' }, which may lose events",
  )
}
