import type { Gap, Holder, LateEvent } from '@tidemark/core/adapter'
import { type BoundedPool, withConnection } from '../client.ts'
import { NotPrimaryError, sqlState } from '../errors.ts'
import { quoteLiteral } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { isKnownSql } from '../server/backends.ts'
import { BACKEND_KEY_SQL, SERVER_IDENTITY_SQL, type ServerIdentity } from '../server/incarnation.ts'
import { parseSnapshot, type Snapshot } from '../server/snapshot.ts'
import { begin, LOCK_TIMEOUT, limitSql, locksSql, lockTableSql } from '../transaction.ts'
import { fingerprintSql } from './fingerprint.ts'
import { type InspectedSequence, type Inspection, parseInspection } from './inspection.ts'
import { inspectionSql } from './inspection-sql.ts'
import { lateEventsSql, parseLateEvents } from './late-events.ts'
import { fail, mayNotRead } from './sequence-conditions.ts'

/** What one poll saw. */
export interface PostgresPoll {
  /** The greatest visible position above `compareAbove`, read *before* `lastHandedOut`. */
  readonly greatestVisible: bigint | undefined
  /** Whether that was looked for. */
  readonly isCompared: boolean
  /** Step 1, `v`. */
  readonly lastHandedOut: bigint
  /** Step 2, `W`. */
  readonly holders: readonly Holder[]
  /** Those that hold the lock of a sequence that filled the column before, and not this one's. */
  readonly formerHolders: readonly Holder[]
  /** Step 3. */
  readonly visible: readonly bigint[]
  /** How far step 3 has looked. */
  readonly windowEnd: bigint | undefined
  /** What is visible now of the watched runs. */
  readonly late: readonly LateEvent[]
  readonly fingerprint: string
  /** Whether partitions changed while step 3 looked them up. What it then read may lack those of a new one. */
  readonly mayLackPartition: boolean
  /** What the catalog said at the end of this poll; where it was asked for, and one statement can tell. */
  readonly inspection: Inspection | undefined
  readonly backendKey: string
  /** Read only from a backend that was not known. */
  readonly identity: ServerIdentity | undefined
  readonly insertLsn: string
  /** What could be seen after all steps; the catalog of `fingerprint` too. */
  readonly snapshot: Snapshot
  readonly isFlushed: boolean
}

export interface PollRequest {
  readonly inspection: Inspection
  readonly sequence: InspectedSequence
  /** The oids of sequences that filled the column before. */
  readonly formerSequences: readonly string[]
  /** `undefined` leaves step 3 out: far behind, the bound is enough. */
  readonly visibleAbove: bigint | undefined
  /**
   * A number that was handed out: a visible position above it is compared with `v`. `undefined` compares none. From the
   * end of the table down to there every row of a transaction still open would be looked at.
   */
  readonly compareAbove: bigint | undefined
  /** Runs that were proven empty: whether they still are is looked at again. */
  readonly watched: readonly Gap<bigint>[]
  readonly knownBackends: readonly string[]
  /** Whether the catalog is read too, at the end. */
  readonly inspects: boolean
}

type Options = ResolvedPostgresEventsOptions<unknown>

/** Events read by step 3; with them the mark runs right up to the gap of a slow writer. */
const WINDOW = 500
/** Positions looked at by step 3: rows that are not committed yet cost as much, and there may be millions of them. */
const WINDOW_POSITIONS = 5_000n
/** `pg_get_sequence_data` came with 18. */
const HAS_SEQUENCE_DATA = 180_000

/**
 * A full poll: one simple-protocol message on one backend, so that a crash fails all of it and a pooler cannot split
 * it. Each step needs a snapshot of its own. Each statement returns one row. `undefined`: table, column or sequence is not the one that was inspected.
 */
export async function readPoll(
  options: Options,
  request: PollRequest,
  signal: AbortSignal,
): Promise<PostgresPoll | undefined> {
  const { sequence } = request
  try {
    const row = await send(options.pool, request.inspection, pollSql(options, request, NO_UNCALLED), signal)
    if (row.lastHandedOut !== null) return toPoll(options, row, request, BigInt(String(row.lastHandedOut)))
    if (!isReadable(row, request)) return undefined
    // 14 to 17 answer NULL for a sequence that was never called, or set back by setval(s, n, false).
    const uncalled = await send(
      options.pool,
      request.inspection,
      pollSql(options, request, uncalledSql(sequence)),
      signal,
    )
    const lastHandedOut = lastHandedOutOfUncalled(uncalled, request)
    return lastHandedOut === undefined ? undefined : toPoll(options, uncalled, request, lastHandedOut)
  } catch (error) {
    if (UNDEFINED_NAMES.has(sqlState(error))) return undefined
    throw error
  }
}

/** undefined_table, undefined_column */
const UNDEFINED_NAMES: ReadonlySet<string | undefined> = new Set(['42P01', '42703'])

/**
 * Step 1 alone, for while `v` equals settled. Says whether that is still so, of the same sequence, on a
 * known backend, and what was proven empty is.
 */
