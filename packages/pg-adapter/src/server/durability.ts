import { setTimeout as sleep } from 'node:timers/promises'
import { type BoundedPool, withConnection } from '../client.ts'
import { quoteLiteral, quoteTexts } from '../identifiers.ts'
import { transact } from '../transaction.ts'
import { type KnownBackends, onKnownBackend, requireKnownSql } from './backends.ts'

const LOOK_EVERY_MS = 3
/** An idle open transaction's unflushed WAL would otherwise hold the mark until the WAL writer comes round. */
const FORCE_AFTER_MS = 50

/**
 * Waits until the log is flushed up to `lsn`. Checkpoints kept elsewhere survive a crash that an event written with
 * `synchronous_commit = off` does not. The look fails on a server that has crashed since the poll.
 */
export async function waitUntilDurable(
  pool: BoundedPool,
  backends: KnownBackends,
  incarnation: string,
  lsn: string,
  signal: AbortSignal,
): Promise<void> {
  const startedMs = performance.now()
  while (!(await isFlushed(pool, backends, incarnation, lsn, signal))) {
    if (performance.now() - startedMs >= FORCE_AFTER_MS) await forceFlush(pool, signal)
    else await sleep(LOOK_EVERY_MS, undefined, { signal })
  }
}

async function isFlushed(
  pool: BoundedPool,
  backends: KnownBackends,
  incarnation: string,
  lsn: string,
  signal: AbortSignal,
): Promise<boolean> {
  const [looked] = await withConnection(pool, signal, (client) =>
    onKnownBackend(client, backends, incarnation, (keys) =>
      transact(
        client,
        `select (case when ${requireKnownSql(quoteTexts(keys))}
           then pg_current_wal_flush_lsn() >= ${quoteLiteral(lsn)}::pg_lsn end)::text as flushed`,
      ),
    ),
  )
  return looked?.rows[0]?.flushed === 'true'
}

/**
 * A synchronous commit flushes everything written before it; but only one that has an id *and* has written something:
 * PostgreSQL leaves one that merely took an id (`pg_current_xact_id()`) to the WAL writer. A message for logical
 * decoding is the one thing that any role may write, with no table.
 */
async function forceFlush(pool: BoundedPool, signal: AbortSignal): Promise<void> {
  await withConnection(pool, signal, (client) =>
    transact(
      client,
      `set transaction read write; set local synchronous_commit = on;
       select pg_logical_emit_message(true, 'tidemark'::text, ''::text)::text`,
    ),
  )
}
