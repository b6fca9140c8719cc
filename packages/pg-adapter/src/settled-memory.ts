import type { SettledMemory } from '@tidemark/core/adapter'
import type { CheckpointTables, Query } from './checkpoint-tables.ts'
import { quoteLiteral } from './identifiers.ts'

export function settledMemory(query: Query, tables: CheckpointTables): SettledMemory {
  return {
    save: async (source, { settled, incarnation, logPosition }, signal) => {
      await query(
        `insert into ${tables.settled} (source, settled, incarnation, log_position)
         values (${[source, settled, incarnation, logPosition].map(quoteLiteral).join(', ')})
         on conflict (source) do update
         set settled = excluded.settled, incarnation = excluded.incarnation, log_position = excluded.log_position,
           updated_at = now()`,
        signal,
      )
    },
  }
}
