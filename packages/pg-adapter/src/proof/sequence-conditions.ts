import { type PostgresCondition, PostgresConditionError } from '../errors.ts'
import { quoteIdentifier, quoteLiteral, quoteName } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import type { InspectedRelation, InspectedSequence, Inspection } from './inspection.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

const PERMANENT = 'p'

/** What remains if the writers cannot be changed, and what it costs. A message names it last. */
export const LAST_RESORT: string =
  "Only where that cannot be done: highWater: { mode: 'stale-threshold' } passes a gap after thresholdMs. An " +
  'event that appears there later is not handled in its place: it is counted, and handled late where onLateEvent is set'

/** What is left where writers take their numbers ahead. A message names it last. */
export const TAKEN_AHEAD: string =
  "If a writer has to take its numbers ahead of that transaction, set numbers: 'taken-ahead'. Nothing is proven then: a gap is " +
  'passed after thresholdMs, when no transaction is open that is older, and an event that appears there later is told as a ' +
  'late event'

/** Throws the first violated condition of the proof, of what fills the position. */
export function requireProvableSequence(inspection: Inspection, options: Options): InspectedSequence {
  const table = options.sql.table
  if (inspection.isCitusTable) {
    fail(
      'citus',
      `${table} is a Citus distributed table: its numbers are taken on other servers, which cannot be asked. Keep the ` +
        `events in a local table. ${LAST_RESORT}`,
    )
  }
  const sequence = requireOneSequence(inspection, options)
  const { name } = sequence
  if (!sequence.mayRead) fail('sequence_privilege', mayNotRead(name, inspection.role))
  if (sequence.persistence !== PERMANENT) {
    fail(
      'permanent',
      `the sequence ${name} is unlogged or temporary; a crash resets it: run\n  ALTER SEQUENCE ${name} SET LOGGED;`,
    )
  }
  if (sequence.cache !== '1') {
    fail(
      'sequence_cache',
      `the sequence ${name} has CACHE ${sequence.cache}: sessions take numbers ahead, outside the transaction that ` +
        `inserts them; run\n  ALTER SEQUENCE ${name} CACHE 1;\n(sessions then drop the numbers that they had taken, which stay gaps)`,
    )
  }
  if (sequence.increment !== '1') {
    fail(
      'sequence_increment',
      `the sequence ${name} has INCREMENT ${sequence.increment}, which is how hi/lo allocators announce themselves: a ` +
        'writer takes one number and makes a block of positions of it, in its memory. First set the block size to 1 in ' +
        `every writer (Hibernate: allocationSize = 1). Then run\n  ALTER SEQUENCE ${name} INCREMENT 1;\n${TAKEN_AHEAD}`,
    )
  }
  if (sequence.cycle) {
    fail(
      'sequence_cycle',
      `the sequence ${name} has CYCLE: numbers come back; run\n  ALTER SEQUENCE ${name} NO CYCLE;`,
    )
  }
  return sequence
}

export const mayNotRead = (sequence: string, role: string): string =>
  `this role may not read the sequence ${sequence}; run\n` +
  `  GRANT SELECT ON SEQUENCE ${sequence} TO ${quoteIdentifier(role)};`

function requireOneSequence(inspection: Inspection, options: Options): InspectedSequence {
  const sequence = requireSequence(inspection, options)
  requireSharedByPartitions(inspection, sequence, options)
  for (const { name, computedDefault } of inspection.relations) {
    if (computedDefault === undefined) continue
    fail(
      'sequence_found',
      `${name}.${options.position} must be filled with the very number that the sequence hands out, but its default is ` +
        `${computedDefault}; run\n  ${setDefaultSql(name, sequence.name, options)}`,
    )
  }
  return sequence
}

/** The one sequence that fills the table's position, by its default or identity, or because the option says so. */
function requireSequence(inspection: Inspection, options: Options): InspectedSequence {
  requireNamedSequence(inspection, options)
  if (inspection.sequence !== undefined) return inspection.sequence
  const [root] = inspection.relations
  const column = `${options.sql.table}.${options.position}`
  if (root !== undefined && root.sequences.length > 1) {
    return fail(
      'sequence_found',
      `${column} must be filled by one sequence: its default calls several sequences; write it as nextval('name'::regclass)`,
    )
  }
  if (root?.hasDefault) {
    return fail(
      'sequence_found',
      `${column} must be filled by one sequence: its default calls no sequence that the catalog knows; write it as ` +
        `nextval('name'::regclass). ${LAST_RESORT}`,
    )
  }
  const owned = inspection.numberedColumns.find(({ column }) => column === options.position)
  if (owned) {
    return fail(
      'sequence_found',
      `${column} has no default. It owns the sequence ${owned.sequence}, from which its writers seem to take their ` +
        'numbers. First make sure that each of them takes its numbers in the transaction that inserts them. Marten does ' +
        'so in append mode Quick (its default since 9), and not in append mode Rich (its default in 8): in Rich events ' +
        `would be passed and lost. Then set the option sequence: ${JSON.stringify(owned.sequence)}. ${TAKEN_AHEAD}`,
    )
  }
  const others = otherColumns(inspection, options)
  return fail(
    'sequence_found',
    others === undefined
      ? `${column} must be filled by one sequence: it has neither a default nor an identity, and no column of this table ` +
          'has one. If each writer takes its number from one sequence, in the transaction that inserts it, name that ' +
          `sequence in the option sequence. ${LAST_RESORT}`
      : `${column} has neither a default nor an identity, so it is not in the order in which all events were appended ` +
          `(it may be a position within one stream). ${others}`,
  )
}

