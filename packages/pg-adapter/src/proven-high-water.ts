import {
  denseOrder,
  type HighWaterReading,
  type HighWaterRequest,
  IncarnationChangedError,
  resumeSettled,
  type Settlement,
  settle,
  startSettlement,
  withMark,
} from '@tidemark/core'
import type { KnownBackends } from './backends.ts'
import { requireProvableSequence, requireReadableTable } from './conditions.ts'
import { waitUntilDurable } from './durability.ts'
import { NotPrimaryError, PostgresConditionError } from './errors.ts'
import { type PostgresPoll, probe, readPoll } from './high-water.ts'
import { incarnationOf, isSameServerRun } from './incarnation.ts'
import { type InspectedSequence, type Inspection, inspect, showsOwnSequenceLock } from './inspection.ts'
import { lookUpMark } from './load.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'
import { requireNotRewound, requireStoredConsistent } from './rewind.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/** What one poll hands to the next. */
interface Memory {
  readonly inspection: Inspection
  readonly sequence: InspectedSequence
  readonly settlement: Settlement
  /** When the greatest visible position was last compared with `v`; the next poll compares it where `undefined`. */
  readonly comparedAtMs: number | undefined
}

/** While idle, a visible position that did not come from the sequence is looked for this often. */
const COMPARE_GREATEST_EVERY_MS = 10_000
/** A table that is altered all the time cannot be inspected. */
const MOST_INSPECTIONS = 3

/** One poll in proof mode: a probe while nothing is open, the three steps and the settlement otherwise. */
export async function readProvenHighWater(
  options: Options,
  backends: KnownBackends,
  request: HighWaterRequest<bigint>,
): Promise<HighWaterReading<bigint>> {
  const { previous, signal } = request
  const memory = previous?.memory as Memory | undefined
  if (previous && memory && isIdle(memory) && !isComparisonDue(memory)) {
    const { inspection, sequence, settlement } = memory
    const knownBackends = backends.of(previous.incarnation)
    const { lastHandedOut, isKnownBackend } = await probe(
      options,
      { inspection, sequence, knownBackends },
      signal,
    )
    if (isKnownBackend && lastHandedOut === settlement.lastHandedOut) return previous
  }
  let { inspection, sequence } = memory ?? (await inspectAndCheck(options, signal))
  for (let inspections = 1; ; inspections++) {
    const poll = await readPoll(
      options,
      {
        inspection,
        sequence,
        visibleAbove: memory?.settlement.settled,
        withGreatestVisible: memory === undefined || isComparisonDue(memory),
        knownBackends: backends.of(previous?.incarnation),
      },
      signal,
    )
    if (poll.fingerprint === inspection.fingerprint) {
      return await conclude(options, backends, request, { inspection, sequence, poll })
    }
    if (inspections === MOST_INSPECTIONS) {
      throw new PostgresConditionError('sequence_found', `${options.sql.table} is being altered at each look`)
    }
    ;({ inspection, sequence } = await inspectAndCheck(options, signal))
  }
}

async function inspectAndCheck(
  options: Options,
  signal: AbortSignal,
): Promise<Pick<Memory, 'inspection' | 'sequence'>> {
  const inspection = await inspect(options, signal)
  if (inspection.inRecovery) {
    throw new NotPrimaryError('this server is in recovery: polls and loads need the primary')
  }
  requireReadableTable(inspection, options)
  const sequence = requireProvableSequence(inspection, options)
  if (!(await showsOwnSequenceLock(options.pool, sequence.oid, signal))) {
    throw new PostgresConditionError(
      'pg_locks',
      "pg_locks does not show this session's own lock: this server is no PostgreSQL, or has another lock model; " +
        "choose highWater: { mode: 'stale-threshold' }, which may lose events",
    )
  }
  return { inspection, sequence }
}

interface Polled extends Pick<Memory, 'inspection' | 'sequence'> {
  readonly poll: PostgresPoll
}

async function conclude(
  options: Options,
  backends: KnownBackends,
  request: HighWaterRequest<bigint>,
  { inspection, sequence, poll }: Polled,
): Promise<HighWaterReading<bigint>> {
  const { previous, stored, sharesLog, signal } = request
  const incarnation = requireSameIncarnation(previous?.incarnation, sequence, poll)
  backends.add(incarnation, poll.backendKey)
  const memory = previous?.memory as Memory | undefined
  requireNotRewound(options, memory?.settlement, previous?.logPosition, poll)
  const isShared = await sharesLog(incarnation)
  if (memory === undefined) requireStoredConsistent(stored, { incarnation, poll, isShared })
  if (poll.greatestVisible !== undefined && poll.greatestVisible > poll.lastHandedOut) {
    throw explicitPosition(options, sequence, poll)
  }

  const before = memory?.settlement ?? startSettlement(resumeSettled(denseOrder, stored, incarnation))
  const { settlement, provenEmpty, gaps, markNeedsLookup } = settle(before, {
    lastHandedOut: poll.lastHandedOut,
    holders: poll.holders.map((holder) => holder.transaction),
    visible: poll.visible,
    windowFull: poll.windowFull,
  })
  const lookedUp =
    markNeedsLookup && settlement.settled !== undefined
      ? await lookUpMark(options, backends, incarnation, settlement.settled, signal)
      : undefined
  if (!isShared && !poll.isFlushed)
    await waitUntilDurable(options.pool, backends, incarnation, poll.insertLsn, signal)
  const concluded = withMark(settlement, lookedUp)
  return {
    head: poll.lastHandedOut,
    settled: concluded.settled,
    mark: concluded.mark,
    gaps,
    holders: poll.holders,
    provenEmpty,
    skipped: [],
    incarnation,
    logPosition: poll.insertLsn,
    memory: {
      inspection,
      sequence,
      settlement: concluded,
      comparedAtMs: comparedAtMs(memory, poll),
    } satisfies Memory,
  }
}

/** The same backend is the same incarnation; on another one, all four facts are compared. */
function requireSameIncarnation(
  previous: string | undefined,
  sequence: InspectedSequence,
  { identity }: PostgresPoll,
): string {
  if (identity === undefined) {
    // Only backends of the previous incarnation were called known.
    if (previous?.endsWith(`/${sequence.oid}/${sequence.relfilenode}`)) return previous
    throw new IncarnationChangedError(String(previous), `${sequence.name} (oid ${sequence.oid})`)
  }
  const found = incarnationOf(identity, sequence)
  if (previous !== undefined && (found !== previous || !isSameServerRun(previous, identity))) {
    throw new IncarnationChangedError(previous, found)
  }
  return found
}

function isIdle({ settlement }: Memory): boolean {
  return settlement.settled !== undefined && settlement.settled === settlement.lastHandedOut
}

function isComparisonDue({ comparedAtMs }: Memory): boolean {
  return comparedAtMs === undefined || performance.now() - comparedAtMs >= COMPARE_GREATEST_EVERY_MS
}

/** A backend that was met for the first time makes the next poll compare. */
function comparedAtMs(memory: Memory | undefined, poll: PostgresPoll): number | undefined {
  if (poll.greatestVisible !== undefined || (memory !== undefined && isComparisonDue(memory)))
    return performance.now()
  return poll.identity === undefined ? memory?.comparedAtMs : undefined
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
