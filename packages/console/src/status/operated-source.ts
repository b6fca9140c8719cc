import { createOperations, type Operations, type OperationsOptions } from '@tidemark/core/operations'
import { postgresEvents } from '@tidemark/pg-adapter'
import { eventsOf } from './events-of.ts'
import type { StatusReader } from './reader.ts'

/** A source whose positions are compared, and whose events are looked at. */
export interface OperatedSource {
  readonly source: ReturnType<typeof postgresEvents>
  readonly operations: Operations<bigint>
}

/** Operations that take positions, on the source of that name. Its positions have to be numbers of a table. */
export function operatedSource(
  { pool, events, queryTimeoutMs }: Pick<StatusReader, 'pool' | 'events' | 'queryTimeoutMs'>,
  checkpoints: OperationsOptions<bigint>['checkpoints'],
  name: string,
): OperatedSource {
  const of = eventsOf(events, name, [name]) ?? { table: name, name }
  const { traceContext: _, ...options } = of
  const source = postgresEvents({ ...options, pool, name, wakeUps: 'none', queryTimeoutMs })
  return { source, operations: createOperations({ checkpoints, source }) }
}
