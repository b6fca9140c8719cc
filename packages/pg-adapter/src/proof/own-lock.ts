import { type BoundedPool, withConnection } from '../client.ts'
import { transactUnlessLocked } from '../transaction.ts'

/**
 * Whether `pg_locks` shows a lock that this very transaction holds, as it does in PostgreSQL: stubs and other lock
 * models do not. `pg_sequence_last_value` takes the lock that `nextval` takes, on every major, and needs no more than
 * SELECT.
 */
export async function showsOwnSequenceLock(
  pool: BoundedPool,
  sequenceOid: string,
  signal: AbortSignal,
): Promise<boolean> {
  return await withConnection(pool, signal, async (client) => {
    const [_read, looked] = await transactUnlessLocked(
      client,
      `select pg_sequence_last_value(${sequenceOid}::oid::regclass)::text;
      select exists (
        select from pg_locks
        where locktype = 'relation' and relation = ${sequenceOid}::oid and mode = 'RowExclusiveLock'
          and granted and pid = pg_backend_pid()
      )::text as "shown"`,
    )
    return looked?.rows[0]?.shown === 'true'
  })
}
