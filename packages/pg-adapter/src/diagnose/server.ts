import { type BoundedPool, withConnection } from '../client.ts'
import { quoteIdentifier } from '../identifiers.ts'
import { transact } from '../transaction.ts'
import type { Finding } from './finding.ts'

/** What the server says of itself. */
export interface ServerFacts {
  readonly version: string
  readonly isStandby: boolean
  readonly role: string
  readonly seesSessions: boolean
  /** Milliseconds; 0: no limit. */
  readonly idleInTransactionMs: number
  readonly tracksCommits: boolean
}

export async function readServer(pool: BoundedPool, signal: AbortSignal): Promise<ServerFacts> {
  const [answer] = await withConnection(pool, signal, (client) =>
    transact(
      client,
      `select current_setting('server_version') as version, pg_is_in_recovery()::text as standby, current_user::text as role,
        pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')::text as sees,
        (select setting from pg_settings where name = 'idle_in_transaction_session_timeout') as idle,
        current_setting('track_commit_timestamp') as tracked`,
    ),
  )
  const row = answer?.rows[0] ?? {}
  return {
    version: String(row.version),
    isStandby: row.standby === 'true',
    role: String(row.role),
    seesSessions: row.sees === 'true',
    idleInTransactionMs: Number(row.idle),
    tracksCommits: row.tracked === 'on',
  }
}

/** What of that hurts; pure. */
export function serverFindings(facts: ServerFacts): readonly Finding[] {
  const { version, isStandby, role, seesSessions, idleInTransactionMs, tracksCommits } = facts
  return [
    isStandby
      ? {
          code: 'primary',
          severity: 'problem',
          about: 'server',
          found: `PostgreSQL ${version}, a standby`,
          expected: 'a primary',
          toDo: 'Connect to the primary: a standby has no locks that tell who may still write.',
        }
      : { code: 'primary', severity: 'ok', about: 'server', found: `PostgreSQL ${version}, a primary` },
    idleInTransactionMs === 0
      ? {
          code: 'idle_in_transaction_session_timeout',
          severity: 'warning',
          about: 'server',
          found:
            'idle_in_transaction_session_timeout is 0 for this role: a transaction that somebody forgets stays open for ever',
          expected: 'a limit, for the roles that write events',
          toDo: "Such a transaction holds up every reader that waits for writers. For each role that writes, run\n  ALTER ROLE name_of_the_role SET idle_in_transaction_session_timeout = '60s';\nIn new sessions the server then ends a transaction that was idle for so long.",
        }
      : {
          code: 'idle_in_transaction_session_timeout',
          severity: 'ok',
          about: 'server',
          found: `idle_in_transaction_session_timeout is ${idleInTransactionMs} ms for this role`,
        },
    tracksCommits
      ? {
          code: 'track_commit_timestamp',
          severity: 'ok',
          about: 'server',
          found: 'track_commit_timestamp is on',
        }
      : {
          code: 'track_commit_timestamp',
          severity: 'note',
          about: 'server',
          found: 'track_commit_timestamp is off: how late events were committed in the past is not known',
          expected: 'on, for auditCommits',
          toDo: 'To know it from now on, run\n  ALTER SYSTEM SET track_commit_timestamp = on;\nand restart the server.',
        },
    seesSessions
      ? { code: 'sessions_visible', severity: 'ok', about: 'server', found: `${role} sees all sessions` }
      : {
          code: 'sessions_visible',
          severity: 'note',
          about: 'server',
          found: `${role} sees its own sessions alone: whose transactions are open is not known`,
          expected: 'the right to see all sessions',
          toDo: `Run\n  GRANT pg_read_all_stats TO ${quoteIdentifier(role)};`,
        },
  ]
}
