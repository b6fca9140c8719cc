import { TidemarkError } from '@tidemark/core/adapter'
import { type BoundedPool, withConnection } from '../client.ts'
import { NotPrimaryError } from '../errors.ts'
import { tellBackend } from '../kept-statements.ts'
import { type Message, sendMeasured } from '../message.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { pidOf } from '../server/incarnation.ts'
import { sqlState } from '../sql-state.ts'
import type { Inspection } from './inspection.ts'
import { parseLateEvents } from './late-events.ts'
import {
  isReadable,
  lastHandedOutOfUncalled,
  type PostgresPoll,
  type ReadAlong,
  type Row,
  toPoll,
} from './poll-rows.ts'
import {
  AFTER_ALONG,
  type PollRequest,
  type ProbeRequest,
  pollMessage,
  probeMessage,
  readAlong,
  uncalledSql,
} from './poll-sql.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/**
 * A full poll: one simple-protocol message on one backend, so that a crash fails all of it and a pooler cannot split
 * it. `undefined`: table, column or sequence is not the one that was inspected.
 */
export async function readPoll(
  options: Options,
  request: PollRequest,
  signal: AbortSignal,
): Promise<PostgresPoll | undefined> {
  const { sequence } = request
  const alongside = readAlong(request).length
  try {
    const { row, along } = await send(
      options.pool,
      request.inspection,
      pollMessage(options, request, undefined),
      signal,
      alongside,
    )
    if (row.lastHandedOut !== null)
      return toPoll(options, row, request, BigInt(String(row.lastHandedOut)), along)
    if (!isReadable(row, request)) return undefined
    // 14 to 17 answer NULL for a sequence that was never called, or set back by setval(s, n, false).
    const { row: uncalled } = await send(
      options.pool,
      request.inspection,
      pollMessage(options, { ...request, along: [] }, uncalledSql(sequence)),
      signal,
    )
    const lastHandedOut = lastHandedOutOfUncalled(uncalled, request)
    return lastHandedOut === undefined ? undefined : toPoll(options, uncalled, request, lastHandedOut)
  } catch (error) {
    if (alongside > 0 && !signal.aborted && isOfStatement(error))
      return await readPoll(options, { ...request, along: [] }, signal)
    if (UNDEFINED_NAMES.has(sqlState(error))) return undefined
    throw error
  }
}

/**
 * Whether a statement itself may be wrong, as one of those that are read along: a column is gone, a value corrupt, or a parser of
 * the pool has thrown. Whoever needs what they read asks for it again, and is told.
 */
function isOfStatement(error: unknown): boolean {
  if (error instanceof TidemarkError) return false
  const state = sqlState(error)
  return state === undefined || STATEMENT_CLASSES.has(state.slice(0, 2))
}

/** data_exception, syntax_error_or_access_rule_violation, program_limit_exceeded, internal_error */
const STATEMENT_CLASSES: ReadonlySet<string> = new Set(['22', '42', '54', 'XX'])

/** undefined_table, undefined_column */
const UNDEFINED_NAMES: ReadonlySet<string | undefined> = new Set(['42P01', '42703'])

/**
 * Step 1 alone, for while `v` equals settled. Says whether that is still so, of the same sequence, on a
 * known backend, and what was proven empty is.
 */
export async function probe(
  options: Options,
  request: ProbeRequest,
  lastHandedOut: bigint | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const { inspection } = request
  const { row } = await send(options.pool, inspection, probeMessage(options, request), signal)
  return (
    row.lastHandedOut === lastHandedOut?.toString() &&
    row.isKnownBackend === 'true' &&
    row.fingerprint === inspection.fingerprint &&
    parseLateEvents(row.late).length === 0
  )
}

/**
 * Destroys the connection where partitions have changed meanwhile. A backend that looks up the partitions in the very
 * moment in which ATTACH PARTITION commits may take note of the change before it has written down what it found, and then
 * does not read the new partition until the next change (`RelationBuildPartitionDesc`, seen in 18).
 */
async function send(
  pool: BoundedPool,
  inspection: Inspection,
  message: Message,
  signal: AbortSignal,
  /** How many of its statements are read along. */
  alongside = 0,
): Promise<{ readonly row: Row; readonly along: ReadAlong | undefined }> {
  try {
    return await withConnection(pool, signal, async (client, connection) => {
      const { results, sentAtMs, answeredAtMs, bytes } = await sendMeasured(client, message)
      const end = results.length - AFTER_ALONG
      const first = end - alongside
      const own = alongside === 0 ? results : [...results.slice(0, first), ...results.slice(end)]
      const row: Row = Object.assign({}, ...own.flatMap((result) => result.rows))
      if (typeof row.backendKey === 'string') tellBackend(client, pidOf(row.backendKey))
      connection.isSpent = row.fingerprint !== inspection.fingerprint
      if (alongside === 0) return { row, along: undefined }
      const along: ReadAlong = {
        rows: results.slice(first, end).map((result) => result.rows),
        clock: { sentAtMs, serverMs: Number(row.now), answeredAtMs },
        bytes,
      }
      return { row, along }
    })
  } catch (error) {
    // object_not_in_prerequisite_state: WAL functions, and the writers' lock, are not to be had in recovery.
    if (sqlState(error) === '55000') {
      throw new NotPrimaryError('this server is in recovery: polls and loads need the primary', {
        cause: error,
      })
    }
    throw error
  }
}
