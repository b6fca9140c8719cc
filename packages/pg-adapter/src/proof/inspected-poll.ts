import { NotPrimaryError, PartitionsChangedError, PostgresConditionError } from '../errors.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { requireReadableInOrder, requireTable } from './conditions.ts'
import { requireComparableWhere } from './event-rows.ts'
import type { FormerSequences } from './former-sequences.ts'
import { type InspectedSequence, type Inspection, inspect } from './inspection.ts'
import { showsOwnSequenceLock } from './own-lock.ts'
import { readPoll } from './poll.ts'
import type { PostgresPoll } from './poll-rows.ts'
import type { PollRequest } from './poll-sql.ts'
import { LAST_RESORT, requireProvableSequence } from './sequence-conditions.ts'

/** A poll, and what the catalog said when it was taken. */
export interface InspectedPoll extends Inspected {
  readonly poll: PostgresPoll
}

interface Inspected {
  readonly inspection: Inspection
  readonly sequence: InspectedSequence
}

type Options = ResolvedPostgresEventsOptions<unknown>

/** A table that takes its numbers from another sequence at each look cannot be polled. */
const MOST_POLLS = 4

/**
 * Polls. If the catalog no longer says what was inspected, polls anew and reads the catalog in the same message, so
 * that both are of one moment: partitions may be made all the time. Every condition is then checked again. A poll
 * counts only if its first step read the sequence and file that the catalog names after its last step.
 */
export async function pollInspected(
  options: Options,
  known: Inspected | undefined,
  former: FormerSequences,
  request: Omit<PollRequest, keyof Inspected | 'formerSequences' | 'inspects'>,
  signal: AbortSignal,
): Promise<InspectedPoll> {
  let { inspection, sequence } = known ?? (await inspectAndCheck(options, former, signal))
  let poll: PostgresPoll | undefined
  for (let polls = 1; polls <= MOST_POLLS; polls++) {
    const inspects = polls > 1
    const formerSequences = former.besides(sequence.oid)
    poll = await readPoll(options, { ...request, inspection, sequence, formerSequences, inspects }, signal)
    if (poll?.mayLackPartition) continue
    if (poll?.fingerprint === inspection.fingerprint) return { inspection, sequence, poll }
    const now = poll?.inspection && requireConditions(poll.inspection, options)
    if (poll?.inspection && now && isSameFile(now, sequence)) {
      return { inspection: poll.inspection, sequence: now, poll }
    }
    if (poll === undefined || inspects)
      ({ inspection, sequence } = await inspectAndCheck(options, former, signal))
  }
  if (poll?.mayLackPartition) throw new PartitionsChangedError(options.sql.table)
  throw new PostgresConditionError(
    'sequence_found',
    `the sequence of ${options.sql.table} was replaced or altered at each of ${MOST_POLLS} looks; nothing is passed meanwhile`,
  )
}

function isSameFile(a: InspectedSequence, b: InspectedSequence): boolean {
  return a.oid === b.oid && a.relfilenode === b.relfilenode
}

async function inspectAndCheck(
  options: Options,
  former: FormerSequences,
  signal: AbortSignal,
): Promise<Inspected> {
  const inspection = await inspect(options, signal)
  const sequence = requireConditions(inspection, options)
  await requireComparableWhere(options, signal)
  former.add(sequence.oid)
  if (!(await showsOwnSequenceLock(options.pool, sequence.oid, signal))) {
    throw new PostgresConditionError(
      'pg_locks',
      "pg_locks does not show this session's own lock: this server is no PostgreSQL, or has another lock model. " +
        `Keep the events in PostgreSQL. ${LAST_RESORT}`,
    )
  }
  return { inspection, sequence }
}

function requireConditions(inspection: Inspection, options: Options): InspectedSequence {
  if (inspection.inRecovery) {
    throw new NotPrimaryError('this server is in recovery: polls and loads need the primary')
  }
  requireTable(inspection, options)
  const sequence = requireProvableSequence(inspection, options)
  requireReadableInOrder(inspection, options)
  return sequence
}
