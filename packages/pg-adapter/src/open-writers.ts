import type { Holder } from '@tidemark/core/adapter'
import { withConnection } from './client.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'
import { transact } from './transaction.ts'

const MOST = 20

/**
 * The transactions of this database that have written something and are open, those that are open for the longest first. Every
 * role may read which they are; of whom they are and since when, `pg_read_all_stats` alone. `undefined`: they cannot be read.
 */
export async function openWriters(
  { pool }: Pick<ResolvedPostgresEventsOptions<unknown>, 'pool'>,
  signal: AbortSignal,
): Promise<readonly Holder[] | undefined> {
  try {
    const [seen] = await withConnection(pool, signal, (client) => transact(client, OPEN_WRITERS))
    return parseHolders(seen?.rows[0]?.writers)
  } catch {
    // It is evidence for people: no mark waits for it.
    signal.throwIfAborted()
    return undefined
  }
}

const OPEN_WRITERS = `select coalesce(json_agg(json_build_object('transaction', w.transaction, 'pid', w.pid,
      'applicationName', w.application, 'startedAt', w.started) order by w.started nulls last, w.transaction), '[]')::text as writers
    from (
      select l.transactionid::text as transaction, l.pid, nullif(a.application_name, '') as application,
        coalesce(a.xact_start, p.prepared) as started
      from pg_locks l
      left join pg_stat_activity a on a.pid = l.pid
      left join pg_prepared_xacts p on l.pid is null and p.transaction = l.transactionid
      where l.locktype = 'transactionid' and l.mode = 'ExclusiveLock' and l.granted
        and l.pid is distinct from pg_backend_pid() and coalesce(a.datname, p.database) = current_database()
        and a.backend_type is distinct from 'autovacuum worker'
      order by started nulls last limit ${MOST}
    ) as w`

interface Writer {
  readonly transaction: string
  readonly pid: number | null
  readonly applicationName: string | null
  readonly startedAt: string | null
}

/** Holders as JSON tells them. */
export function parseHolders(json: unknown): readonly Holder[] {
  return (JSON.parse(String(json)) as Writer[]).map(toHolder)
}

function toHolder({ transaction, pid, applicationName, startedAt }: Writer): Holder {
  return {
    transaction,
    pid: pid ?? undefined,
    applicationName: applicationName ?? undefined,
    startedAt: startedAt === null ? undefined : new Date(startedAt),
  }
}
