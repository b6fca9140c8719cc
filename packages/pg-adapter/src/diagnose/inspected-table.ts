import { PostgresConditionError } from '../errors.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { type Inspection, inspect } from '../proof/inspection.ts'
import { withTableSchema } from '../proof/table-schema.ts'
import { conditionFindings } from './conditions.ts'
import type { Finding } from './finding.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

export interface InspectedTable {
  /** With the schema in which the table is. */
  readonly located: Options
  /** `undefined`: there is no such table, or it cannot be looked up. */
  readonly inspection: Inspection | undefined
  readonly findings: readonly Finding[]
}

/** The catalog's word on a table, and each condition of the proof. */
export async function inspectTable(events: Options, signal: AbortSignal): Promise<InspectedTable> {
  const located = await withTableSchema(events, signal)
  try {
    const inspection = await inspect(located, signal)
    return { located, inspection, findings: conditionFindings(inspection, located) }
  } catch (error) {
    if (!(error instanceof PostgresConditionError)) throw error
    const { condition: code, message } = error
    const about = located.sql.table
    const found = code === 'table_exists' ? 'no such table' : 'it cannot be looked at'
    return {
      located,
      inspection: undefined,
      findings: [
        { code, severity: 'problem', about, found, expected: 'a table of this database', toDo: message },
      ],
    }
  }
}
