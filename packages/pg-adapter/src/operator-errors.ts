import type { CheckpointTables, Query } from './checkpoint-tables.ts'
import { PostgresConditionError } from './errors.ts'
import { printedBy } from './migrations/rights.ts'
import { INSUFFICIENT_PRIVILEGE, sqlState } from './sql-state.ts'

/** undefined_table, undefined_column: of a version that no daemon has prepared yet. */
const UNDEFINED_NAMES: ReadonlySet<string | undefined> = new Set(['42P01', '42703'])

/** What an operator's call does. Whoever only looks needs fewer rights, and is asked for no more. */
export type Does = 'reads' | 'changes'

/** Queries whose errors tell operators what to do. */
export type OperatorQueries = Readonly<Record<Does, Query>>

/** What the server said to an operation, with what to do about it where that is known. */
export function explained(tables: CheckpointTables, does: Does, cause: unknown): unknown {
  const state = sqlState(cause)
  if (state === INSUFFICIENT_PRIVILEGE) {
    const advice =
      `this role may not ${does === 'reads' ? 'look at that' : 'do what operators do'}; run, as the owner of the tables, for the role ` +
      `that it connects as\n${GRANTS[does](tables).join('\n')}`
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
export function operatorQueries(query: Query, tables: CheckpointTables): OperatorQueries {
  const of =
    (does: Does): Query =>
    (sql, signal) =>
      explaining(tables, does, () => query(sql, signal))
  return { reads: of('reads'), changes: of('changes') }
}

/** What is asked in another way than by a query. */
export async function explaining<T>(tables: CheckpointTables, does: Does, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    throw explained(tables, does, error)
  }
}

const GRANTS: Readonly<Record<Does, (tables: CheckpointTables) => readonly string[]>> = {
  reads: readingGrants,
  changes: changingGrants,
}

function readingGrants({ schema }: CheckpointTables): readonly string[] {
  return [
    `  GRANT USAGE ON SCHEMA ${schema} TO ...;`,
    `  GRANT SELECT ON ALL TABLES IN SCHEMA ${schema} TO ...;`,
  ]
}

function changingGrants(tables: CheckpointTables): readonly string[] {
  const { checkpoints, audit, deadLetters, deadLetterCounts } = tables
  const { lateEventUnits, nodes, nodeAudit, failures } = tables
  return [
    ...readingGrants(tables),
    `  GRANT INSERT, UPDATE, DELETE ON ${checkpoints} TO ...;`,
    `  GRANT INSERT ON ${audit}, ${nodeAudit} TO ...;`,
    `  GRANT UPDATE ON ${deadLetters}, ${deadLetterCounts}, ${nodes} TO ...;`,
    `  GRANT INSERT, UPDATE ON ${lateEventUnits} TO ...;`,
    `  GRANT DELETE ON ${failures} TO ...;`,
  ]
}
