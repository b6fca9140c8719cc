import type { Holder } from '@tidemark/core/adapter'
import { NotPrimaryError, PostgresConditionError } from './errors.ts'
import { parseHolders } from './open-writers.ts'

type Row = Readonly<Record<string, unknown>>

/**
 * Every transaction of this database that may still insert: also one that has written nothing yet. Every role may see which
 * they are, and a prepared one keeps its `virtualtransaction`. One that is in the tail of its commit shows as `N/0`: it has
 * ended. VACUUM runs in transactions of its own, and inserts nothing. Who cannot be told to be of another database counts.
 */
export const POSSIBLE_WRITERS: string = `select coalesce(json_agg(json_build_object('transaction', l.virtualtransaction, 'pid', l.pid,
      'applicationName', nullif(a.application_name, ''), 'startedAt', coalesce(a.xact_start, p.prepared)))
      filter (where l.pid is distinct from pg_backend_pid()), '[]')::text as writers,
    coalesce(bool_or(l.pid = pg_backend_pid()), false)::text as "showsOwn",
    pg_is_in_recovery()::text as "inRecovery"
  from pg_locks l
  left join pg_stat_activity a on a.pid = l.pid
  left join pg_prepared_xacts p on l.pid is null and p.transaction = l.transactionid
  where l.granted and l.mode = 'ExclusiveLock' and l.virtualtransaction not like '%/0'
    and (l.locktype = 'virtualxid' or (l.locktype = 'transactionid' and l.pid is null))
    and coalesce(a.datname, p.database, current_database()) = current_database()
    and a.backend_type is distinct from 'autovacuum worker'
    and not exists (select from pg_stat_progress_vacuum v where v.pid = l.pid)`

/** Throws where the server cannot tell which transactions are open. */
export function parsePossibleWriters(row: Row | undefined): readonly Holder[] {
  if (row?.inRecovery === 'true') {
    throw new NotPrimaryError(
      'this server is in recovery: it does not show the transactions of the primary, which are waited for',
    )
  }
  if (row?.showsOwn !== 'true') {
    throw new PostgresConditionError(
      'pg_locks',
      "pg_locks does not show this session's own transaction: this server is no PostgreSQL, or has another lock model. " +
        "Without numbers: 'taken-ahead', highWater: { mode: 'stale-threshold' } waits for no transaction",
    )
  }
  return parseHolders(row.writers)
}
