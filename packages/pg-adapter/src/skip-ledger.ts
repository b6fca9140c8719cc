import type { SkipLedger, SkippedRun } from '@tidemark/core/adapter'
import type { CheckpointTables, Query } from './checkpoint-tables.ts'
import { quoteLiteral, quoteTexts } from './identifiers.ts'

/** Of a run that overlaps those recorded before, the part above them is recorded. */
export function skipLedger(query: Query, { skips }: CheckpointTables): SkipLedger {
  return {
    record: async (source, runs, signal) => {
      const numbers = (of: (run: SkippedRun<string>) => string): string =>
        `${quoteTexts(runs.map(of))}::numeric[]`
      await query(
        `insert into ${skips} (source, stored, current, count)
         select ${quoteLiteral(source)}, greatest(run.stored, passed.upto), run.current,
           run.count - greatest(0, coalesce(passed.upto - run.stored, 0))
         from unnest(
           ${numbers((run) => run.stored)}, ${numbers((run) => run.current)}, ${numbers((run) => run.count.toString())}
         ) as run (stored, current, count)
         cross join (select max(current) as upto from ${skips} where source = ${quoteLiteral(source)}) as passed
         where passed.upto is null or run.current > passed.upto + 1
         on conflict do nothing`,
        signal,
      )
    },
  }
}
