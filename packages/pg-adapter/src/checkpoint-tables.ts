import { quoteIdentifier } from './identifiers.ts'

/** Tidemark's own tables, quoted for SQL. */
export interface CheckpointTables {
  readonly checkpoints: string
  readonly settled: string
  readonly skips: string
}

export function checkpointTables(schema: string): CheckpointTables {
  const table = (name: string): string => `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`
  return { checkpoints: table('checkpoints'), settled: table('settled'), skips: table('skips') }
}
