import { type PostgresCondition, PostgresConditionError } from '../errors.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { requireReadableInOrder, requireTable } from '../proof/conditions.ts'
import type { InspectedRelation, Inspection } from '../proof/inspection.ts'
import { requireProvableSequence } from '../proof/sequence-conditions.ts'
import type { Finding } from './finding.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

interface Told {
  readonly expected: string
  readonly found: (inspection: Inspection) => string
}

/** What is looked at of the table itself, in the order in which the proof does. */
const OF_TABLE: Readonly<Record<string, Told>> = {
  server_version: {
    expected: 'PostgreSQL 14 or later',
    found: ({ serverVersion }) => `PostgreSQL ${Math.floor(serverVersion / 10_000)}`,
  },
  table_kind: {
    expected: 'an ordinary or a partitioned table',
    found: ({ relations }) => KINDS[relations[0]?.kind ?? ''] ?? 'something else',
  },
  permanent: {
    expected: 'table, partitions and sequence are permanent',
    found: ({ relations, sequence }) =>
      [...relations, ...(sequence ? [sequence] : [])]
        .map(({ name, persistence }) => `${name} ${PERSISTENCE[persistence] ?? persistence}`)
        .join(', '),
  },
  position_column: {
    expected: 'an integer that may not be NULL',
    found: ({ relations: [table] }) =>
      table?.positionType === undefined
        ? 'no such column'
        : `${table.positionType}, ${table.positionNotNull ? 'NOT NULL' : 'may be NULL'}`,
  },
  columns_exist: {
    expected: 'every column that the options name is there',
    found: ({ missingColumns }) =>
      missingColumns.length === 0
        ? 'every column that the options name is there'
        : `missing: ${missingColumns.join(', ')}`,
  },
  appended_at: {
    expected: 'a timestamptz, or a timestamp and its time zone',
    found: ({ appendedAtType }) => appendedAtType ?? 'not asked for',
  },
  table_privilege: {
    expected: 'this role may read its columns',
    found: ({ role, unreadableColumns }) =>
      unreadableColumns.length === 0
        ? `${role} may read its columns`
        : `${role} may not read ${unreadableColumns.join(', ')}`,
  },
  row_security: {
    expected: 'no row is hidden from this role',
    found: ({ rowSecurityActive }) => (rowSecurityActive ? 'row security is active' : 'no row security'),
  },
}

/** The same of what fills the position. */
const OF_SEQUENCE: Readonly<Record<string, Told>> = {
  citus: {
    expected: 'a local table',
    found: ({ isCitusTable }) => (isCitusTable ? 'a Citus distributed table' : 'a local table'),
  },
  sequence_found: {
    expected:
      "one sequence fills the position, by the column's default or identity, or as the option sequence says",
    found: ({ sequence, relations: [table] }) =>
      sequence === undefined
        ? 'no single sequence fills the position'
        : `${sequence.name}${table?.sequences.length === 0 ? NAMED : ''}`,
  },
  sequence_shared_by_partitions: {
    expected: 'every partition takes its numbers from that sequence',
    found: ({ relations }) => {
      const own = relations.filter(({ ownSequence }) => ownSequence !== undefined)
      return own.length === 0
        ? relations.length === 1
          ? 'no partitions'
          : `${relations.length - 1} partitions take their numbers from it`
        : own.map(({ name, ownSequence }) => `${name} by ${ownSequence}`).join(', ')
    },
  },
  sequence_privilege: {
    expected: 'this role may read the sequence',
    found: ({ role, sequence }) => `${role} ${sequence?.mayRead ? 'may' : 'may not'} read the sequence`,
  },
  sequence_cache: { expected: 'CACHE 1', found: ({ sequence }) => `CACHE ${sequence?.cache}` },
  sequence_increment: {
    expected: 'INCREMENT 1',
    found: ({ sequence }) => `INCREMENT ${sequence?.increment}`,
  },
  sequence_cycle: {
    expected: 'NO CYCLE',
    found: ({ sequence }) => (sequence?.cycle ? 'CYCLE' : 'NO CYCLE'),
  },
}

/** What the option takes the place of. */
const NAMED =
  ', as the option sequence says: that every insert takes its number from it, in its own transaction, is not checked'

const KINDS: Readonly<Record<string, string>> = {
  r: 'an ordinary table',
  p: 'a partitioned table',
  v: 'a view',
  m: 'a materialized view',
  f: 'a foreign table',
}
const PERSISTENCE: Readonly<Record<string, string>> = { p: 'permanent', u: 'unlogged', t: 'temporary' }

/**
 * Every condition of the proof that the catalog tells, each with what was found. The proof stops at the first that does not
 * hold; here it is then taken as if it held, and the proof is asked again.
 */