export async function probe(
  options: Options,
  {
    inspection,
    sequence,
    watched,
    knownBackends,
  }: Pick<PollRequest, 'inspection' | 'sequence' | 'watched' | 'knownBackends'>,
  lastHandedOut: bigint | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const row = await send(
    options.pool,
    inspection,
    // Before 18 the number is read under the lock that a writer takes: last, so that other daemons see it for a moment only.
    `${LOCK_TIMEOUT};
    ${watched.length === 0 ? '' : `${lateEventsSql(options, watched)};`}
    select ${lastHandedOutSql(inspection, sequence)} as "lastHandedOut",
      (${isKnownSql(knownBackends)})::text as "isKnownBackend",
      ${polledFingerprintSql(options, sequence)} as fingerprint;
    commit`,
    signal,
  )
  return (
    row.lastHandedOut === lastHandedOut?.toString() &&
    row.isKnownBackend === 'true' &&
    row.fingerprint === inspection.fingerprint &&
    parseLateEvents(row.late).length === 0
  )
}

function pollSql(options: Options, request: PollRequest, readUncalled: string): string {
  const { inspection, sequence, visibleAbove, compareAbove, watched, knownBackends, inspects } = request
  const { table, position } = options.sql
  const window =
    visibleAbove === undefined
      ? undefined
      : `select ${position} from ${table}
         where ${position} > ${visibleAbove} and ${position} <= ${visibleAbove + WINDOW_POSITIONS}
         order by ${position} limit ${WINDOW}`
  return `
    ${LOCK_TIMEOUT};
    ${compareAbove === undefined ? '' : `select max(${position})::text as "greatestVisible" from ${table} where ${position} > ${compareAbove};`}
    ${readUncalled}
    select ${lastHandedOutSql(inspection, sequence)} as "lastHandedOut",
      exists (select from pg_class where oid = ${sequence.oid}::oid)::text as "sequenceExists",
      coalesce(has_sequence_privilege(${sequence.oid}::oid, 'SELECT'), false)::text as "mayReadSequence";
    commit;
    begin isolation level read committed;
    ${limitSql(options.pool)};
    ${LOCK_TIMEOUT};
    ${holdersSql(sequence, request.formerSequences)};
    ${
      inspects && window !== undefined
        ? `${lockTableSql(table)} select ${polledFingerprintSql(options, sequence)} as "fingerprintBefore"; ${locksSql(window)}`
        : ''
    }
    select ${window === undefined ? "''" : `array_to_string(array(${window}), ',')`} as visible;
    ${watched.length === 0 ? '' : `${lateEventsSql(options, watched)};`}
    select ${polledFingerprintSql(options, sequence)} as fingerprint,
      pg_current_wal_insert_lsn()::text as "insertLsn", pg_current_snapshot()::text as snapshot,
      (pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn())::text as "isFlushed",
      ${BACKEND_KEY_SQL} as "backendKey",
      case when ${isKnownSql(knownBackends)} then null else ${SERVER_IDENTITY_SQL}::text end as identity;
    ${inspects ? `${inspectionSql(options)};` : ''}
    commit`
}

function polledFingerprintSql({ sql, position }: Options, { oid }: InspectedSequence): string {
  return fingerprintSql(`to_regclass(${quoteLiteral(sql.table)})::oid`, `${oid}::oid`, position)
}

/**
 * The last number handed out, read under the sequence page's buffer lock. Never `SELECT last_value FROM sequence`:
 * while nextval writes WAL it stores a value up to 32 too high there, and SELECT reads without that lock.
 */
function lastHandedOutSql({ serverVersion }: Inspection, { oid }: InspectedSequence): string {
  const read =
    serverVersion >= HAS_SEQUENCE_DATA
      ? `(select (case when s.is_called then s.last_value else s.last_value - 1 end)::text
           from pg_get_sequence_data(${oid}::oid) s)`
      : `pg_sequence_last_value(${oid}::oid::regclass)::text`
  return `(case when has_sequence_privilege(${oid}::oid, 'SELECT') then ${read} end)`
}

const NO_UNCALLED = ''

/** Read before the function is called again: still NULL then makes `last_value - 1` exact. */
function uncalledSql({ name }: InspectedSequence): string {
  return `select tableoid::text as "uncalledOid", last_value::text as "uncalledLastValue",
    is_called::text as "isCalled" from ${name};`
}

function lastHandedOutOfUncalled(row: Row, request: PollRequest): bigint | undefined {
  if (row.lastHandedOut !== null) return BigInt(String(row.lastHandedOut))
  const isStillUncalled =
    isReadable(row, request) && row.isCalled === 'false' && row.uncalledOid === request.sequence.oid
  return isStillUncalled ? BigInt(String(row.uncalledLastValue)) - 1n : undefined
}

/**
 * Granted locks of the mode that nextval takes, on this sequence in this database (oids repeat across databases). A
 * writer in the tail of its commit shows as `N/0`: it has ended. Prepared holders have no pid. Any role may see the
 * application's name; the start time needs pg_read_all_stats.
 */
