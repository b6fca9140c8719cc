import type { Gap } from '@tidemark/core/adapter'
import { SERVER_NOW_SQL } from '../append-time.ts'
import { quoteLiteral, quoteTexts } from '../identifiers.ts'
import type { Message } from '../message.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { isKnownSql } from '../server/backends.ts'
import { BACKEND_KEY_SQL, SERVER_IDENTITY_SQL } from '../server/incarnation.ts'
import { type Bind, plainSql, type Statement } from '../statement.ts'
import { locksSql, lockTableSql } from '../transaction.ts'
import { fingerprintSql } from './fingerprint.ts'
import type { InspectedSequence, Inspection } from './inspection.ts'
import { inspectionSql } from './inspection-sql.ts'
import { lookAgain } from './late-events.ts'
import { windowOf } from './poll-window.ts'

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
  /** What is read along, where the table is one that `mayReadAlong`. */
  readonly along: readonly Statement[]
}

export type ProbeRequest = Pick<PollRequest, 'inspection' | 'sequence' | 'watched' | 'knownBackends'>

type Options = ResolvedPostgresEventsOptions<unknown>

/** `pg_get_sequence_data` came with 18. */
const HAS_SEQUENCE_DATA = 180_000

/**
 * Steps 1 to 3. Each needs a snapshot of its own, and each statement returns one row, but for what is read along: that stands
 * before the last. So it sees all that has ended before, under the locks that the third step has taken, and what tells that rows
 * are hidden, or that the table is another one, comes after it.
 */
export function pollMessage(
  options: Options,
  request: PollRequest,
  readUncalled: string | undefined,
): Message {
  const { inspection, sequence, visibleAbove, compareAbove, watched, knownBackends, inspects } = request
  const window = visibleAbove === undefined ? undefined : windowOf(options, visibleAbove)
  const looksAtCatalog = inspects && window !== undefined
  const firstStep = [
    // Before anything reads the table: a partition that is attached under any of these reads may be overlooked by all that follow.
    looksAtCatalog && `select ${polledFingerprintSql(options, sequence)} as "fingerprintBefore"`,
    compareAbove !== undefined && greatestVisible(options, compareAbove),
    readUncalled,
    sequenceState(inspection, sequence),
  ].filter(isSent)
  const furtherSteps = [
    holders(sequence, request.formerSequences),
    looksAtCatalog && lockTableSql(options.sql.table),
    looksAtCatalog && locksSql(plainSql(window)),
    visible(window),
    watched.length > 0 && lookAgain(options, watched, inspection),
    ...readAlong(request),
    endOfPoll(options, sequence, knownBackends),
    inspects && inspectionSql(options),
  ].filter(isSent)
  return {
    transactions: isReadWithoutLock(inspection)
      ? [[...firstStep, ...furtherSteps]]
      : [firstStep, furtherSteps],
    plans: inspects || readUncalled !== undefined ? 'made anew' : plansFor(inspection),
  }
}

/** How many results stand after those of what was read along: the last statement's, and that of COMMIT. */
export const AFTER_ALONG = 2

/** What is read along. Nothing where the third step takes no lock, or the message is one that is seldom sent. */
export function readAlong({ along, visibleAbove, inspects }: PollRequest): readonly Statement[] {
  return inspects || visibleAbove === undefined ? [] : along
}

/**
 * Whether something may be read along with the polls of a table. With partitions it would have to be read as a page is, with their
 * locks first. Without an index the plans are not kept.
 */
export function mayReadAlong({ relations, hasIndex, mayBeReadInPart }: Inspection): boolean {
  return relations.length === 1 && hasIndex && !mayBeReadInPart
}

/** Step 1 alone. */
export function probeMessage(
  options: Options,
  { inspection, sequence, watched, knownBackends }: ProbeRequest,
): Message {
  const state: Statement = (bind) => `select ${lastHandedOutSql(inspection, sequence)} as "lastHandedOut",
      (${isKnownSql(bind('text[]', quoteTexts(knownBackends)))})::text as "isKnownBackend",
      ${polledFingerprintSql(options, sequence)} as fingerprint`
  // Before 18 the number is read under the lock that a writer takes: last, so that other daemons see it for a moment only.
  const steps: readonly (Part | false)[] = [
    watched.length > 0 && lookAgain(options, watched, inspection),
    state,
  ]
  return { transactions: [steps.filter(isSent)], plans: plansFor(inspection) }
}

type Part = Message['transactions'][number][number]

function isSent(part: Part | false | undefined): part is Part {
  return part !== false && part !== undefined
}

/**
 * Which partitions are read, and locked, may hang on the values. Where it does not, one plan serves all: left to itself,
 * PostgreSQL would plan a poll of all partitions anew each time, which takes several times as long as to run it.
 */
