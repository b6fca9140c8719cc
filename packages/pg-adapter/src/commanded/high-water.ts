import {
  type HighWaterReading,
  type HighWaterRequest,
  IncarnationChangedError,
  type OpenedSource,
  StoreRewoundError,
} from '@tidemark/core/adapter'
import { withConnection } from '../client.ts'
import { NotPrimaryError, PostgresConditionError } from '../errors.ts'
import { quoteLiteral, quoteTexts } from '../identifiers.ts'
import { isKnownSql, type KnownBackends } from '../server/backends.ts'
import { waitUntilDurable } from '../server/durability.ts'
import {
  BACKEND_KEY_SQL,
  incarnationOf,
  SERVER_IDENTITY_SQL,
  type ServerIdentity,
  tablePart,
} from '../server/incarnation.ts'
import { formatLogPosition } from '../server/log-position.ts'
import { halted, requireNotRewound, requireStoredConsistent } from '../server/rewind.ts'
import { parseSnapshot } from '../server/snapshot.ts'
import { sqlState } from '../sql-state.ts'
import { transactUnlessLocked } from '../transaction.ts'
import type { ResolvedCommandedEventsOptions } from './options.ts'

type Options = ResolvedCommandedEventsOptions

/** One statement, and one snapshot. */
interface Poll {
  /** The version of `$all`: how many numbers were handed out, all of them by transactions that have committed. */
  readonly version: bigint
  /** The last event that is there. */
  readonly last: bigint | undefined
  readonly backendKey: string
  readonly incarnation: string
  readonly insertLsn: string
  readonly logPosition: string
  readonly isFlushed: boolean
}

/** Names the run of the server, and checks what can be checked. */
export async function openCommanded(options: Options, signal: AbortSignal): Promise<OpenedSource> {
  const { incarnation } = await poll(options, undefined, [], signal)
  return { incarnation, memory: undefined }
}

/**
 * One poll. Each append raises the version of `$all`, and holds the lock on that row until it has ended. So a snapshot that
 * shows a version shows every event up to it: all of them are settled. What is not there was deleted.
 */
export async function readCommanded(
  options: Options,
  backends: KnownBackends,
  request: HighWaterRequest<bigint>,
): Promise<HighWaterReading<bigint>> {
  const { previous, opened, stored, sharesLog, signal } = request
  const { incarnation } = opened
  const polled = await poll(options, incarnation, backends.of(incarnation), signal)
  const { version, last, insertLsn, logPosition } = polled
  const seen = { lastHandedOut: version, insertLsn }
  const toDecide = halted(request.toDecide)
  if (previous === undefined) {
    requireStoredConsistent(stored ?? [], { incarnation, poll: seen, isShared: sharesLog, toDecide })
  } else {
    requireNotRewound(options, undefined, previous.logPosition, seen, toDecide)
  }
  if (previous?.head !== undefined && version < previous.head) {
    throw new StoreRewoundError(
      `the version of $all went back from ${previous.head} to ${version}. ${toDecide}`,
    )
  }
  backends.add(incarnation, polled.backendKey)
  if (!polled.isFlushed && !sharesLog) {
    await waitUntilDurable(options.pool, backends, incarnation, insertLsn, signal)
  }
  return {
    head: version,
    settled: version,
    // The last event may have been deleted.
    mark: greater(last, previous?.mark),
    gaps: [],
    holders: [],
    provenEmpty: [],
    skipped: [],
    incarnation,
    logPosition,
    memory: undefined,
  }
}

function greater(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  return a === undefined || (b !== undefined && b > a) ? b : a
}