function holdersSql({ oid }: InspectedSequence, formerSequences: readonly string[]): string {
  const isPresent = `l.relation = ${oid}::oid`
  const isAny = formerSequences.length === 0 ? isPresent : `(${isPresent} or ${isFormerSql(formerSequences)})`
  return `select coalesce(json_agg(json_build_object(
      'transaction', l.virtualtransaction, 'pid', l.pid, 'applicationName', nullif(a.application_name, ''),
      'startedAt', a.xact_start, 'isFormer', l.relation <> ${oid}::oid
    )), '[]')::text as holders
    from pg_locks l
    left join lateral pg_stat_get_activity(coalesce(l.pid, ${NO_SUCH_PID})) a on true
    where l.locktype = 'relation' and ${isAny}
      and l.mode = 'RowExclusiveLock' and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
      and l.pid is distinct from pg_backend_pid() and l.virtualtransaction not like '%/0'`
}

/** The oid may be another relation's by now. */
function isFormerSql(formerSequences: readonly string[]): string {
  const oids = formerSequences.map((oid) => `${oid}::oid`).join(', ')
  return `l.relation in (${oids}) and (select c.relkind from pg_class c where c.oid = l.relation) = 'S'`
}

/** -1 and NULL ask `pg_stat_get_activity` for every backend. */
const NO_SUCH_PID = -2

type Row = Readonly<Record<string, unknown>>

/**
 * Destroys the connection where partitions have changed meanwhile. A backend that looks up the partitions in the very
 * moment in which ATTACH PARTITION commits may take note of the change before it has written down what it found, and then
 * does not read the new partition until the next change (`RelationBuildPartitionDesc`, seen in 18).
 */
async function send(
  pool: BoundedPool,
  inspection: Inspection,
  sql: string,
  signal: AbortSignal,
): Promise<Row> {
  try {
    return await withConnection(pool, signal, async (client, connection) => {
      const results = await begin(client, sql)
      const row: Row = Object.assign({}, ...results.flatMap((result) => result.rows))
      connection.isSpent = row.fingerprint !== inspection.fingerprint
      return row
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

function toPoll(options: Options, row: Row, request: PollRequest, lastHandedOut: bigint): PostgresPoll {
  const visible = row.visible === '' ? [] : String(row.visible).split(',').map(BigInt)
  return {
    greatestVisible: typeof row.greatestVisible === 'string' ? BigInt(row.greatestVisible) : undefined,
    isCompared: request.compareAbove !== undefined,
    lastHandedOut,
    ...toHolders(String(row.holders)),
    visible,
    windowEnd: windowEndOf(request.visibleAbove, visible),
    late: parseLateEvents(row.late),
    fingerprint: String(row.fingerprint),
    mayLackPartition: row.fingerprintBefore !== undefined && row.fingerprintBefore !== row.fingerprint,
    inspection: typeof row.facts === 'string' ? parseInspection(row.facts, options) : undefined,
    backendKey: String(row.backendKey),
    identity: typeof row.identity === 'string' ? (JSON.parse(row.identity) as ServerIdentity) : undefined,
    insertLsn: String(row.insertLsn),
    snapshot: toSnapshot(row),
    isFlushed: row.isFlushed === 'true',
  }
}

function toSnapshot(row: Row): Snapshot {
  const snapshot = parseSnapshot(String(row.snapshot))
  if (snapshot === undefined) throw new TypeError(`pg_current_snapshot() is ${String(row.snapshot)}`)
  return snapshot
}

function windowEndOf(visibleAbove: bigint | undefined, visible: readonly bigint[]): bigint | undefined {
  if (visibleAbove === undefined) return undefined
  return visible.length === WINDOW ? visible.at(-1) : visibleAbove + WINDOW_POSITIONS
}

interface ListedHolder {
  readonly transaction: string
  readonly pid: number | null
  readonly applicationName: string | null
  readonly startedAt: string | null
  readonly isFormer: boolean
}

/** One lock may be listed twice; who holds both kinds of sequences holds this one. */
function toHolders(json: string): Pick<PostgresPoll, 'holders' | 'formerHolders'> {
  const listed = JSON.parse(json) as ListedHolder[]
  const holders = byTransaction(listed.filter(({ isFormer }) => !isFormer))
  const former = byTransaction(listed.filter(({ isFormer }) => isFormer))
  for (const transaction of holders.keys()) former.delete(transaction)
  return { holders: [...holders.values()], formerHolders: [...former.values()] }
}

function byTransaction(listed: readonly ListedHolder[]): Map<string, Holder> {
  return new Map(
    listed.map(({ transaction, pid, applicationName, startedAt }) => [
      transaction,
      {
        transaction,
        pid: pid ?? undefined,
        applicationName: applicationName ?? undefined,
        startedAt: startedAt === null ? undefined : new Date(startedAt),
      },
    ]),
  )
}

/** NULL alone means nothing: 18 answers it for a missing privilege and for a missing oid. */
function isReadable(row: Row, { inspection, sequence }: PollRequest): boolean {
  if (row.sequenceExists !== 'true') return false
  if (row.mayReadSequence === 'true') return true
  return fail('sequence_privilege', mayNotRead(sequence.name, inspection.role))
}
