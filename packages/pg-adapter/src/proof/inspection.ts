import { type BoundedClient, withConnection } from '../client.ts'
import { PostgresConditionError } from '../errors.ts'
import { quoteIdentifier, quoteLiteral } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { INSUFFICIENT_PRIVILEGE, sqlState } from '../sql-state.ts'
import { manyResults, transactUnlessLocked } from '../transaction.ts'
import { inspectionSql } from './inspection-sql.ts'

/** The catalog's word on a table and the sequence behind its position, as `conditions.ts` judges it. */
export interface Inspection {
  readonly tableOid: string
  readonly serverVersion: number
  /** Who asks: `current_user`. */
  readonly role: string
  readonly inRecovery: boolean
  readonly rowSecurityActive: boolean
  /** Columns that the options name and the table lacks. */
  readonly missingColumns: readonly string[]
  /** Columns to be read that this role may not read. */
  readonly unreadableColumns: readonly string[]
  /** The type of the column `appendedAt`, below any domain; `undefined`: no such column was asked for or found. */
  readonly appendedAtType?: string
  readonly hasIndex: boolean
  /** An index makes sure that no two rows of the table have one position. */
  readonly isPositionUnique: boolean
  /**
   * Which of its relations a range of positions is looked for in may hang on that range: they are parted by the position, or
   * inherit, perhaps with constraints on it.
   */
  readonly mayBeReadInPart: boolean
  /** The table's integer columns that belong to a sequence: by an identity, a default, or OWNED BY alone. */
  readonly numberedColumns: readonly NumberedColumn[]
  readonly isCitusTable: boolean
  /** The table, its partitions and whatever inherits from it; the table first. */
  readonly relations: readonly InspectedRelation[]
  /** The oid of the sequence that the option `sequence` names; `undefined`: there is none, or none was named. */
  readonly namedSequence?: string
  /** What fills the position: by its default or identity, or by the option where it has neither. */
  readonly sequence: InspectedSequence | undefined
  /** What the catalog said of the column when all this was read; each poll asks again and compares. */
  readonly fingerprint: string
}

interface NumberedColumn {
  readonly column: string
  /** With its schema, quoted where it needs it. */
  readonly sequence: string
}

export interface InspectedRelation {
  readonly oid: string
  /** The transaction that made it a member; absent for the table itself. */
  readonly attachedBy?: string
  /** The oid of what it was attached to; absent for the table itself. */
  readonly parent?: string
  /** The last transaction that altered it, or gave it another file. */
  readonly alteredBy: string
  /** Whether it may be read by itself, and shows all of its rows. */
  readonly mayRead: boolean
  /** With its schema, quoted where it needs it. */
  readonly name: string
  readonly kind: string
  readonly persistence: string
  /** `undefined`: it has no such column. */
  readonly positionType?: string
  readonly positionNotNull: boolean
  /** The sequences that fill its position: an identity's own, or those that its default calls. */
  readonly sequences: readonly string[]
  /** The column is an identity of this very table. */
  readonly isIdentity: boolean
  /**
   * Of a partition: a sequence that it seems to take its numbers from, other than its parent's: one that its position owns
   * while it has no default, or one named after it (Marten's `mt_events_sequence_a` beside `mt_events_a`).
   */
  readonly ownSequence?: string
  /** A default fills the column, whether or not the catalog knows from which sequence. */
  readonly hasDefault: boolean
  /** Its default, where that is not `nextval` of one sequence alone. */
  readonly computedDefault?: string
}

export interface InspectedSequence {
  readonly oid: string
  /** With its schema, quoted where it needs it. */
  readonly name: string
  readonly relfilenode: string
  readonly persistence: string
  readonly start: bigint
  readonly increment: string
  readonly cache: string
  readonly cycle: boolean
  readonly mayRead: boolean
}

/** Reads the catalog in one statement, so that fingerprint and facts are of one moment. */
export async function inspect(
  options: ResolvedPostgresEventsOptions<unknown>,
  signal: AbortSignal,
): Promise<Inspection> {
  return await withConnection(options.pool, signal, async (client) => {
    const facts = await readFacts(client, options)
    const tableOid = requireTableOid(facts, options)
    return toInspection(facts, tableOid, facts.hasCitus && (await isDistributed(client, tableOid)))
  })
}

/** What a poll read with `inspectionSql`; `undefined` where that cannot tell all: it takes a look of its own. */
export function parseInspection(
  json: string,
  options: ResolvedPostgresEventsOptions<unknown>,
): Inspection | undefined {
  const facts = JSON.parse(json) as Facts
  const tableOid = requireTableOid(facts, options)
  return facts.hasCitus ? undefined : toInspection(facts, tableOid, false)
}

function toInspection(
  { hasCitus, sequence, ...facts }: Facts,
  tableOid: string,
  isCitusTable: boolean,
): Inspection {
  return {
    ...facts,
    tableOid,
    isCitusTable,
    sequence: sequence && { ...sequence, start: BigInt(sequence.start) },
  }
}

function requireTableOid({ tableOid }: Facts, options: ResolvedPostgresEventsOptions<unknown>): string {
  if (tableOid !== undefined) return tableOid
  throw new PostgresConditionError(
    'table_exists',
    options.table.schema === undefined
      ? `table: no table ${options.sql.table} on the search path of this role; ` +
          'name it with its schema, as schema.table, case included'
      : `table: no table ${options.sql.table} in this database; look whether it was renamed or dropped, and whether ` +
          'schema and table are written as the database has them, case included',
  )
}

async function readFacts(
  client: BoundedClient,
  options: ResolvedPostgresEventsOptions<unknown>,
): Promise<Facts> {
  try {
    // Printing a default locks its table on 18, which may wait for DDL.
    const [read] = await transactUnlessLocked(client, inspectionSql(options))
    return JSON.parse(String(read?.rows[0]?.facts)) as Facts
  } catch (error) {
    if (sqlState(error) === INVALID_PARAMETER_VALUE) {
      throw new PostgresConditionError(
        'appended_at',
        `appendedAt: the server does not know the time zone ${options.appendedAt?.timeZone}: ${String(error)}`,
        { cause: error },
      )
    }
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error
    const role = await readRole(client)
    throw new PostgresConditionError(
      'table_privilege',
      `${options.sql.table} cannot be looked up: ${String(error)}; run\n` +
        `  GRANT USAGE ON SCHEMA ${quoteIdentifier(options.table.schema ?? 'public')} TO ${quoteIdentifier(role)};`,
      { cause: error },
    )
  }
}

/** After a statement that has failed. */
async function readRole(client: BoundedClient): Promise<string> {
  const results = await client.query('rollback; select current_user as role')
  return String(manyResults(results).at(-1)?.rows[0]?.role)
}

/** What AT TIME ZONE says to a name that it does not know. */
const INVALID_PARAMETER_VALUE = '22023'

/** `Inspection` as JSON can tell it. */
interface Facts extends Omit<Inspection, 'tableOid' | 'isCitusTable' | 'sequence'> {
  /** `undefined`: there is no such table. */
  readonly tableOid?: string
  readonly hasCitus: boolean
  readonly sequence?: Omit<InspectedSequence, 'start'> & { readonly start: string }
}

/** https://docs.citusdata.com: `pg_dist_partition` lists the distributed tables. */
async function isDistributed(client: BoundedClient, tableOid: string): Promise<boolean> {
  const [found] = await transactUnlessLocked(
    client,
    `select exists (
       select from pg_dist_partition where logicalrelid = ${quoteLiteral(tableOid)}::oid
     )::text as distributed`,
  )
  return found?.rows[0]?.distributed === 'true'
}
