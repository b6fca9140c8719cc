import { type PostgresCondition, PostgresConditionError } from './errors.ts'
import { quoteIdentifier } from './identifiers.ts'
import type { InspectedRelation, InspectedSequence, Inspection } from './inspection.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'

/** The oldest major whose source was read for the proof. */
const OLDEST_SERVER_VERSION = 140_000
const ORDINARY_TABLE = 'r'
const PARTITIONED_TABLE = 'p'
const PERMANENT = 'p'
const TEMPORARY = 't'
const INTEGER_TYPES: ReadonlySet<string> = new Set(['bigint', 'integer', 'smallint'])

type Options = ResolvedPostgresEventsOptions<unknown>

/** Throws the first violated condition of what every mode needs: a table that can be read in its order. */
export function requireReadableTable(inspection: Inspection, options: Options): void {
  const table = options.sql.table
  if (inspection.serverVersion < OLDEST_SERVER_VERSION) {
    fail('server_version', `the server is PostgreSQL ${inspection.serverVersion}; 14 or later is needed`)
  }
  for (const relation of inspection.relations) requireRelation(relation, options)
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
      `this role may not read ${inspection.unreadableColumns.map(quoteIdentifier).join(', ')} of ${table}; ` +
        `GRANT SELECT ON ${table} TO the role, or name the columns to read in the option columns`,
    )
  }
  if (inspection.rowSecurityActive) {
    fail(
      'row_security',
      `row security hides rows of ${table} from this role, and a hidden event looks like one that was never ` +
        'committed; read with a role that has BYPASSRLS, or that owns the table without FORCE ROW LEVEL SECURITY',
    )
  }
  // What one statement each mends is told at once.
  const mendable = [...nullablePositions(inspection, options), ...missingIndex(inspection, options)]
  const [first] = mendable
  if (first) fail(first.condition, mendable.map(({ message }) => message).join('\n'))
}

function optionThatNames(column: string, { eventType, appendedAt }: Options): string {
  if (column === eventType) return 'eventType'
  return column === appendedAt?.column ? 'appendedAt' : 'columns'
}

/** A time without zone would be read in that of this process, hours off. */
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

function nullablePositions({ relations }: Inspection, { position, sql }: Options): readonly Violation[] {
  const nullable = relations.filter(({ positionNotNull }) => !positionNotNull)
  // Altering the table alters its partitions too.
  const [root] = relations
  return (root && nullable.includes(root) ? [root] : nullable).map(({ name }) => ({
    condition: 'position_column',
    message:
      `${name}.${position} may be NULL, and an event without a position would never be read; run\n` +
      `  ALTER TABLE ${name} ALTER COLUMN ${sql.position} SET NOT NULL;`,
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
        `  ${createIndexSql(inspection, options)};\n` +
        'or set allowMissingIndex: true',
    },
  ]
}

/** Throws the first violated condition of the proof, beyond a readable table. */
export function requireProvableSequence(inspection: Inspection, options: Options): InspectedSequence {
  const table = options.sql.table
  if (inspection.isCitusTable) {
    fail(
      'citus',
      `${table} is a Citus distributed table: its numbers are taken on other servers; ${FALLBACK}`,
    )
  }
  const sequence = requireOneSequence(inspection, options)
  const { name } = sequence
  if (!sequence.mayRead) {
    fail(
      'sequence_privilege',
      `this role may not read the sequence ${name}; GRANT SELECT ON SEQUENCE ${name} TO the role`,
    )
  }
  if (sequence.persistence !== PERMANENT) {
    fail('permanent', `the sequence ${name} is unlogged or temporary; a crash resets it: make it LOGGED`)
  }
  if (sequence.cache !== '1') {
    fail(
      'sequence_cache',
      `the sequence ${name} has CACHE ${sequence.cache}: sessions take numbers ahead, outside the transaction that ` +
        `inserts them; run ALTER SEQUENCE ${name} CACHE 1 and end the sessions that hold cached numbers, or ${FALLBACK}`,
    )
  }
  if (sequence.increment !== '1') {
    fail(
      'sequence_increment',
      `the sequence ${name} has INCREMENT ${sequence.increment}, which is how hi/lo allocators announce themselves ` +
        `(numbers are taken ahead of their transaction); use INCREMENT 1, or ${FALLBACK}`,
    )
  }
  if (sequence.cycle) {
    fail(
      'sequence_cycle',
      `the sequence ${name} has CYCLE: numbers come back; run ALTER SEQUENCE ${name} NO CYCLE`,
    )
  }
  return sequence
}

/** PostgreSQL has no CONCURRENTLY for a partitioned table. */
function createIndexSql({ relations }: Inspection, { sql }: Options): string {
  const concurrently = relations[0]?.kind === PARTITIONED_TABLE ? '' : ' CONCURRENTLY'
  return `CREATE INDEX${concurrently} ON ${sql.table} (${sql.position})`
}

const FALLBACK = "choose highWater: { mode: 'stale-threshold' }, which may lose events"

function requireRelation(relation: InspectedRelation, options: Options): void {
  const { name, kind, persistence, positionType } = relation
  if (kind !== ORDINARY_TABLE && kind !== PARTITIONED_TABLE) {
    fail(
      'table_kind',
      `${name} is neither an ordinary nor a partitioned table (relkind ${kind}); name the table itself`,
    )
  }
  if (persistence === TEMPORARY) fail('permanent', `${name} is temporary; events need a permanent table`)
  if (persistence !== PERMANENT) {
    fail('permanent', `${name} is unlogged; a crash empties it: ALTER TABLE ${name} SET LOGGED`)
  }
  if (positionType === undefined) {
    fail(
      'position_column',
      `${name} has no column ${quoteIdentifier(options.position)}; set the option position`,
    )
  }
  if (!INTEGER_TYPES.has(positionType)) {
    fail(
      'position_column',
      `${name}.${options.position} is of type ${positionType}; bigint, integer or smallint is needed`,
    )
  }
}

function requireOneSequence(inspection: Inspection, options: Options): InspectedSequence {
  const column = `${options.sql.table}.${options.position}`
  const [root, ...children] = inspection.relations
  if (root === undefined || inspection.sequence === undefined) {
    const found =
      (root?.sequences.length ?? 0) > 1
        ? `its default calls several sequences`
        : root?.hasDefault
          ? "its default calls no sequence that the catalog knows (write it as nextval('name'::regclass))"
          : 'it has neither a default nor an identity'
    return fail('sequence_found', `${column} must be filled by one sequence: ${found}; or ${FALLBACK}`)
  }
  const { sequence } = inspection
  for (const child of children) {
    const other = child.sequences.find((oid) => oid !== sequence.oid)
    if (other !== undefined || (child.hasDefault && child.sequences.length === 0)) {
      fail(
        'sequence_shared_by_partitions',
        `${child.name} fills ${options.position} from another sequence than ${options.sql.table} does ` +
          `(${sequence.name}); give it the same default`,
      )
    }
  }
  for (const { name, computedDefault } of inspection.relations) {
    if (computedDefault === undefined) continue
    fail(
      'sequence_found',
      `${name}.${options.position} must be filled with the very number that the sequence hands out, but its default is ` +
        `${computedDefault}; write it as nextval('name'::regclass), or ${FALLBACK}`,
    )
  }
  return sequence
}

function fail(condition: PostgresCondition, message: string): never {
  throw new PostgresConditionError(condition, message)
}
