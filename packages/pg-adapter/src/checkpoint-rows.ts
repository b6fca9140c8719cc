import type {
  ControlledUnit,
  FirstStart,
  LastDecided,
  Role,
  StoredProgress,
  StoredUnit,
  Unit,
  UnitFilter,
} from '@tidemark/core/adapter'
import { type CheckpointTables, integerSql, isUnitSql, type Row } from './checkpoint-tables.ts'
import { quoteLiteral } from './identifiers.ts'
import { parseSkipTotals } from './skip-totals.ts'

/** The key of a row, as text whatever parsers the pool has. */
export const UNIT_COLUMNS: string = unitColumnsSql('')

/** The same, of one of several rows: `o.` */
export function unitColumnsSql(row: '' | `${string}.`): string {
  return `${row}projection, ${row}version::text as version, ${row}slot_from::text as "slotFrom", ${row}slot_to::text as "slotTo"`
}

/** Milliseconds since 1970, as text whatever parsers the pool has. */
export function msSql(time: string): string {
  return `(extract(epoch from ${time}) * 1000)::bigint::text`
}

/** What an operator wants of the unit, as `toDesired` takes it. */
export const DESIRED_COLUMNS: string = `desired, desired_by, desired_why, ${msSql('desired_since')} as "desiredSince"`

/**
 * How far the unit is to come for now, of the row `c`. A bound holds for as long as that of any unit of the version: those that are at
 * work keep their rows locked, and are not renewed.
 */
export function boundColumnSql({ checkpoints }: Pick<CheckpointTables, 'checkpoints'>): string {
  return `case when c.bound is not null and ${areBoundSql({ checkpoints }, 'c')} then c.bound end as bound`
}

/** Whether the bounds hold of the version that this row is of. */
export function areBoundSql({ checkpoints }: Pick<CheckpointTables, 'checkpoints'>, row: string): string {
  return `exists (select from ${checkpoints} b
          where b.projection = ${row}.projection and b.version = ${row}.version and b.bound_until > clock_timestamp())`
}

