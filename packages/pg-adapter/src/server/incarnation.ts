/**
 * Which run of which server, and which sequence, a poll has seen. After a crash numbers may be handed out again, and
 * after a restart transaction ids may be reused. So what was learned in one incarnation means nothing in another.
 *
 * None of the four facts about the server tells all its runs apart by itself: a crash changes neither the start time of
 * the postmaster nor the timeline, a clean restart keeps `stats_reset`, a promoted standby keeps the system identifier.
 * `redo_lsn` is no alternative: it changes with every checkpoint.
 */
export interface ServerIdentity {
  readonly systemIdentifier: string | null
  /** `left(pg_walfile_name(pg_current_wal_lsn()), 8)` */
  readonly timeline: string | null
  /** `stats_reset` of `pg_stat_bgwriter`: changes with every crash recovery (14 to 18), not with a clean restart. */
  readonly statsReset: string | null
  /** `pg_postmaster_start_time()`: changes with every restart, not with a crash recovery. */
  readonly postmasterStart: string | null
}

export interface TableIdentity {
  readonly tableOid: string
  readonly sequenceOid: string
  /** The sequence's file: ALTER SEQUENCE and RESTART IDENTITY rewrite it. */
  readonly sequenceFile: string
}

const SEPARATOR = '/'
let unknowns = 0

/**
 * The text that stands for one incarnation: equal texts are the same incarnation. If the server did not tell a fact,
 * the text equals no other, not even that of another poll.
 */
export function incarnationOf(server: ServerIdentity, table: TableIdentity): string {
  return serverPart(server) + tablePart(table)
}

/** How the incarnations of one table and its sequence end. */
export function tablePart({ sequenceOid, sequenceFile, tableOid }: TableIdentity): string {
  return SEPARATOR + [sequenceOid, sequenceFile, tableOid].join(SEPARATOR)
}

function serverPart(server: ServerIdentity): string {
  return [server.systemIdentifier, server.timeline, server.statsReset, server.postmasterStart]
    .map((fact) => fact ?? `unknown-${process.pid}-${++unknowns}`)
    .join(SEPARATOR)
}

/** Whether a backend with this identity belongs to the server run that `incarnation` names. */
export function isSameServerRun(incarnation: string, server: ServerIdentity): boolean {
  return incarnation.startsWith(`${serverPart(server)}${SEPARATOR}`)
}

export interface ParsedIncarnation extends TableIdentity {
  readonly systemIdentifier: string
  readonly timeline: string
  /** Everything that tells this run of the server from others. */
  readonly serverRun: string
}

/** The parts of an incarnation that a stored row is compared by; `undefined` for one of another kind of store. */
export function parseIncarnation(incarnation: string): ParsedIncarnation | undefined {
  const [systemIdentifier, timeline, statsReset, postmasterStart, ...table] = incarnation.split(SEPARATOR)
  const [sequenceOid, sequenceFile, tableOid, ...more] = table
  if (systemIdentifier === undefined || timeline === undefined || tableOid === undefined) return undefined
  if (sequenceOid === undefined || sequenceFile === undefined || more.length > 0) return undefined
  const serverRun = [systemIdentifier, timeline, statsReset, postmasterStart].join(SEPARATOR)
  return { systemIdentifier, timeline, serverRun, sequenceOid, sequenceFile, tableOid }
}

const SYSTEM_IDENTIFIER = '(pg_control_system()).system_identifier::text'
const TIMELINE = 'left(pg_walfile_name(pg_current_wal_lsn()), 8)'
const STATS_RESET = '(extract(epoch from pg_stat_get_bgwriter_stat_reset_time()) * 1000000)::bigint::text'
const POSTMASTER_START = '(extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint::text'

/**
 * When this run of the server began: with a restart, with the recovery from a crash, or, of a standby that has become the primary, with the
 * last transaction of the one before, by the clock of that. Whoever resets the statistics by hand makes the run look younger.
 */
export const RUN_BEGAN_SQL =
  'greatest(pg_postmaster_start_time(), pg_stat_get_bgwriter_stat_reset_time(), pg_last_xact_replay_timestamp())'

/** When a backend began, as its key has it. */
export function startedSql(time: string): string {
  return `(extract(epoch from ${time}) * 1000000)::bigint`
}

/**
 * The SQL of a backend's own key: as long as a connection lives it keeps its backend, and a crash kills every one. It
 * is part of every poll and every page, and a function in FROM would cost more to plan than to run.
 *
 * A role that another one was changed to (`ALTER ROLE ... SET role`, as for credentials that are made for each session)
 * may not see when its own backend began. All facts about the server then stand in for it, and NULL where it has not all.
 */
export const BACKEND_KEY_SQL: string = `pg_backend_pid() || '@' || coalesce(
    (select ${startedSql('(pg_stat_get_activity(pg_backend_pid())).backend_start')})::text,
    case when not pg_is_in_recovery()
      then ${[SYSTEM_IDENTIFIER, TIMELINE, STATS_RESET, POSTMASTER_START].join(` || '${SEPARATOR}' || `)} end
  )`

/** The pid in a backend's key. */
export function pidOf(backendKey: string): string {
  return backendKey.slice(0, backendKey.indexOf('@'))
}

/**
 * The columns of `ServerIdentity`, as one object. Times are read as microseconds, so that no session's time zone or date
 * style changes the text. No subqueries: they would be planned at every poll, used or not.
 */
export const SERVER_IDENTITY_SQL: string = `json_build_object(
    'systemIdentifier', ${SYSTEM_IDENTIFIER},
    'timeline', ${TIMELINE},
    'statsReset', ${STATS_RESET},
    'postmasterStart', ${POSTMASTER_START}
  )`
