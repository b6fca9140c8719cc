import { SOCKET_FAULTS } from '@tidemark/core/adapter'
import {
  CommitPendingError,
  ConnectionLostError,
  NoConnectionError,
  NotPrimaryError,
  PartitionsChangedError,
  PreparedStatementLostError,
  QueryTimeoutError,
  TransactionLeftOpenError,
  TransactionPendingError,
} from './errors.ts'
import { sqlState, withCauses } from './sql-state.ts'

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const TRANSIENT_CLASSES: Readonly<Record<string, string>> = {
  '08': 'connection_exception',
  '40': 'transaction_rollback: serialization_failure, deadlock_detected',
  '53': 'insufficient_resources: too_many_connections, disk_full',
}
const TRANSIENT_CODES: Readonly<Record<string, string>> = {
  '25P03': 'idle_in_transaction_session_timeout: of ours alone, where this process was busy',
  '25P04': 'transaction_timeout: of a poll or a page',
  '25006': 'read_only_sql_transaction: a primary that became a standby',
  '55P03': 'lock_not_available: blocked by DDL',
  '57P01': 'admin_shutdown',
  '57P02': 'crash_shutdown',
  '57P03': 'cannot_connect_now: starting up, in recovery',
  '57P04': 'database_dropped',
  '57P05': 'idle_session_timeout',
}
const READ_TIMEOUT = /^Query read timeout/
/** What node-postgres and its pool say without a code, for a connection that ended or could not be had. */
const DRIVER_MESSAGES: readonly RegExp[] = [
  /^Connection terminated/,
  /^Client has encountered a connection error/,
  /^Client was closed and is not queryable/,
  /^timeout exceeded when trying to connect/i,
  /^timeout expired/,
  READ_TIMEOUT,
]

const PASSING = [
  NotPrimaryError,
  PartitionsChangedError,
  PreparedStatementLostError,
  QueryTimeoutError,
  NoConnectionError,
  ConnectionLostError,
  CommitPendingError,
  TransactionLeftOpenError,
  TransactionPendingError,
]

const failedIn = new WeakSet<object>()

/**
 * Notes of what a handler has thrown whether the transaction that it was given had failed by then. The same object may be thrown
 * again, elsewhere.
 */
export function noteTransaction(thrown: unknown, hasFailed: boolean): void {
  if (!(thrown instanceof Error)) return
  if (hasFailed) failedIn.add(thrown)
  else failedIn.delete(thrown)
}

/**
 * Whether a later try may succeed with nothing changed by anyone: such faults are retried for ever.
 *
 * @param thrownBy - where a handler has thrown it, only what has failed its transaction counts: the code of an error alone may come
 * from a database of the handler's own. A connection of its transaction that is lost is a `ConnectionLostError` by then
 */
export function isTransientPostgresError(error: unknown, thrownBy?: 'handler'): boolean {
  if (!(error instanceof Error)) return false
  if (PASSING.some((passing) => error instanceof passing)) return true
  if (thrownBy === 'handler') {
    return 'code' in error && failedIn.has(error) && isTransientState(String(error.code))
  }
  const code = sqlState(error)
  if (code === undefined) return isDriverFault(error)
  if (SOCKET_FAULTS.has(code)) return true
  return isTransientState(code)
}

/** What node-postgres says of a connection that it has lost, or got no answer on in time. */
export function isDriverFault(error: unknown): boolean {
  return withCauses(error).some((one) => DRIVER_MESSAGES.some((message) => message.test(one.message)))
}

/** Whether the driver has given a statement up for the time that it took: `query_timeout` of the pool. */
export function isReadTimeout(error: unknown): boolean {
  return withCauses(error).some(({ message }) => READ_TIMEOUT.test(message))
}

function isTransientState(code: string): boolean {
  return code in TRANSIENT_CODES || (code.length === 5 && code.slice(0, 2) in TRANSIENT_CLASSES)
}
