/** query_canceled: by `statement_timeout` or `pg_cancel_backend()`; the server's words for it are in its language. */
const QUERY_CANCELED = '57014'
export const IN_FAILED_SQL_TRANSACTION = '25P02'
export const INSUFFICIENT_PRIVILEGE = '42501'
export const LOCK_NOT_AVAILABLE = '55P03'
export const IDLE_IN_TRANSACTION = '25P03'
const TRANSACTION_TIMEOUT = '25P04'

/** The code of an error that the server has sent. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** Where the server ended a transaction for the time that it took: what it said, in one of these or their causes. */
export function transactionTimeoutIn(...errors: readonly unknown[]): Error | undefined {
  for (const error of errors) {
    const found = saidIn(error, TRANSACTION_TIMEOUTS)
    if (found !== undefined) return found
  }
  return undefined
}

const TRANSACTION_TIMEOUTS: ReadonlySet<string> = new Set([IDLE_IN_TRANSACTION, TRANSACTION_TIMEOUT])

/** Where the server ended a statement for the time that it took, or for somebody: what it said. A pool may wrap that in an error of its own. */
export function canceledIn(error: unknown): Error | undefined {
  return saidIn(error, CANCELED)
}

const CANCELED: ReadonlySet<string> = new Set([QUERY_CANCELED])

function saidIn(error: unknown, states: ReadonlySet<string>): Error | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < MOST_CAUSES; at = at.cause, depth++) {
    if (states.has(sqlState(at) ?? '')) return at
  }
  return undefined
}

const MOST_CAUSES = 10
