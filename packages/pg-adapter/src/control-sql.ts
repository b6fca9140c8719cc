import type {
  AnsweredRequest,
  AuditEntry,
  AuditedLate,
  AuditedState,
  AuditFilter,
  ControlledUnit,
  DesiredState,
  Evidence,
  OperatedState,
  OperationName,
  PendingRequest,
  Role,
  StateChange,
  Unit,
  UnitRequest,
} from '@tidemark/core/adapter'
import { provenSql, TRANSACTION_ENDED } from './advance-sql.ts'
import {
  boundColumnSql,
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
import { type CheckpointTables, integerSql, isUnitSql, type Row, unitValuesSql } from './checkpoint-tables.ts'
import { isRetryAskedSql } from './dead-letter-retries.ts'
import { quoteLiteral } from './identifiers.ts'
import { BACKEND_KEY_SQL } from './server/incarnation.ts'
import { formatSkipTotals, parseSkipTotals } from './skip-totals.ts'
import { THEIR_LIMIT } from './transaction.ts'

/** As `toControlledUnit` takes them. */
function columnsSql(tables: CheckpointTables): string {
  return `${UNIT_COLUMNS}, source, position, skipped::text as skipped, role, furthest, effects, ${boundColumnSql(tables)}, ${DESIRED_COLUMNS},
        ${isRetryAskedSql('c', tables)}::text as "isRetryAsked", asked::text as asked, answered::text as answered,
        ${msSql('updated_at')} as "changedAt", (session is not null)::text as "isBegun"`
}

export function controlledSql(tables: CheckpointTables, conditions: readonly string[]): string {
  const where = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`
  return `select ${columnsSql(tables)}
      from ${tables.checkpoints} c ${where}`
}

/** Waits for the batch at hand, for as long as `lock_timeout` says. */
export function forControlSql(tables: CheckpointTables, unit: Unit): string {
  return `${controlledSql(tables, [isUnitSql('c', unit)])} for update of c`
}

/** The same where the user's function goes on: it does not wait, and gives that its own limit back. */
export function forFulfilmentSql(tables: CheckpointTables, unit: Unit): string {
  return `select ${columnsSql(tables)}, session, pg_current_xact_id()::text as transaction, pg_backend_pid()::text as pid,
        ${BACKEND_KEY_SQL} as backend, ${THEIR_LIMIT} as limit,
        exists (select from ${tables.checkpoints} o where ${isOtherLiveSql('o', unit)})::text as "hasOtherLive"
      from ${tables.checkpoints} c where ${isUnitSql('c', unit)} for update of c skip locked`
}

/** Waits for the batch at hand of the live version, and gives the user's function its own limit of waits back. */
export function forLiveSql(tables: CheckpointTables, unit: Unit, waitMs: number): string {
  return `select set_config('${KEPT_WAIT}', current_setting('lock_timeout'), true),
        set_config('lock_timeout', '${integerSql(waitMs)}', true);
      select ${columnsSql(tables)} from ${tables.checkpoints} c
      where ${isOtherLiveSql('c', unit)} for update of c;
      select set_config('lock_timeout', current_setting('${KEPT_WAIT}'), true)`
}

/** The next shard of the version above these slots; waits for its batch at hand as `forLiveSql` does. */
export function forNextShardSql(
  tables: CheckpointTables,
  { projection, version, slots }: Unit,
  waitMs: number,
): string {
  return `select set_config('${KEPT_WAIT}', current_setting('lock_timeout'), true),
        set_config('lock_timeout', '${integerSql(waitMs)}', true);
      select ${columnsSql(tables)} from ${tables.checkpoints} c
      where c.projection = ${quoteLiteral(projection)} and c.version = ${integerSql(version)} and c.slot_from > ${integerSql(slots.to)}
      order by c.slot_from limit 1 for update of c;
      select set_config('lock_timeout', current_setting('${KEPT_WAIT}'), true)`
}

const KEPT_WAIT = 'tidemark.lock_timeout'

function isOtherLiveSql(row: string, { projection, version, slots }: Unit): string {
  return `${row}.projection = ${quoteLiteral(projection)} and ${row}.role = 'live' and ${row}.version <> ${integerSql(version)}
        and ${row}.slot_from = ${integerSql(slots.from)} and ${row}.slot_to = ${integerSql(slots.to)}`
}

/** Before another version becomes live: an index lets no two be it. */
export function besideSql({ checkpoints }: CheckpointTables, unit: Unit): string {
  return `update ${checkpoints} c set role = 'beside', updated_at = clock_timestamp() where ${isUnitSql('c', unit)}`
}

/** Changes the row, and notes that. Both repeat the state that was decided on: of another one nothing is changed. */
export function changeSql(
  tables: CheckpointTables,
  found: ControlledUnit,
  change: StateChange,
  refused?: string,
): string {
  return `with ${changedSql(tables, found, change)}
       ${noteSql(tables, found, change, refused)}
       returning ${AUDIT_COLUMNS}`
}

/** The same, and commits. Fails, and so commits nothing, where the user's function has ended that transaction. */
export function fulfilledSql(
  tables: CheckpointTables,
  found: ControlledUnit,
  change: StateChange,
  {
    transaction,
    refused,
    evidence,
  }: {
    readonly transaction: string
    readonly refused: string | undefined
    readonly evidence: Evidence<string> | undefined
  },
): string {
  const isSame = ` and pg_current_xact_id()::text = ${quoteLiteral(transaction)}`
  return `with ${changedSql(tables, found, change, { more: isSame, evidence })}, entry as (
         ${noteSql(tables, found, change, refused)}
         returning ${AUDIT_COLUMNS}
       )
       select entry.*, case when (select count(*) from changed) = 1 then true
         else ('${TRANSACTION_ENDED}' || pg_current_xact_id())::boolean end as "isSame"
       from (select) one left join entry on true;
       commit`
}

function changedSql(
  { checkpoints, failures }: CheckpointTables,
  found: ControlledUnit,
  { who, why, to, ends }: StateChange,
  { more = '', evidence }: { readonly more?: string; readonly evidence?: Evidence<string> | undefined } = {},
): string {
  const isAsFound = `${isUnitSql('c', found.unit)} and c.desired = ${quoteLiteral(found.desired)}
           and c.role = ${quoteLiteral(found.role)}
           and c.position is not distinct from ${quoteLiteral(found.position)}${more}`
  const set = to && setSql(found, to, { who, why }, ends)
  const isUnit = isUnitSql('f', found.unit)
  const forgotten =
    set === undefined
      ? `, forgotten as (delete from ${failures} f where ${isUnit} and exists (select from changed))`
      : ''
  const proven = evidence === undefined ? '' : `, ${provenSql(evidence)}`
  const changed =
    set === undefined ? `delete from ${checkpoints} c` : `update ${checkpoints} c set ${set}${proven}`
  return `changed as (
         ${changed}
         where ${isAsFound}
         returning true
       )${forgotten}`
}

function noteSql(
  { audit }: CheckpointTables,
  found: ControlledUnit,
  { operation, who, why, to, ends }: StateChange,
  refused: string | undefined,
): string {
  const { unit, source } = found
  return `insert into ${audit} (source, projection, version, slot_from, slot_to, operation, who, why, request, refused, before,
           after)
       select ${quoteLiteral(source)}, ${unitValuesSql(unit)}, ${[operation, who, why].map(quoteLiteral).join(', ')},
         ${quoteLiteral(ends?.id)}, ${quoteLiteral(refused)}, ${stateSql(found)},
         ${to === undefined ? 'null' : stateSql(to)} from changed`
}

/** Stores what the node that runs the unit is asked to do. */
export function askSql(
  { checkpoints }: CheckpointTables,
  unit: Unit,
  { id, operation, who, why, position }: UnitRequest,
): string {
  const of = position === undefined ? {} : { position }
  const told = Object.entries({ id, operation, who, why, ...of }).flatMap((entry) => entry.map(quoteLiteral))
  return `update ${checkpoints} c
       set asked = jsonb_build_object(${told.join(', ')}, 'sinceMs', ${msSql('clock_timestamp()')}::bigint)
       where ${isUnitSql('c', unit)}`
}

function setSql(
  found: OperatedState,
  { role, desired, position, skipped, furthest }: OperatedState,
  { who, why }: Pick<StateChange, 'who' | 'why'>,
  ends: AnsweredRequest | undefined,
): string {
  const decision = [`desired = ${quoteLiteral(desired)}`, `desired_by = ${quoteLiteral(who)}`]
  return [
    `position = ${quoteLiteral(position)}`,
    `skipped = ${quoteLiteral(formatSkipTotals(skipped))}::jsonb`,
    'updated_at = clock_timestamp()',
    // An index is on it: a row that keeps it stays where the index finds it.
    ...(role === found.role ? [] : [`role = ${quoteLiteral(role)}`]),
    ...(furthest === found.furthest ? [] : [`furthest = ${quoteLiteral(furthest)}`]),
    ...(desired === found.desired && role === found.role
      ? []
      : [
          // Whoever lets it go on wants what ended the process to be tried anew.
          ...(desired === 'running' ? [`suspicion = jsonb_set(suspicion, '{tries}', '0')`] : []),
          ...decision,
          `desired_why = ${quoteLiteral(why)}`,
          'desired_since = clock_timestamp()',
        ]),
    ...(ends === undefined
      ? []
      : ['asked = null', `answered = ${quoteLiteral(JSON.stringify(ends))}::jsonb`]),
  ].join(', ')
}

export const AUDIT_COLUMNS: string = `id::text as id, ${UNIT_COLUMNS}, source, operation, who, why, ${msSql('at')} as at,
         before::text as before, after::text as after, request, refused`

/** The newest first. */
export function auditSql(
  { audit }: CheckpointTables,
  { before, request, limit, ...filter }: AuditFilter,
): string {
  const conditions = [
    ...filterSql(filter),
    ...(before === undefined ? [] : [`c.id < ${before}`]),
    ...(request === undefined ? [] : [`c.request = ${quoteLiteral(request)}`]),
  ]
  const where = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`
  return `select ${AUDIT_COLUMNS} from ${audit} c ${where} order by c.id desc limit ${limit}`
}

/** Who has locked the row: the transaction that is its `xmax`. What another role does is shown to few. */
export function holderSql(
  { checkpoints }: CheckpointTables,
  { projection, version, slots }: Pick<Unit, 'projection' | 'version'> & Partial<Pick<Unit, 'slots'>>,
): string {
  const isLocked =
    slots === undefined
      ? `c.projection = ${quoteLiteral(projection)} and c.version = ${integerSql(version)}`
      : isUnitSql('c', { projection, version, slots })
  return `select l.pid::text as pid, a.application_name as application, a.state,
         round(extract(epoch from clock_timestamp() - a.xact_start))::text as "forSeconds"
       from ${checkpoints} c
       join pg_locks l on l.locktype = 'transactionid' and l.granted and l.transactionid::text = c.xmax::text
       left join pg_stat_activity a on a.pid = l.pid
       where ${isLocked} limit 1`
}

export function stateSql({ role, desired, position, furthest, skipped }: OperatedState): string {
  const told = Object.entries({ role, desired, position: position ?? null, furthest: furthest ?? null })
  const state = told.map(([name, value]) => `"${name}": ${JSON.stringify(value)}`)
  return `${quoteLiteral(`{${state.join(', ')}, "skipped": ${formatSkipTotals(skipped)}}`)}::jsonb`
}

export function toControlledUnit(row: Row): ControlledUnit {
  const asked = textOf(row.asked)
  const answered = textOf(row.answered)
  return {
    ...toStoredUnit(row),
    ...toDesired(row),
    role: toRole(row),
    furthest: textOf(row.furthest),
    effects: toEffects(row),
    bound: textOf(row.bound),
    isRetryAsked: row.isRetryAsked === 'true',
    asked: asked === undefined ? undefined : (JSON.parse(asked) as PendingRequest),
    answered: answered === undefined ? undefined : (JSON.parse(answered) as AnsweredRequest),
    changedAtMs: Number(row.changedAt),
    isBegun: row.isBegun === 'true',
  }
}

function toEffects({ effects }: Row): ControlledUnit['effects'] {
  return effects === 'always' || effects === 'live_only' ? effects : undefined
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
    request: textOf(row.request),
    refused: textOf(row.refused),
  }
}

function toState(json: string): AuditedState {
  // Before there were versions, each was live.
  const {
    role = 'live',
    desired,
    position,
    furthest,
    skipped,
    lateEvents,
  } = JSON.parse(json) as {
    readonly role?: Role
    readonly desired: DesiredState
    readonly position: string | null
    readonly furthest?: string | null
    readonly skipped: unknown
    readonly lateEvents?: AuditedLate
  }
  const totals = parseSkipTotals(JSON.stringify(skipped))
  return {
    role,
    desired,
    position: position ?? undefined,
    furthest: furthest ?? undefined,
    skipped: totals,
    ...(lateEvents === undefined ? {} : { lateEvents }),
  }
}
