import { SOCKET_FAULTS, TidemarkError } from '@tidemark/core'

/** What the proof needs of the store (docs/proof.md, "Conditions"). */
export type PostgresCondition =
  | 'server_version'
  | 'table_exists'
  | 'table_kind'
  | 'permanent'
  | 'position_column'
  | 'position_order'
  | 'columns_exist'
  | 'appended_at'
  | 'sequence_found'
  | 'sequence_shared_by_partitions'
  | 'sequence_cache'
  | 'sequence_increment'
  | 'sequence_cycle'
  | 'sequence_privilege'
  | 'table_privilege'
  | 'index'
  | 'row_security'
  | 'explicit_positions'
  | 'pg_locks'
  | 'citus'
  | 'checkpoint_tables'

/** The store does not fulfil a condition of the proof. The message says what was found and what to do. */
export class PostgresConditionError extends TidemarkError {
  readonly code = 'TIDEMARK_POSTGRES_CONDITION'
  readonly condition: PostgresCondition
  constructor(condition: PostgresCondition, message: string, options?: ErrorOptions) {
    super(message, options)
    this.condition = condition
  }
}

/** The server is a standby, or about to be promoted. Retried: a failover passes. */
export class NotPrimaryError extends TidemarkError {
  readonly code = 'TIDEMARK_NOT_PRIMARY'
}

/** A statement was not answered in time; its connection is destroyed, and it is tried again on another one. */
export class QueryTimeoutError extends TidemarkError {
  readonly code = 'TIDEMARK_QUERY_TIMEOUT'
  constructor(timeoutMs: number) {
    super(
      `no answer from the server within ${timeoutMs} ms: the connection may have gone silent (check the network, and ` +
        'keepAlive of the pool); if statements really take that long, raise queryTimeoutMs',
    )
  }
}

/**
 * The pool handed out a connection on which somebody has left a transaction open. The connection is destroyed, so that
 * transaction is rolled back; the work is done on another one.
 */
export class TransactionLeftOpenError extends TidemarkError {
  readonly code = 'TIDEMARK_TRANSACTION_LEFT_OPEN'
  constructor(options: ErrorOptions) {
    super(
      'the pool handed out a connection with a transaction still open; it is destroyed, which rolls that transaction ' +
        'back; find the code that releases a connection without COMMIT or ROLLBACK',
      options,
    )
  }
}

/** An SQL error inside the handler was swallowed by it: the transaction had failed all the same. */
export class TransactionFailedError extends TidemarkError {
  readonly code = 'TIDEMARK_TRANSACTION_FAILED'
  readonly projection: string
  constructor(projection: string, detail: string, options?: ErrorOptions) {
    super(
      `projection "${projection}": ${detail}; an SQL error that its handler caught has failed the whole transaction ` +
        '(use a savepoint around what may fail)',
      options,
    )
    this.projection = projection
  }
}

/** What a handler wrote was refused when its transaction was committed: by a deferred constraint or trigger. */
export class CommitRefusedError extends TidemarkError {
  readonly code = 'TIDEMARK_COMMIT_REFUSED'
  readonly projection: string
  constructor(projection: string, cause: Error) {
    super(
      `projection "${projection}": COMMIT refused what its handler wrote: ${cause.message}; a deferred constraint or trigger ` +
        'looks only then (SET CONSTRAINTS ALL IMMEDIATE, at the end of the handler, shows it there)',
      { cause },
    )
    this.projection = projection
  }
}

/** The checkpoint of this name belongs to another source. */
export class ProjectionSourceError extends TidemarkError {
  readonly code = 'TIDEMARK_PROJECTION_SOURCE'
}

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const TRANSIENT_CLASSES: Readonly<Record<string, string>> = {
  '08': 'connection_exception',
  '40': 'transaction_rollback: serialization_failure, deadlock_detected',
  '53': 'insufficient_resources: too_many_connections, disk_full',
}
const TRANSIENT_CODES: Readonly<Record<string, string>> = {
  '25006': 'read_only_sql_transaction: a primary that became a standby',
  '55P03': 'lock_not_available: blocked by DDL',
  '57P01': 'admin_shutdown',
  '57P02': 'crash_shutdown',
  '57P03': 'cannot_connect_now: starting up, in recovery',
  '57P04': 'database_dropped',
  '57P05': 'idle_session_timeout',
}
/** What node-postgres and its pool say without a code, for a connection that ended or could not be had. */
const DRIVER_MESSAGES: readonly RegExp[] = [
  /^Connection terminated/,
  /^Client has encountered a connection error/,
  /^Client was closed and is not queryable/,
  /^timeout exceeded when trying to connect/i,
  /^timeout expired/,
  /^Query read timeout/,
]

const PASSING = [NotPrimaryError, QueryTimeoutError, TransactionLeftOpenError]

/** Whether a later try may succeed with nothing changed by anyone: such faults are retried for ever. */
export function isTransientPostgresError(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (PASSING.some((passing) => error instanceof passing)) return true
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  if (code === undefined) return DRIVER_MESSAGES.some((message) => message.test(error.message))
  if (SOCKET_FAULTS.has(code)) return true
  return code in TRANSIENT_CODES || (code.length === 5 && code.slice(0, 2) in TRANSIENT_CLASSES)
}

export function sqlState(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
