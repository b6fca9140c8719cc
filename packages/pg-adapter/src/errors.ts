import { TidemarkError } from '@tidemark/core/adapter'
import { IDLE_IN_TRANSACTION, sqlState } from './sql-state.ts'

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
  | 'where'
  | 'key_column'
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

/** The checkpoints of consumers cannot be read as the options of `postgresConsumers` say. */
export class ConsumersUnreadableError extends TidemarkError {
  readonly code = 'TIDEMARK_CONSUMERS_UNREADABLE'
}

/** Nobody can tell when something is appended. Polling alone goes on. The message says why, and what to do. */
export class WakeUpsUnavailableError extends TidemarkError {
  readonly code = 'TIDEMARK_WAKE_UPS_UNAVAILABLE'
}

/** The server is a standby, or about to be promoted. Retried: a failover passes. */
export class NotPrimaryError extends TidemarkError {
  readonly code = 'TIDEMARK_NOT_PRIMARY'
}

/** Partitions were attached while a table was read, each time. Retried: nothing is passed meanwhile. */
export class PartitionsChangedError extends TidemarkError {
  readonly code = 'TIDEMARK_PARTITIONS_CHANGED'
  constructor(table: string) {
    super(
      `partitions were attached to ${table} whenever it was read; it is read again, on another connection, until no ` +
        'partition is attached meanwhile',
    )
  }
}

/**
 * A statement was not answered in time, or the server itself ended it, as it was told to (then that is the cause). Its
 * connection is destroyed, and it is tried again on another one.
 */
export class QueryTimeoutError extends TidemarkError {
  readonly code = 'TIDEMARK_QUERY_TIMEOUT'
  /** @param endedAfterMs - how long the statement took, where the server ended it; less: somebody else's limit did */
  constructor(timeoutMs: number, options?: ErrorOptions, endedAfterMs: number = timeoutMs) {
    super(
      options?.cause === undefined
        ? `no answer from the server within ${timeoutMs} ms: the connection may have gone silent (check the network, and ` +
            'keepAlive of the pool)'
        : endedAfterMs < timeoutMs
          ? `the server ended a statement of Tidemark's own after ${Math.round(endedAfterMs)} ms, though it has ` +
            `queryTimeoutMs (${timeoutMs} ms): ${String(options.cause)}; raise the statement_timeout of this role, database ` +
            'or pool, which is lower, or find who calls pg_cancel_backend()'
          : `the server ended a statement of Tidemark's own, which has queryTimeoutMs (${timeoutMs} ms): ` +
            `${String(options.cause)}; a page is asked for again in smaller parts; if polls take that long, look for what ` +
            'keeps the server busy, or raise queryTimeoutMs',
      options,
    )
  }
}

/** No connection was to be had in time. Tried again. */
export class NoConnectionError extends TidemarkError {
  readonly code = 'TIDEMARK_NO_CONNECTION'
  constructor(timeoutMs: number, pool: object) {
    super(
      `no connection was to be had within ${timeoutMs} ms${usageOf(pool)}: whoever holds the others does not give them ` +
        'back, or the server does not answer; a handler that asks the pool, not its tx, waits for a connection while it ' +
        'holds one, and for ever where there are no more; give the daemon a pool of its own, or raise its max',
    )
  }
}

function usageOf(pool: object): string {
  const { totalCount, idleCount, waitingCount } = pool as Readonly<Record<string, unknown>>
  if (typeof totalCount !== 'number' || typeof idleCount !== 'number') return ''
  return ` (${totalCount - idleCount} in use or being made, ${idleCount} idle, ${String(waitingCount)} waited for)`
}

/** A connection ended while it was used. The message and `cause` say what the server said last. Tried again. */
export class ConnectionLostError extends TidemarkError {
  readonly code = 'TIDEMARK_CONNECTION_LOST'
  constructor(reason: Error, { cause }: { readonly cause: unknown }) {
    const isAnswer = sqlState(reason) !== undefined
    super(`the connection was lost: ${reason.message}`, { cause: isAnswer ? reason : cause })
  }
}

/** The handler's transaction took longer than the server's settings allow: a failure of the handler. */
export class TransactionTimedOutError extends TidemarkError {
  readonly code = 'TIDEMARK_TRANSACTION_TIMED_OUT'
  readonly projection: string
  constructor(projection: string, cause: Error) {
    const isIdle = sqlState(cause) === IDLE_IN_TRANSACTION
    super(
      `projection "${projection}": the server ended the transaction of its handler, which ` +
        (isIdle
          ? 'asked nothing for longer than idle_in_transaction_session_timeout; the transaction is open before the ' +
            'handler is called. Take a smaller batchSize, or let the handler begin with tx.query() of\n  SET LOCAL ' +
            "idle_in_transaction_session_timeout = '5min';\nor raise that setting for this role"
          : 'took longer than transaction_timeout; take a smaller batchSize, or raise that setting for this role') +
        ` (${cause.message})`,
      { cause },
    )
    this.projection = projection
  }
}

/** The last COMMIT of a projection was not answered, and still goes on. Waited for: nothing is handled twice. */
export class CommitPendingError extends TidemarkError {
  readonly code = 'TIDEMARK_COMMIT_PENDING'
  readonly projection: string
  constructor(projection: string, pid: string, waitsFor: string) {
    const standby = waitsFor.endsWith('SyncRep')
      ? ': no synchronous standby confirms it (look at synchronous_standby_names and pg_stat_replication)'
      : ''
    super(
      `projection "${projection}": its last COMMIT was not answered in time and still goes on in the server process ` +
        `${pid}${waitsFor === '' ? '' : `, which waits for ${waitsFor}`}${standby}; the projection goes on when it has ended`,
    )
    this.projection = projection
  }
}

/**
 * The transaction of a handler that was given up (`handlerTimeoutMs`, `drainTimeoutMs`) still goes on, though its server
 * process was told to end.
 */
export class TransactionPendingError extends TidemarkError {
  readonly code = 'TIDEMARK_TRANSACTION_PENDING'
  readonly projection: string
  constructor(projection: string, pid: string, waitsFor: string, options?: ErrorOptions) {
    super(
      `projection "${projection}": the transaction of its handler that was given up still goes on in the server process ` +
        `${pid}${waitsFor === '' ? '' : `, which waits for ${waitsFor}`}; it was told to end, and the projection goes on when it has ended`,
      options,
    )
    this.projection = projection
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

/**
 * A handler has discarded the statements that were prepared on its connection. The batch is rolled back and tried again, and
 * that store prepares no such statements any more.
 */
export class PreparedStatementLostError extends TidemarkError {
  readonly code = 'TIDEMARK_PREPARED_STATEMENT_LOST'
  readonly projection: string
  constructor(projection: string, options: ErrorOptions) {
    super(
      `projection "${projection}": a statement that was prepared before its handler was called is not there after it ` +
        '(DEALLOCATE, or a library that does so); the batch is tried again without it, once',
      options,
    )
    this.projection = projection
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

/** Whether the server said how a COMMIT ended; what the driver or this adapter says of the connection does not. */
export function isAnswer(error: unknown): boolean {
  if (error instanceof QueryTimeoutError) return error.cause !== undefined
  return error instanceof TidemarkError || sqlState(error)?.length === 5
}
