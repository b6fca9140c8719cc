import type { PostgresCondition } from '../errors.ts'

/** Stable: to act on in a script. Those of the proof's conditions are the conditions' own. */
export type FindingCode =
  | PostgresCondition
  | 'connection'
  | 'primary'
  | 'pooler'
  | 'idle_in_transaction_session_timeout'
  | 'track_commit_timestamp'
  | 'sessions_visible'
  | 'logical_replication'
  | 'store'
  | 'consumers'
  | 'page_plan'
  | 'open_transactions'
  | 'commits_seen'

/**
 * - `problem`: a condition of the proof does not hold, or nothing can be read
 * - `warning`: it works, and will hurt
 * - `note`: worth knowing
 * - `ok`: as it should be
 * - `unknown`: could not be read; `found` says why
 */
export type Severity = 'problem' | 'warning' | 'note' | 'ok' | 'unknown'

export interface Finding {
  readonly code: FindingCode
  readonly severity: Severity
  /** `'server'`, or a table. */
  readonly about: string
  readonly found: string
  /** `undefined`: there is nothing to expect. */
  readonly expected?: string
  /** `undefined`: nothing is to be done. */
  readonly toDo?: string
}

/** What could not be read is a finding too. */
export function unknown(code: FindingCode, about: string, error: unknown): Finding {
  return { code, severity: 'unknown', about, found: `not known, because ${reasonOf(error)}` }
}

/** One line. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message === '' ? 'of an error without a message' : (message.split('\n')[0] ?? message)
}
