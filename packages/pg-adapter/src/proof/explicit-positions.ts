import { PostgresConditionError } from '../errors.ts'
import { quoteLiteral } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import type { InspectedPoll } from './inspected-poll.ts'
import { TAKEN_AHEAD } from './sequence-conditions.ts'

/** No event stands above the sequence. */
export function requireNoneAbove(
  options: Pick<ResolvedPostgresEventsOptions<unknown>, 'sql'>,
  { sequence, poll }: Pick<InspectedPoll, 'sequence' | 'poll'>,
): void {
  const { greatestVisible, lastHandedOut } = poll
  if (greatestVisible === undefined || greatestVisible <= lastHandedOut) return
  const { table, position } = options.sql
  throw new PostgresConditionError(
    'explicit_positions',
    `${table} has an event at position ${greatestVisible}, but ${sequence.name} has only handed out numbers up to ` +
      `${lastHandedOut}. If the rows were copied (a restored dump, logical replication, a switch to another server), the ` +
      'sequence stands behind them, and the next append would fail or be lost; set it behind them, and start again:\n' +
      `  SELECT setval(${quoteLiteral(sequence.name)}, (SELECT max(${position}) FROM ${table}));\n` +
      'If writers choose positions themselves, such an event can also appear below the mark; let the sequence fill ' +
      `them. ${TAKEN_AHEAD}`,
  )
}