export function conditionFindings(inspection: Inspection, options: Options): readonly Finding[] {
  const table = violations(inspection, (taken) => requireTable(taken, options))
  const isReadable = table.endedAt === undefined
  const sequence = isReadable
    ? violations(inspection, (taken) => requireProvableSequence(taken, options))
    : undefined
  const order = isReadable ? orderViolations(inspection, options) : new Map<PostgresCondition, string>()
  const violated = new Map<PostgresCondition, string>()
  for (const [code, message] of [...table.found, ...(sequence?.found ?? []), ...order]) {
    const before = violated.get(code)
    violated.set(code, before === undefined ? message : `${before}\n${message}`)
  }
  const about = options.sql.table
  const tell = (code: PostgresCondition, told: Told, isLookedAt: boolean): readonly Finding[] => {
    const message = violated.get(code)
    const { expected } = told
    if (message !== undefined) {
      return [{ code, severity: 'problem', about, found: told.found(inspection), expected, toDo: message }]
    }
    if (isLookedAt) return [{ code, severity: 'ok', about, found: told.found(inspection), expected }]
    const found = 'not known until the problem above is mended'
    return [{ code, severity: 'unknown', about, found, expected }]
  }
  const tellAll = (
    of: Readonly<Record<string, Told>>,
    looked: Violations | undefined,
  ): readonly Finding[] => {
    const codes = Object.keys(of) as PostgresCondition[]
    const end = looked?.endedAt
    const known = end === undefined ? codes.length : codes.indexOf(end)
    const isAnyKnown = looked !== undefined
    return codes.flatMap((code, at) => tell(code, of[code] ?? INDEX, isAnyKnown && at < known))
  }
  return [
    ...tellAll(OF_TABLE, table).filter(
      ({ code }) => code !== 'appended_at' || options.appendedAt !== undefined,
    ),
    ...tellAll(OF_SEQUENCE, sequence),
    ...tell('index', INDEX, isReadable),
  ]
}

const INDEX: Told = {
  expected: 'an index led by the position',
  found: ({ hasIndex }) => (hasIndex ? 'an index led by the position' : 'no index led by the position'),
}

interface Violations {
  readonly found: ReadonlyMap<PostgresCondition, string>
  /** The one after which nothing more could be looked at; `undefined`: everything was. */
  readonly endedAt: PostgresCondition | undefined
}

function violations(inspection: Inspection, check: (taken: Inspection) => unknown): Violations {
  const found = new Map<PostgresCondition, string>()
  let taken = inspection
  for (;;) {
    const violation = violationOf(() => check(taken))
    if (violation === undefined) return { found, endedAt: undefined }
    const { condition, message } = violation
    const mended = found.has(condition) ? undefined : AS_IF_IT_HELD[condition]?.(taken)
    found.set(condition, found.get(condition) ?? message)
    if (mended === undefined) return { found, endedAt: condition }
    taken = mended
  }
}

/** Together they are one error: each is asked for as if the other held. */
function orderViolations(inspection: Inspection, options: Options): ReadonlyMap<PostgresCondition, string> {
  const found = new Map<PostgresCondition, string>()
  for (const taken of [
    { ...inspection, hasIndex: true },
    withRelations(inspection, { positionNotNull: true }),
  ]) {
    const violation = violationOf(() => requireReadableInOrder(taken, options))
    if (violation !== undefined) found.set(violation.condition, violation.message)
  }
  return found
}

function violationOf(check: () => unknown): PostgresConditionError | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    if (error instanceof PostgresConditionError) return error
    throw error
  }
}

function withRelations(inspection: Inspection, change: Partial<InspectedRelation>): Inspection {
  return { ...inspection, relations: inspection.relations.map((relation) => ({ ...relation, ...change })) }
}

function withSequence(
  inspection: Inspection,
  change: Partial<NonNullable<Inspection['sequence']>>,
): Inspection {
  const { sequence } = inspection
  return { ...inspection, sequence: sequence && { ...sequence, ...change } }
}

/** Where none is named, nothing can be said of the conditions after it. */
const AS_IF_IT_HELD: Readonly<Partial<Record<PostgresCondition, (of: Inspection) => Inspection>>> = {
  server_version: (of) => ({ ...of, serverVersion: 140_000 }),
  permanent: (of) => withSequence(withRelations(of, { persistence: 'p' }), { persistence: 'p' }),
  columns_exist: (of) => ({ ...of, missingColumns: [] }),
  table_privilege: (of) => ({ ...of, unreadableColumns: [] }),
  row_security: (of) => ({ ...of, rowSecurityActive: false }),
  citus: (of) => ({ ...of, isCitusTable: false }),
  sequence_shared_by_partitions: (of) => ({ ...of, relations: of.relations.slice(0, 1) }),
  sequence_privilege: (of) => withSequence(of, { mayRead: true }),
  sequence_cache: (of) => withSequence(of, { cache: '1' }),
  sequence_increment: (of) => withSequence(of, { increment: '1' }),
  sequence_cycle: (of) => withSequence(of, { cycle: false }),
}
