import type { Unit } from '@tidemark/core/adapter'
import { quoteIdentifier, quoteLiteral } from './identifiers.ts'
import { asLiteral, type Bind } from './statement.ts'

/** Tidemark's own tables, quoted for SQL. */
export interface CheckpointTables {
  /** As the user has named it. */
  readonly schemaName: string
  readonly schema: string
  readonly checkpoints: string
  readonly settled: string
  readonly skips: string
  readonly audit: string
  readonly deadLetters: string
  readonly deadLetterCounts: string
  readonly lateEvents: string
  readonly lateEventUnits: string
  readonly lostEvents: string
  readonly lostEventTotals: string
  readonly passedPositions: string
  readonly nodes: string
  readonly nodeAudit: string
  readonly failures: string
}

export type Row = Readonly<Record<string, unknown>>
/** Asks them in a transaction of their own; the rows of all of them. */
export type Query = (sql: string, signal: AbortSignal) => Promise<Row[]>

export function checkpointTables(schema: string): CheckpointTables {
  const table = (name: string): string => `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`
  return {
    schemaName: schema,
    schema: quoteIdentifier(schema),
    checkpoints: table('checkpoints'),
    settled: table('settled'),
    skips: table('skips'),
    audit: table('audit'),
    deadLetters: table('dead_letters'),
    deadLetterCounts: table('dead_letter_counts'),
    lateEvents: table('late_events'),
    lateEventUnits: table('late_event_units'),
    lostEvents: table('lost_events'),
    lostEventTotals: table('lost_event_totals'),
    passedPositions: table('passed_positions'),
    nodes: table('nodes'),
    nodeAudit: table('node_audit'),
    failures: table('projection_failures'),
  }
}

/** The condition on a row of `checkpoints` that is this unit's. */
export function isUnitSql(row: string, { projection, version, slots }: Unit, bind: Bind = asLiteral): string {
  const integer = (value: number): string => bind('int', integerSql(value))
  return (
    `${row}.projection = ${bind('text', quoteLiteral(projection))} and ${row}.version = ${integer(version)}` +
    ` and ${row}.slot_from = ${integer(slots.from)} and ${row}.slot_to = ${integer(slots.to)}`
  )
}

/** Its key, as values. */
export function unitValuesSql({ projection, version, slots }: Unit): string {
  return [quoteLiteral(projection), ...[version, slots.from, slots.to].map(integerSql)].join(', ')
}

export function integerSql(value: number): string {
  if (!Number.isSafeInteger(value)) throw new TypeError(`expected an integer, found ${value}`)
  return String(value)
}
