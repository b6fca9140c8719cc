import { requireProvableSequence, requireReadableTable } from './conditions.ts'
import { NotPrimaryError, PostgresConditionError } from './errors.ts'
import { type PollRequest, type PostgresPoll, readPoll } from './high-water.ts'
import { type InspectedSequence, type Inspection, inspect } from './inspection.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'
import { showsOwnSequenceLock } from './own-lock.ts'

/** A poll, and the catalog's word that held when it was taken. */
export interface InspectedPoll extends Inspected {
  readonly poll: PostgresPoll
}

interface Inspected {
  readonly inspection: Inspection
  readonly sequence: InspectedSequence
}

type Options = ResolvedPostgresEventsOptions<unknown>

/** A table that is altered all the time cannot be inspected. */
const MOST_INSPECTIONS = 3

/** Polls; where the column's definition is no longer the inspected one, checks every condition again and polls anew. */
export async function pollInspected(
  options: Options,
  known: Inspected | undefined,
  request: Omit<PollRequest, keyof Inspected>,
  signal: AbortSignal,
): Promise<InspectedPoll> {
  let { inspection, sequence } = known ?? (await inspectAndCheck(options, signal))
  for (let inspections = 1; ; inspections++) {
    const poll = await readPoll(options, { ...request, inspection, sequence }, signal)
    if (poll?.fingerprint === inspection.fingerprint) return { inspection, sequence, poll }
    if (inspections === MOST_INSPECTIONS) {
      throw new PostgresConditionError('sequence_found', `${options.sql.table} is being altered at each look`)
    }
    ;({ inspection, sequence } = await inspectAndCheck(options, signal))
  }
}

async function inspectAndCheck(options: Options, signal: AbortSignal): Promise<Inspected> {
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