/** Throws where the option `sequence` contradicts the catalog. It is heard in every mode. */
export function requireNamedSequence(inspection: Inspection, options: Options): void {
  if (options.sequence === undefined) return
  const { sequence, namedSequence, numberedColumns } = inspection
  const column = `${options.sql.table}.${options.position}`
  const { schema = options.table.schema, name } = options.sequence
  const named = quoteName({ schema, name })
  if (namedSequence === undefined) {
    fail(
      'sequence_found',
      `sequence: no sequence ${named} in this database; look whether it was renamed or dropped, and whether schema and ` +
        'sequence are written as the database has them, case included',
    )
  }
  if (sequence === undefined) return
  if (sequence.oid !== namedSequence) {
    fail(
      'sequence_found',
      `${column} is filled from ${sequence.name}, by its default or identity, but the option sequence names ${named}; ` +
        'leave the option out',
    )
  }
  const owned = numberedColumns.find((each) => each.column === options.position)
  if (owned !== undefined && !numberedColumns.some((each) => isFilling(each, sequence, options))) {
    fail(
      'sequence_found',
      `${column} owns the sequence ${owned.sequence}, but the option sequence names ${named}; name the one from which ` +
        'every writer takes its numbers. If that is not the one that the column owns, first run\n' +
        `  ALTER SEQUENCE ${owned.sequence} OWNED BY NONE;`,
    )
  }
  const other = numberedColumns.find(
    (each) => each.sequence === sequence.name && each.column !== options.position,
  )
  if (other !== undefined) {
    fail(
      'sequence_found',
      `${sequence.name} fills ${quoteIdentifier(other.column)}, not ${quoteIdentifier(options.position)} (which may be a ` +
        `position within one stream). Leave the option sequence out. ${otherColumns(inspection, options)}`,
    )
  }
}

function isFilling(
  { column, sequence }: Inspection['numberedColumns'][number],
  { name }: InspectedSequence,
  { position }: Options,
): boolean {
  return column === position && sequence === name
}

/** Which column to name instead, where a sequence fills another one. */
export function otherColumns({ numberedColumns }: Inspection, { position }: Options): string | undefined {
  const others = numberedColumns.filter(({ column }) => column !== position)
  if (others.length === 0) return undefined
  const named = others.map(({ column, sequence }) => `${quoteIdentifier(column)} (by ${sequence})`)
  const options = others.map(({ column }) => `position: ${JSON.stringify(column)}`)
  return `Filled by a sequence: ${named.join(', ')}. Set the option ${options.join(' or ')}`
}

/** Throws where a partition takes its numbers from elsewhere than the table does. */
export function requireSharedByPartitions(
  { relations }: Inspection,
  sequence: InspectedSequence,
  options: Options,
): void {
  for (const partition of relations.slice(1)) {
    const { name, ownSequence, hasDefault, sequences } = partition
    const isFilledElsewhere =
      sequences.some((oid) => oid !== sequence.oid) || (hasDefault && sequences.length === 0)
    if (isFilledElsewhere) {
      fail(
        'sequence_shared_by_partitions',
        `${name} fills ${options.position} from another sequence than ${options.sql.table} does (${sequence.name}); give ` +
          `it the same default:\n${takeOverSql(partition, sequence, options)}`,
      )
    }
    if (ownSequence === undefined) continue
    fail(
      'sequence_shared_by_partitions',
      `${name} seems to take its numbers from a sequence of its own, ${ownSequence}, and not from ${sequence.name}: ` +
        `${options.sql.table} then has no order of all its events. Read each partition by a source of its own (table: ` +
        `'${name}'), whose position has that sequence as its default. If no writer uses ${ownSequence} any more, run\n  ` +
        (hasDefault ? `DROP SEQUENCE ${ownSequence};` : setDefaultSql(name, sequence.name, options)),
    )
  }
}

function takeOverSql(
  { name, isIdentity }: InspectedRelation,
  sequence: InspectedSequence,
  options: Options,
): string {
  const dropped = isIdentity
    ? `  ALTER TABLE ${name} ALTER COLUMN ${options.sql.position} DROP IDENTITY;\n`
    : ''
  return `${dropped}  ${setDefaultSql(name, sequence.name, options)}`
}

function setDefaultSql(table: string, sequence: string, { sql }: Options): string {
  return `ALTER TABLE ${table} ALTER COLUMN ${sql.position} SET DEFAULT ${nextval(sequence)};`
}

const nextval = (sequence: string): string => `nextval(${quoteLiteral(sequence)}::regclass)`

export function fail(condition: PostgresCondition, message: string): never {
  throw new PostgresConditionError(condition, message)
}
