/** query_canceled: by `statement_timeout` or `pg_cancel_backend()`; the server's words for it are in its language. */
const QUERY_CANCELED = '57014'
export const IN_FAILED_SQL_TRANSACTION = '25P02'
export const INSUFFICIENT_PRIVILEGE = '42501'
export const LOCK_NOT_AVAILABLE = '55P03'
export const IDLE_IN_TRANSACTION = '25P03'
const TRANSACTION_TIMEOUT = '25P04'

/** The code of an error that the server has sent. A pool may wrap that in an error of its own, which has none. */
export function sqlState(error: unknown): string | undefined {
  for (const one of withCauses(error)) {
    if ('code' in one && typeof one.code === 'string') return one.code
  }
  return undefined
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
  return withCauses(error).find((one) => 'code' in one && states.has(String(one.code)))
}

/** Whether the server has sent that code, with these words in what it said. */
export function hasSaid(error: unknown, state: string, words: string): boolean {
  return withCauses(error).some((one) => 'code' in one && one.code === state && one.message.includes(words))
}

/** An error and its causes, the outermost first. */
export function withCauses(error: unknown): readonly Error[] {
  const all: Error[] = []
  for (let at = error; at instanceof Error && all.length < MOST_CAUSES; at = at.cause) all.push(at)
  return all
}

const MOST_CAUSES = 10
