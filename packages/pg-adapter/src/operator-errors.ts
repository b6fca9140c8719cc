import type { CheckpointTables, Query } from './checkpoint-tables.ts'
import { PostgresConditionError } from './errors.ts'
import { printedBy } from './migrations/rights.ts'
import { INSUFFICIENT_PRIVILEGE, sqlState } from './sql-state.ts'

/** undefined_table, undefined_column: of a version that no daemon has prepared yet. */
const UNDEFINED_NAMES: ReadonlySet<string | undefined> = new Set(['42P01', '42703'])

/** What the server said to an operation, with what to do about it where that is known. */
export function explained(tables: CheckpointTables, cause: unknown): unknown {
  const state = sqlState(cause)
  if (state === INSUFFICIENT_PRIVILEGE) {
    const advice =
      'this role may not do what operators do; run, as the owner of the tables, for the role that it connects as\n' +
      grants(tables).join('\n')
    return new PostgresConditionError('checkpoint_tables', advice, { cause })
  }
  if (UNDEFINED_NAMES.has(state)) {
    const { schemaName } = tables
    const advice =
      `the tables of checkpoints in the schema ${JSON.stringify(schemaName)} are missing, or of an earlier version: no daemon ` +
      'of this version has prepared them yet. Check that schema and database are those of the daemons; then start a daemon ' +
      `of this version, or run what ${printedBy(schemaName)} prints (with \`from\`, where tables of an earlier version are there)`
    return new PostgresConditionError('checkpoint_tables', advice, { cause })
  }
  return cause
}

/** The same query, whose errors are explained. */
export function explainedQuery(query: Query, tables: CheckpointTables): Query {
  return (sql, signal) => explaining(tables, () => query(sql, signal))
}

/** What is asked in another way than by a query. */
export async function explaining<T>(tables: CheckpointTables, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    throw explained(tables, error)
  }
}

function grants(tables: CheckpointTables): readonly string[] {
  const { schema, checkpoints, settled, audit, deadLetters, deadLetterCounts } = tables
  const { skips, lateEvents, lateEventUnits, nodes, nodeAudit, failures } = tables
  return [
    `  GRANT USAGE ON SCHEMA ${schema} TO ...;`,
    `  GRANT SELECT, INSERT, UPDATE, DELETE ON ${checkpoints} TO ...;`,
    `  GRANT SELECT ON ${settled}, ${skips}, ${lateEvents} TO ...;`,
    `  GRANT SELECT, INSERT ON ${audit} TO ...;`,
    `  GRANT SELECT, UPDATE ON ${deadLetters}, ${deadLetterCounts} TO ...;`,
    `  GRANT SELECT, INSERT, UPDATE ON ${lateEventUnits} TO ...;`,
    `  GRANT SELECT, UPDATE ON ${nodes} TO ...;`,
    `  GRANT SELECT, INSERT ON ${nodeAudit} TO ...;`,
    `  GRANT SELECT, DELETE ON ${failures} TO ...;`,
  ]
}
