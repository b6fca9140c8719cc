import type { OldestAbove, OldestRequest } from '@tidemark/core/adapter'
import { appendedAtMs, appendedAtSql } from './append-time.ts'
import { quoteIdentifier, quoteTexts } from './identifiers.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'
import { eventRowsSql } from './proof/event-rows.ts'
import type { PollMemory } from './proof/poll-memory.ts'
import { readProvenRows } from './proof/proven-rows.ts'
import type { KnownBackends } from './server/backends.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/** Events above a checkpoint that are looked through for one of the consumer's types. */
const MOST_READ = 1_000

/**
 * For each consumer that is behind, the oldest settled event that it has not passed: one descent of the index, or a short range
 * where its types are named. Without an index nothing is known: each answer would be a scan of the table.
 */
export async function oldestAbove(
  options: Options,
  backends: KnownBackends,
  { reading, behind, signal }: OldestRequest,
): Promise<readonly (OldestAbove | undefined)[]> {
  const { incarnation, settled } = reading
  const { appendedAt } = options
  const { inspection } = reading.memory as PollMemory
  if (appendedAt === undefined || settled === undefined || !inspection.hasIndex)
    return behind.map(() => undefined)
  const sql = behind
    .map(({ position, types }, index) => {
      const isOne = types === 'all' || options.eventType === undefined
      const isOf = isOne ? 'true' : `w.type = any (${quoteTexts(types)})`
      return `select ${index}::text as consumer, count(*)::text as seen,
          (min(w.position) filter (where ${isOf}))::text as position,
          (array_agg(w.at order by w.position) filter (where ${isOf}))[1] as at
        from (
          select e.${options.sql.position} as position, ${appendedAtSql(appendedAt)} as at,
            ${options.eventType === undefined ? 'null' : `e.${quoteIdentifier(options.eventType)}::text`} as type
          from ${options.sql.table} e
          where e.${options.sql.position} > ${position} and e.${options.sql.position} <= ${settled} ${eventRowsSql(options)}
          order by e.${options.sql.position} limit ${isOne ? 1 : MOST_READ}
        ) w`
    })
    .join(' union all ')
  const { rows, clock } = await readProvenRows(options, backends, incarnation, sql, signal)
  const answers = new Map(rows.map((row) => [String(row.consumer), row]))
  return behind.map((_, index) => {
    const { position, seen, at } = answers.get(String(index)) ?? {}
    if (typeof position === 'string') {
      const serverMs = typeof at === 'string' ? Number(at) : Number.NaN
      return { position: BigInt(position), appendedAtMs: appendedAtMs(serverMs, clock) }
    }
    return Number(seen) < MOST_READ ? 'none' : undefined
  })
}
