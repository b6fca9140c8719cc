import { statementName } from './statement-name.ts'

/**
 * A select of which `bind` writes the values. So it is one text where they are literals, and one plan for all values where
 * they are parameters.
 */
export type Statement = (bind: Bind) => string

/** @param literal - the value in SQL, of that very type */
export type Bind = (type: ValueType, literal: string) => string

type ValueType = 'bigint' | 'bigint[]' | 'int' | 'jsonb' | 'numeric' | 'oid[]' | 'pg_lsn' | 'text' | 'text[]'

/** As a literal. */
export const asLiteral: Bind = (_, literal) => literal

/** With its values in it. */
export function plainSql(statement: Statement): string {
  return statement(asLiteral)
}

/** How it is prepared once for a connection, and then run. */
export interface Prepared {
  /** Says what the statement is: whoever has prepared this name has prepared this text. */
  readonly name: string
  readonly prepareSql: string
  readonly executeSql: string
}

export function prepared(statement: Statement): Prepared {
  const types: string[] = []
  const values: string[] = []
  const text = statement((type, literal) => {
    types.push(type)
    values.push(literal)
    return `$${types.length}`
  })
  const inParentheses = (list: readonly string[]): string => (list.length === 0 ? '' : `(${list.join(', ')})`)
  const signature = inParentheses(types)
  const name = statementName(`${signature} ${text}`)
  return {
    name,
    prepareSql: `prepare ${name} ${signature} as ${text}`,
    executeSql: `execute ${name}${inParentheses(values)}`,
  }
}
