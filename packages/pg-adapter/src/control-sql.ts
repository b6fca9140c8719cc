import type {
  AuditEntry,
  AuditFilter,
  ControlledUnit,
  DesiredState,
  OperatedState,
  OperationName,
  Role,
  Unit,
  UnitChange,
} from '@tidemark/core/adapter'
import {
  DESIRED_COLUMNS,
  filterSql,
  msSql,
  textOf,
  toDesired,
  toRole,
  toStoredUnit,
  toUnit,
  UNIT_COLUMNS,
} from './checkpoint-rows.ts'
import { type CheckpointTables, isUnitSql, type Row, unitValuesSql } from './checkpoint-tables.ts'
import { isRetryAskedSql } from './dead-letter-retries.ts'
import { quoteLiteral } from './identifiers.ts'
import { formatSkipTotals, parseSkipTotals } from './skip-totals.ts'

export function controlledSql(tables: CheckpointTables, conditions: readonly string[]): string {
  const where = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`
  return `select ${UNIT_COLUMNS}, source, position, skipped::text as skipped, role, ${DESIRED_COLUMNS},
        ${isRetryAskedSql('c', tables)}::text as "isRetryAsked"
      from ${tables.checkpoints} c ${where}`
}

/** Waits for the batch at hand, for as long as `lock_timeout` says. */
export function forControlSql(tables: CheckpointTables, unit: Unit): string {
  return `${controlledSql(tables, [isUnitSql('c', unit)])} for update of c`
}

/** Changes the row, and notes that. Both repeat the state that was decided on: of another one nothing is changed. */
export function changeSql(
  { checkpoints, audit }: CheckpointTables,
  found: ControlledUnit,
  { operation, who, why, to }: UnitChange,
): string {
  const { unit, source } = found
  const isAsFound = `${isUnitSql('c', unit)} and c.desired = ${quoteLiteral(found.desired)} and c.role = ${quoteLiteral(found.role)}
           and c.position is not distinct from ${quoteLiteral(found.position)}`
  const set = to && setSql(found, to, { who, why })
  const changed = set === undefined ? `delete from ${checkpoints} c` : `update ${checkpoints} c set ${set}`
  return `with changed as (
         ${changed}
         where ${isAsFound}
         returning true
       )
       insert into ${audit} (source, projection, version, slot_from, slot_to, operation, who, why, before, after)
       select ${quoteLiteral(source)}, ${unitValuesSql(unit)}, ${[operation, who, why].map(quoteLiteral).join(', ')},
         ${stateSql(found)}, ${to === undefined ? 'null' : stateSql(to)} from changed
       returning ${AUDIT_COLUMNS}`
}

function setSql(
  found: OperatedState,
  { role, desired, position, skipped }: OperatedState,
  { who, why }: Pick<UnitChange, 'who' | 'why'>,
): string {
  const decision = [`desired = ${quoteLiteral(desired)}`, `desired_by = ${quoteLiteral(who)}`]
  return [
    `position = ${quoteLiteral(position)}`,
    `skipped = ${quoteLiteral(formatSkipTotals(skipped))}::jsonb`,
    'updated_at = clock_timestamp()',
    // An index is on it: a row that keeps it stays where the index finds it.
    ...(role === found.role ? [] : [`role = ${quoteLiteral(role)}`]),
    ...(desired === found.desired && role === found.role
      ? []
      : [
          // Whoever lets it go on wants what ended the process to be tried anew.
          ...(desired === 'running' ? [`suspicion = jsonb_set(suspicion, '{tries}', '0')`] : []),
          ...decision,
          `desired_why = ${quoteLiteral(why)}`,
          'desired_since = clock_timestamp()',
        ]),
  ].join(', ')
}

const AUDIT_COLUMNS = `id::text as id, ${UNIT_COLUMNS}, source, operation, who, why, ${msSql('at')} as at,
         before::text as before, after::text as after`

/** The newest first. */
export function auditSql({ audit }: CheckpointTables, { before, limit, ...filter }: AuditFilter): string {
  const conditions = [...filterSql(filter), ...(before === undefined ? [] : [`c.id < ${before}`])]
  const where = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`
  return `select ${AUDIT_COLUMNS} from ${audit} c ${where} order by c.id desc limit ${limit}`
}

/** Who has locked the row: the transaction that is its `xmax`. What another role does is shown to few. */
export function holderSql({ checkpoints }: CheckpointTables, unit: Unit): string {
  return `select l.pid::text as pid, a.application_name as application, a.state,
         round(extract(epoch from clock_timestamp() - a.xact_start))::text as "forSeconds"
       from ${checkpoints} c
       join pg_locks l on l.locktype = 'transactionid' and l.granted and l.transactionid::text = c.xmax::text
       left join pg_stat_activity a on a.pid = l.pid
       where ${isUnitSql('c', unit)} limit 1`
}

function stateSql({ role, desired, position, skipped }: OperatedState): string {
  const [as, wanted, at] = [role, desired, position ?? null].map((value) => JSON.stringify(value))
  return `${quoteLiteral(`{"role": ${as}, "desired": ${wanted}, "position": ${at}, "skipped": ${formatSkipTotals(skipped)}}`)}::jsonb`
}

export function toControlledUnit(row: Row): ControlledUnit {
  const isRetryAsked = row.isRetryAsked === 'true'
  return { ...toStoredUnit(row), ...toDesired(row), role: toRole(row), isRetryAsked }
}

export function toAuditEntry(row: Row): AuditEntry {
  const after = textOf(row.after)
  return {
    id: BigInt(String(row.id)),
    unit: toUnit(row),
    source: String(row.source),
    operation: row.operation as OperationName,
    who: String(row.who),
    why: String(row.why),
    atMs: Number(row.at),
    before: toState(String(row.before)),
    after: after === undefined ? undefined : toState(after),
  }
}

function toState(json: string): OperatedState {
  // Before there were versions, each was live.
  const {
    role = 'live',
    desired,
    position,
    skipped,
  } = JSON.parse(json) as {
    readonly role?: Role
    readonly desired: DesiredState
    readonly position: string | null
    readonly skipped: unknown
  }
  return { role, desired, position: position ?? undefined, skipped: parseSkipTotals(JSON.stringify(skipped)) }
}
