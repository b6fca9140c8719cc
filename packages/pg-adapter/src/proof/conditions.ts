import type { PostgresCondition } from '../errors.ts'
import { quoteIdentifier } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import type { InspectedRelation, Inspection } from './inspection.ts'
import { fail, otherColumns } from './sequence-conditions.ts'

/** The oldest major whose source was read for the proof. */
const OLDEST_SERVER_VERSION = 140_000
const ORDINARY_TABLE = 'r'
const PARTITIONED_TABLE = 'p'
const PERMANENT = 'p'
const TEMPORARY = 't'
const INTEGER_TYPES: ReadonlySet<string> = new Set(['bigint', 'integer', 'smallint'])

type Options = ResolvedPostgresEventsOptions<unknown>

/** Throws the first violated condition of what every mode needs of a table, before its order is looked at. */
export function requireTable(inspection: Inspection, options: Options): void {
  const table = options.sql.table
  if (inspection.serverVersion < OLDEST_SERVER_VERSION) {
    fail('server_version', `the server is PostgreSQL ${inspection.serverVersion}; 14 or later is needed`)
  }
  for (const relation of inspection.relations) requireRelation(relation, inspection, options)
  const [missing] = inspection.missingColumns
  if (missing !== undefined) {
    fail(
      'columns_exist',
      `${table} has no column ${quoteIdentifier(missing)}, which the option ` +
        `${optionThatNames(missing, options)} names, case included`,
    )
  }
  requireTimeOfAppend(inspection, options)
  if (inspection.unreadableColumns.length > 0) {
    fail(
      'table_privilege',
      `this role may not read ${inspection.unreadableColumns.map(quoteIdentifier).join(', ')} of ${table}; run\n` +
        `  GRANT SELECT ON ${table} TO ${quoteIdentifier(inspection.role)};\n` +
        'or name the columns to read in the option columns',
    )
  }
  if (inspection.rowSecurityActive) {
    fail(
      'row_security',
      `row security hides rows of ${table} from this role, and a hidden event looks like one that was never ` +
        'committed; read with a role that has BYPASSRLS, or that owns the table without FORCE ROW LEVEL SECURITY',
    )
  }
}

/**
 * Throws if the table cannot be read in the order of its position, in every mode. It comes after the check of that order:
 * an index on a column that does not order the events would help nobody. Faults that one statement each mends are
 * reported together.
 */
export function requireReadableInOrder(inspection: Inspection, options: Options): void {
  const mendable = [...nullablePositions(inspection, options), ...missingIndex(inspection, options)]
  const [first] = mendable
  if (first) fail(first.condition, mendable.map(({ message }) => message).join('\n'))
}

function optionThatNames(column: string, { eventType, where, appendedAt, watched }: Options): string {
  if (column === eventType) return 'eventType'
  if (column in where) return 'where'
  if (column === appendedAt?.column) return 'appendedAt'
  if (watched === undefined) return 'columns'
  if (column === watched.transaction) return 'transaction'
  return column === watched.stream ? 'stream' : 'traceContext'
}

/** A time without a zone would be read in the zone of this process, and be hours off. */
function requireTimeOfAppend({ appendedAtType }: Inspection, { appendedAt, sql }: Options): void {
  if (appendedAt === undefined) return
  const { column, timeZone } = appendedAt
  const expected = timeZone === undefined ? TIMESTAMPTZ : TIMESTAMP
  if (appendedAtType === expected) return
  const advice =
    appendedAtType === TIMESTAMP
      ? `name the time zone that its times are in, as appendedAt: { column: '${column}', timeZone: 'UTC' }`
      : appendedAtType === TIMESTAMPTZ
        ? `it has a time zone already: write appendedAt: '${column}'`
        : 'leave the option appendedAt out, or add a column of type timestamptz'
  fail('appended_at', `${sql.table}.${quoteIdentifier(column)} is of type ${appendedAtType}: ${advice}`)
}

const TIMESTAMP = 'timestamp without time zone'
const TIMESTAMPTZ = 'timestamp with time zone'

interface Violation {
  readonly condition: PostgresCondition
  readonly message: string
}

function nullablePositions(
  { relations }: Inspection,
  { position, sql, watched }: Options,
): readonly Violation[] {
  // A row without a number is no event of the order. A projection would never read it; a watch reads nothing.
  if (watched) return []
  const nullable = relations.filter(({ positionNotNull }) => !positionNotNull)
  // Altering the table alters its partitions too.
  const [root] = relations
  return (root && nullable.includes(root) ? [root] : nullable).map(({ name }) => ({
    condition: 'position_column',
    message:
      `${name}.${position} may be NULL, and an event without a position would never be read; run\n` +
      `  ALTER TABLE ${name} ALTER COLUMN ${sql.position} SET NOT NULL;\n` +
      '(it reads the whole table, and appends wait until it has ended)',
  }))
}

function missingIndex(inspection: Inspection, options: Options): readonly Violation[] {
  if (inspection.hasIndex || options.allowMissingIndex) return []
  const { table, position } = options.sql
  return [
    {
      condition: 'index',
      message:
        `${table} has no index led by ${position}, so that every page would read the whole table; run\n` +
        `  ${createIndexSql(inspection, options)};\n${appendsWait(inspection)}` +
        'or set the option allowMissingIndex: true',
    },
  ]
}

/** PostgreSQL has no CONCURRENTLY for a partitioned table. */
function createIndexSql({ relations }: Inspection, { sql }: Options): string {
  const concurrently = isPartitioned(relations) ? '' : ' CONCURRENTLY'
  return `CREATE INDEX${concurrently} ON ${sql.table} (${sql.position})`
}

const appendsWait = ({ relations }: Inspection): string =>
  isPartitioned(relations) ? '(appends wait until it has ended)\n' : ''

const isPartitioned = ([root]: Inspection['relations']): boolean => root?.kind === PARTITIONED_TABLE

function requireRelation(relation: InspectedRelation, inspection: Inspection, options: Options): void {
  const { name, kind, persistence, positionType } = relation
  if (kind !== ORDINARY_TABLE && kind !== PARTITIONED_TABLE) {
    fail(
      'table_kind',
      `${name} is neither an ordinary nor a partitioned table (relkind ${kind}); name the table itself`,
    )
  }
  if (persistence === TEMPORARY) fail('permanent', `${name} is temporary; events need a permanent table`)
  if (persistence !== PERMANENT) {
    fail('permanent', `${name} is unlogged; a crash empties it: run\n  ALTER TABLE ${name} SET LOGGED;`)
  }
  if (positionType === undefined) {
    fail(
      'position_column',
      `${name} has no column ${quoteIdentifier(options.position)}. ` +
        (otherColumns(inspection, options) ??
          'Set the option position to the column whose numbers order all events of this table'),
    )
  }
  if (!INTEGER_TYPES.has(positionType)) {
    fail(
      'position_column',
      `${name}.${options.position} is of type ${positionType}; bigint, integer or smallint is needed. ` +
        (otherColumns(inspection, options) ?? ''),
    )
  }
}