/** @param expected - the incarnation that it has to be of; `undefined` names one */
async function poll(
  options: Options,
  expected: string | undefined,
  knownBackends: readonly string[],
  signal: AbortSignal,
): Promise<Poll> {
  const row = await send(options, knownBackends, signal)
  if (row.isHidden === 'true') throw hidden(options)
  if (typeof row.version !== 'string') {
    throw new PostgresConditionError(
      'table_exists',
      `${options.sql.streams} has no row of the stream $all (stream_id 0), which each event store of EventStore for Elixir has; ` +
        'look whether the option schema names its schema',
    )
  }
  const table = {
    tableOid: String(row.tableOid),
    sequenceOid: String(row.streamsOid),
    sequenceFile: String(row.streamsFile),
  }
  const incarnation =
    typeof row.identity === 'string'
      ? incarnationOf(JSON.parse(row.identity) as ServerIdentity, table)
      : // Only backends of the expected incarnation were called known.
        expected?.endsWith(tablePart(table))
        ? expected
        : `another table than that of ${expected}`
  if (expected !== undefined && incarnation !== expected) {
    throw new IncarnationChangedError(expected, incarnation)
  }
  const snapshot = parseSnapshot(String(row.snapshot))
  if (snapshot === undefined) throw new TypeError(`pg_current_snapshot() is ${String(row.snapshot)}`)
  const insertLsn = String(row.insertLsn)
  return {
    version: BigInt(row.version),
    last: typeof row.last === 'string' ? BigInt(row.last) : undefined,
    backendKey: String(row.backendKey),
    incarnation,
    insertLsn,
    logPosition: formatLogPosition(insertLsn, snapshot),
    isFlushed: row.isFlushed === 'true',
  }
}

/** What is hidden would be passed as if it had been deleted. */
export function hidden({ sql }: Options): PostgresConditionError {
  return new PostgresConditionError(
    'row_security',
    `row security hides rows of ${sql.table}, ${sql.events} or ${sql.streams} from this role; read with a role that has ` +
      'BYPASSRLS, or that owns the tables',
  )
}

async function send(
  options: Options,
  knownBackends: readonly string[],
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  try {
    const [read] = await withConnection(options.pool, signal, (client) =>
      transactUnlessLocked(client, pollSql(options, knownBackends)),
    )
    return read?.rows[0] ?? {}
  } catch (error) {
    const state = sqlState(error)
    // object_not_in_prerequisite_state: WAL functions are not to be had in recovery.
    if (state === '55000') {
      throw new NotPrimaryError('this server is in recovery: polls and loads need the primary', {
        cause: error,
      })
    }
    const condition = NOT_AS_EXPECTED[state ?? '']
    if (condition === undefined) throw error
    throw new PostgresConditionError(
      condition,
      `the tables of EventStore for Elixir cannot be read: ${String(error)}; look whether the option schema names their schema, ` +
        `and whether this role may SELECT from ${options.sql.streams}, ${options.sql.table} and ${options.sql.events}`,
      { cause: error },
    )
  }
}

const NOT_AS_EXPECTED: Readonly<Record<string, 'table_exists' | 'columns_exist' | 'table_privilege'>> = {
  '42P01': 'table_exists',
  '3F000': 'table_exists',
  '42703': 'columns_exist',
  '42501': 'table_privilege',
}

function pollSql({ sql }: Options, knownBackends: readonly string[]): string {
  const { events, streams, table, position } = sql
  const hides = [events, streams, table].map((name) => `row_security_active(${quoteLiteral(name)})`)
  // The event's own columns are read too, so that a missing one, or a missing right, shows at the start.
  return `select s.stream_version::text as version,
      (select max(p.${position})::text from ${table} p where p.stream_id = 0 and p.${position} <= s.stream_version) as last,
      (${hides.join(' or ')})::text as "isHidden",
      ${quoteLiteral(table)}::regclass::oid::text as "tableOid", s.tableoid::text as "streamsOid",
      (select relfilenode from pg_class where oid = s.tableoid)::text as "streamsFile",
      pg_current_wal_insert_lsn()::text as "insertLsn", pg_current_snapshot()::text as snapshot,
      (pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn())::text as "isFlushed",
      ${BACKEND_KEY_SQL} as "backendKey",
      case when ${isKnownSql(quoteTexts(knownBackends))} then null else ${SERVER_IDENTITY_SQL}::text end as identity
    from (select 1) one left join ${streams} s on s.stream_id = 0
    left join (select event_type, data from ${events} limit 0) e on true`
}
