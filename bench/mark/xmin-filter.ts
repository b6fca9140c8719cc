import type { EventSource, HighWaterReading } from '@tidemark/core'
import { denseOrder } from '@tidemark/core/adapter'
import type pg from 'pg'

/**
 * The filter that Emmett and others use, as a source for the same agent, so that both are polled in the same way: an
 * event may be read once every transaction that was open when it was written has ended, wherever in the server.
 * It reads by transaction id; its position is the number of events that it let through.
 */
export function xminFilter(
  pool: pg.Pool,
  table: string,
  onReadable: (positions: readonly number[]) => void,
): EventSource<bigint, never> {
  let last = { transactionId: '0', position: '0' }
  let through = 0n
  const sql = `select transaction_id::text as "transactionId", position::text as position from ${table}
    where transaction_id < pg_snapshot_xmin(pg_current_snapshot())
      and (transaction_id, position) > ($1::xid8, $2::bigint)
    order by transaction_id, position limit 500`
  return {
    name: `xmin filter on ${table}`,
    order: denseOrder,
    filtersByType: false,
    open: async () => ({ incarnation: 'one', memory: undefined }),
    readHighWater: async (): Promise<HighWaterReading<bigint>> => {
      const { rows } = await pool.query<typeof last>(sql, [last.transactionId, last.position])
      last = rows.at(-1) ?? last
      through += BigInt(rows.length)
      if (rows.length > 0) onReadable(rows.map(({ position }) => Number(position)))
      return {
        // It cannot know what it does not see yet: one more keeps it polling as if something were open.
        head: through + 1n,
        settled: through,
        mark: through,
        gaps: [],
        holders: [],
        provenEmpty: [],
        skipped: [],
        incarnation: 'one',
        logPosition: undefined,
        memory: undefined,
      }
    },
    load: () => Promise.reject(new Error('nothing is loaded')),
    isTransient: () => false,
  }
}
