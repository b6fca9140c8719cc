import type { Gap, PassedPositions } from '@tidemark/core/adapter'
import type { CheckpointTables, Row } from './checkpoint-tables.ts'
import { quoteLiteral } from './identifiers.ts'

export function keepPassedSql(
  { passedPositions }: CheckpointTables,
  source: string,
  consumer: string,
  { incarnation, eventTypes, runs }: PassedPositions,
): string {
  const types = eventTypes === undefined ? 'null' : quoteLiteral(JSON.stringify(eventTypes))
  const values = [source, consumer, incarnation].map(quoteLiteral).join(', ')
  return `insert into ${passedPositions} (source, consumer, incarnation, event_types, runs)
    values (${values}, ${types}, ${quoteLiteral(JSON.stringify(runs))})
    on conflict (source, consumer) do update set incarnation = excluded.incarnation,
      event_types = excluded.event_types, runs = excluded.runs, updated_at = excluded.updated_at`
}

export function passedSql({ passedPositions }: CheckpointTables, source: string, consumer: string): string {
  return `select incarnation, event_types::text as types, runs::text as runs from ${passedPositions}
    where source = ${quoteLiteral(source)} and consumer = ${quoteLiteral(consumer)}`
}

export function toPassed({ incarnation, types, runs }: Row): PassedPositions {
  return {
    incarnation: String(incarnation),
    eventTypes: types === null ? undefined : (JSON.parse(String(types)) as readonly string[] | 'all'),
    runs: (JSON.parse(String(runs)) as Gap<string>[]).map(({ from, to }) => ({ from, to })),
  }
}
