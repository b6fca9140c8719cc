import type { FoundEvent, Gap } from '@tidemark/core/adapter'
import { withConnection } from './client.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'
import { lateEvents, parseLateEvents } from './proof/late-events.ts'
import { plainSql } from './statement.ts'
import { transactUnlessLocked } from './transaction.ts'

/** The events that are visible now in those runs: one look into the index for each. */
export async function findIn(
  options: ResolvedPostgresEventsOptions<unknown>,
  runs: readonly Gap<bigint>[],
  limit: number,
  signal: AbortSignal,
): Promise<readonly FoundEvent<bigint>[]> {
  if (runs.length === 0) return []
  const [found] = await withConnection(options.pool, signal, (client) =>
    transactUnlessLocked(client, plainSql(lateEvents(options, runs, limit))),
  )
  return parseLateEvents(found?.rows[0]?.late).map(({ position, type }) => ({
    position: BigInt(position),
    type,
  }))
}