/** The rows that all of `conditions` hold for, as `toStoredUnit`, `toRole` and `toLastDecided` take them. */
export function selectSql({ checkpoints }: CheckpointTables, conditions: readonly string[]): string {
  const where = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`
  return `select ${UNIT_COLUMNS}, source, position, skipped::text as skipped, role, furthest, ${boundColumnSql({ checkpoints })},
        (position is null and started_at_head is null)::text as "isHeadUnknown",
        ${msSql('desired_since')} as "desiredSince", answered->>'id' as "answeredId"
      from ${checkpoints} c ${where}`
}

/** Where the units of a version of a projection stand; of the live one where none is named. Few columns: it is asked for again and again. */
export function versionSql(
  { checkpoints }: CheckpointTables,
  projection: string,
  version: number | undefined,
): string {
  const which = version === undefined ? "c.role = 'live'" : `c.version = ${integerSql(version)}`
  return `select ${UNIT_COLUMNS}, source, position, role
      from ${checkpoints} c where c.projection = ${quoteLiteral(projection)} and ${which}`
}

/** The conditions of a filter. */
export function filterSql({ source, projection }: UnitFilter): readonly string[] {
  return [
    ...(source === undefined ? [] : [`c.source = ${quoteLiteral(source)}`]),
    ...(projection === undefined ? [] : [`c.projection = ${quoteLiteral(projection)}`]),
  ]
}

/**
 * Makes the rows of all shards of a version that has none, one process after another: the second statement sees what another one has
 * made. Of versions that are made at once one is live: the first that has no earlier one beside it in its process.
 */
export function insertSql(
  { checkpoints }: CheckpointTables,
  unit: Unit,
  { source, head, shards = [unit.slots], isLaterVersion = false }: FirstStart,
): string {
  const [projection, version] = [quoteLiteral(unit.projection), integerSql(unit.version)]
  const ofProjection = `select from ${checkpoints} o where o.projection = ${projection}`
  const rows = shards.map(({ from, to }) => `(${integerSql(from)}, ${integerSql(to)})`).join(', ')
  return `${lockProjectionSql({ checkpoints }, unit.projection)};
       insert into ${checkpoints} (projection, version, slot_from, slot_to, source, started_at_head, role)
         select ${projection}, ${version}, s.slot_from, s.slot_to, ${quoteLiteral(source)}, ${quoteLiteral(head)},
           case when ${isLaterVersion} or exists (${ofProjection} and o.version <> ${version} and o.role = 'live') then 'beside' else 'live' end
         from (values ${rows}) as s (slot_from, slot_to)
         where not exists (${ofProjection} and o.version = ${version})
         on conflict do nothing`
}

/** Whoever makes rows of a projection, or others of them, does so one after another. */
export function lockProjectionSql(
  { checkpoints }: Pick<CheckpointTables, 'checkpoints'>,
  projection: string,
): string {
  return `select pg_advisory_xact_lock(hashtextextended(${quoteLiteral(`${checkpoints} ${projection}`)}, 0))`
}

/** Of all units of a version, those of them that have a row, as `toUnit` takes them. */
export function shardsSql(
  { checkpoints }: CheckpointTables,
  { projection, version }: Pick<Unit, 'projection' | 'version'>,
): string {
  return `select ${UNIT_COLUMNS} from ${checkpoints} c
         where c.projection = ${quoteLiteral(projection)} and c.version = ${integerSql(version)}`
}

/** For a row that the first version made. One that an owner is working on is left to that owner. */
export function keepHeadSql({ checkpoints }: CheckpointTables, unit: Unit, head: string): string {
  return `update ${checkpoints} c set started_at_head = ${quoteLiteral(head)}
       where ${isUnitSql('c', unit)} and exists (
         select from ${checkpoints} o
         where ${isUnitSql('o', unit)} and o.position is null and o.started_at_head is null
         for update skip locked
       )`
}

/** The checkpoints of a source, and what is settled without one, as `toProgress` takes them. */
export function progressSql({ checkpoints, settled }: CheckpointTables, source: string): string {
  return `select ${UNIT_COLUMNS}, position, settled, incarnation, log_position from ${checkpoints} c
         where source = ${quoteLiteral(source)}
       union all
       select null, null, null, null, null, settled, incarnation, log_position from ${settled}
         where source = ${quoteLiteral(source)}`
}

export function toUnit(row: Row): Unit {
  const { projection, version, slotFrom, slotTo } = row
  const slots = { from: Number(slotFrom), to: Number(slotTo) }
  return { projection: String(projection), version: Number(version), slots }
}

export function toStoredUnit(row: Row): StoredUnit {
  const { source, position, skipped } = row
  return {
    unit: toUnit(row),
    source: String(source),
    position: textOf(position),
    skipped: parseSkipTotals(skipped),
  }
}

export function toRole({ role }: Row): Role {
  if (role === 'live' || role === 'beside' || role === 'retired') return role
  throw new TypeError(
    `a checkpoint has the role ${JSON.stringify(role)}: the tables are of a later version of Tidemark`,
  )
}

export function toLastDecided({ desiredSince, answeredId }: Row): LastDecided {
  const atMs = textOf(desiredSince)
  return { atMs: atMs === undefined ? undefined : Number(atMs), answered: textOf(answeredId) }
}

export function toDesired(row: Row): Pick<ControlledUnit, 'desired' | 'decision'> {
  const sinceMs = textOf(row.desiredSince)
  return {
    // Whatever else may be written there: it is not to run.
    desired: row.desired === 'running' ? 'running' : 'paused',
    decision:
      sinceMs === undefined
        ? undefined
        : { who: String(row.desired_by), why: String(row.desired_why), sinceMs: Number(sinceMs) },
  }
}

export function toProgress(row: Row): StoredProgress<string> {
  const incarnation = textOf(row.incarnation)
  return {
    unit: row.projection === null ? undefined : toUnit(row),
    position: textOf(row.position),
    settled: textOf(row.settled),
    logPosition: textOf(row.log_position),
    ...(incarnation === undefined ? {} : { incarnation }),
  }
}

export function textOf(value: unknown): string | undefined {
  return value === null || value === undefined ? undefined : String(value)
}
