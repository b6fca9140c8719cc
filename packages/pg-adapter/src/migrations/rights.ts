import { PostgresConditionError } from '../errors.ts'
import { quoteIdentifier, quoteLiteral } from '../identifiers.ts'

/** What this role may do with the tables of checkpoints, or to make them. */
export interface CheckpointRights {
  readonly schema: string
  readonly role: string
  readonly database: string
  readonly schemaExists: boolean
  readonly tablesExist: boolean
  /** Everything that a daemon needs of the tables that are there. */
  readonly mayUse: boolean
  /** To make the schema, or the tables in it. */
  readonly mayCreate: boolean
}

/** Looks into the catalog alone: a name in a schema that the role may not use would fail the transaction. */
export function checkpointRightsSql(schema: string): string {
  const name = quoteLiteral(schema)
  return `select json_build_object('schema', ${name}, 'role', current_user, 'database', current_database(),
    'schemaExists', n.oid is not null,
    'tablesExist', exists (select from pg_class c where c.relnamespace = n.oid and c.relname = 'migrations'),
    'mayUse', n.oid is null or has_schema_privilege(n.oid, 'USAGE') and not exists (
      select from pg_class c
      join (values ('migrations', 'SELECT'), ('skips', 'SELECT'), ('skips', 'INSERT'),
        ('checkpoints', 'SELECT'), ('checkpoints', 'INSERT'), ('checkpoints', 'UPDATE'),
        ('audit', 'SELECT'), ('audit', 'INSERT'),
        ('settled', 'SELECT'), ('settled', 'INSERT'), ('settled', 'UPDATE'),
        ('dead_letters', 'SELECT'), ('dead_letters', 'INSERT'), ('dead_letters', 'UPDATE'),
        ('dead_letter_counts', 'SELECT'), ('dead_letter_counts', 'INSERT'), ('dead_letter_counts', 'UPDATE'),
        ('late_events', 'SELECT'), ('late_events', 'INSERT'), ('late_event_units', 'SELECT'),
        ('late_event_units', 'INSERT'), ('late_event_units', 'UPDATE'),
        ('lost_events', 'SELECT'), ('lost_events', 'INSERT'), ('lost_events', 'UPDATE'),
        ('lost_event_totals', 'SELECT'), ('lost_event_totals', 'INSERT'), ('lost_event_totals', 'UPDATE'),
        ('passed_positions', 'SELECT'), ('passed_positions', 'INSERT'), ('passed_positions', 'UPDATE'),
        ('nodes', 'SELECT'), ('nodes', 'INSERT'), ('nodes', 'UPDATE'),
        ('projection_failures', 'SELECT'), ('projection_failures', 'INSERT'), ('projection_failures', 'UPDATE')
      ) as needed (name, privilege)
        on c.relname = needed.name
      where c.relnamespace = n.oid and not has_table_privilege(c.oid, needed.privilege)
    ),
    'mayCreate', case when n.oid is null then has_database_privilege(current_database(), 'CREATE')
      else has_schema_privilege(n.oid, 'CREATE') end
  )::text as rights
  from (select) one left join pg_namespace n on n.nspname = ${name}`
}

export function requireMayUse(rights: CheckpointRights): void {
  if (rights.mayUse) return
  throw new PostgresConditionError(
    'checkpoint_tables',
    `this role may not use all tables of checkpoints in the schema ${quoteIdentifier(rights.schema)}; run, as their ` +
      `owner\n${grants(rights)}`,
  )
}

/** @param applied - the version of the tables that are there */
export function requireMayCreate(rights: CheckpointRights, applied: number, cause?: unknown): void {
  if (rights.mayCreate && cause === undefined) return
  const advice = rights.tablesExist ? toUpgrade(rights, applied) : toMake(rights)
  throw new PostgresConditionError('checkpoint_tables', advice, { cause })
}

function toMake({ schemaExists, schema, database, role }: CheckpointRights): string {
  const where = schemaExists ? `SCHEMA ${quoteIdentifier(schema)}` : `DATABASE ${quoteIdentifier(database)}`
  return (
    `tables of checkpoints in the schema ${quoteIdentifier(schema)} are missing, and this role may not make them; run\n` +
    `  GRANT CREATE ON ${where} TO ${quoteIdentifier(role)};\n` +
    `or let another role run what ${printedBy(schema)} prints`
  )
}

/** Their owner alone may alter tables. */
function toUpgrade(rights: CheckpointRights, applied: number): string {
  const { schema } = rights
  return (
    `the tables of checkpoints in the schema ${quoteIdentifier(schema)} are of the version ${applied}, and this role may not ` +
    `change them; let their owner run what ${printedBy(schema, applied)} prints, and then, for the new tables\n${grants(rights)}`
  )
}

/** The call that prints what makes the tables, or what is missing above that version. */
export function printedBy(schema: string, from = 0): string {
  return `postgresCheckpointsSql({ schema: ${JSON.stringify(schema)}${from === 0 ? '' : `, from: ${from}`} })`
}

function grants({ schema, role }: CheckpointRights): string {
  const to = `TO ${quoteIdentifier(role)};`
  return (
    `  GRANT USAGE ON SCHEMA ${quoteIdentifier(schema)} ${to}\n` +
    `  GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA ${quoteIdentifier(schema)} ${to}`
  )
}