function plansFor({ mayBeReadInPart, hasIndex }: Inspection): Message['plans'] {
  if (!hasIndex) return 'made anew'
  return mayBeReadInPart ? 'kept by values' : 'kept'
}

function greatestVisible({ sql: { table, position } }: Options, above: bigint): Statement {
  return (bind) => `select max(${position})::text as "greatestVisible" from ${table}
    where ${position} > ${bind('bigint', above.toString())}`
}

function sequenceState(inspection: Inspection, sequence: InspectedSequence): Statement {
  return () => `select ${lastHandedOutSql(inspection, sequence)} as "lastHandedOut",
      exists (select from pg_class where oid = ${sequence.oid}::oid)::text as "sequenceExists",
      coalesce(has_sequence_privilege(${sequence.oid}::oid, 'SELECT'), false)::text as "mayReadSequence"`
}

function visible(window: Statement | undefined): Statement {
  return (bind) =>
    `select ${window === undefined ? "''" : `array_to_string(array(${window(bind)}), ',')`} as visible`
}

function endOfPoll(
  options: Options,
  sequence: InspectedSequence,
  knownBackends: readonly string[],
): Statement {
  return (bind) => `select ${polledFingerprintSql(options, sequence)} as fingerprint,
      pg_current_wal_insert_lsn()::text as "insertLsn", pg_current_snapshot()::text as snapshot,
      (pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn())::text as "isFlushed",
      ${BACKEND_KEY_SQL} as "backendKey", ${SERVER_NOW_SQL} as now,
      case when ${isKnownSql(bind('text[]', quoteTexts(knownBackends)))} then null else ${SERVER_IDENTITY_SQL}::text end as identity`
}

function polledFingerprintSql(options: Options, { oid }: InspectedSequence): string {
  return fingerprintSql(`to_regclass(${quoteLiteral(options.sql.table)})::oid`, `${oid}::oid`, options)
}

/** From 18 on the last number is read under no lock that outlasts the read, and none that a writer takes. */
function isReadWithoutLock({ serverVersion }: Inspection): boolean {
  return serverVersion >= HAS_SEQUENCE_DATA
}

/**
 * The last number handed out, read under the sequence page's buffer lock. Never `SELECT last_value FROM sequence`:
 * while nextval writes WAL it stores a value up to 32 too high there, and SELECT reads without that lock.
 */
function lastHandedOutSql(inspection: Inspection, { oid }: InspectedSequence): string {
  const read = isReadWithoutLock(inspection)
    ? `(select (case when s.is_called then s.last_value else s.last_value - 1 end)::text
           from pg_get_sequence_data(${oid}::oid) s)`
    : `pg_sequence_last_value(${oid}::oid::regclass)::text`
  return `(case when has_sequence_privilege(${oid}::oid, 'SELECT') then ${read} end)`
}

/** Read before the function is called again: still NULL then makes `last_value - 1` exact. */
export function uncalledSql({ name }: InspectedSequence): string {
  return `select tableoid::text as "uncalledOid", last_value::text as "uncalledLastValue",
    is_called::text as "isCalled" from ${name}`
}

/**
 * Granted locks of the mode that nextval takes, on this sequence in this database (oids repeat across databases). A
 * writer in the tail of its commit shows as `N/0`: it has ended. Prepared holders have no pid. Any role may see the
 * application's name; the start time needs pg_read_all_stats.
 */
function holders({ oid }: InspectedSequence, formerSequences: readonly string[]): Statement {
  const isPresent = `l.relation = ${oid}::oid`
  const isAny = (bind: Bind): string =>
    formerSequences.length === 0 ? isPresent : `(${isPresent} or ${isFormerSql(formerSequences, bind)})`
  return (bind) => `select coalesce(json_agg(json_build_object(
      'transaction', l.virtualtransaction, 'pid', l.pid, 'applicationName', nullif(a.application_name, ''),
      'startedAt', a.xact_start, 'isFormer', l.relation <> ${oid}::oid
    )), '[]')::text as holders
    from pg_locks l
    left join lateral pg_stat_get_activity(coalesce(l.pid, ${NO_SUCH_PID})) a on true
    where l.locktype = 'relation' and ${isAny(bind)}
      and l.mode = 'RowExclusiveLock' and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
      and l.pid is distinct from pg_backend_pid() and l.virtualtransaction not like '%/0'`
}

/** The oid may be another relation's by now. */
function isFormerSql(formerSequences: readonly string[], bind: Bind): string {
  const oids = bind('oid[]', `array[${formerSequences.join(', ')}]::oid[]`)
  return `l.relation = any (${oids}) and (select c.relkind from pg_class c where c.oid = l.relation) = 'S'`
}

/** -1 and NULL ask `pg_stat_get_activity` for every backend. */
const NO_SUCH_PID = -2
