import type { ControlledUnit, Gathering, MadeShard, SlotRange, Unit } from '@tidemark/core/adapter'
import { areBoundSql, UNIT_COLUMNS } from './checkpoint-rows.ts'
import { type CheckpointTables, integerSql } from './checkpoint-tables.ts'
import { AUDIT_COLUMNS, stateSql } from './control-sql.ts'
import { quoteLiteral } from './identifiers.ts'
import { formatSkipTotals } from './skip-totals.ts'

type Version = Pick<Unit, 'projection' | 'version'>

/** All of them, of whatever version, as `toUnit` takes them; the lowest slots first. */
export function unitsOfProjectionSql(
  { checkpoints }: CheckpointTables,
  { projection }: Pick<Unit, 'projection'>,
): string {
  return `select ${UNIT_COLUMNS} from ${checkpoints} c where c.projection = ${quoteLiteral(projection)} order by c.slot_from`
}

/** The open letters of a shard become those of the one that has all its slots. */
export function moveLettersSql(
  { deadLetters }: CheckpointTables,
  version: Version,
  slots: readonly SlotRange[],
): string {
  return `update ${deadLetters} d set slot_from = n.slot_from, slot_to = n.slot_to
    from ${shardsSql(slots)}
    where ${isOfSql('d', version)} and d.open_id is not null
      and n.slot_from <= d.slot_from and d.slot_to <= n.slot_to and (n.slot_from, n.slot_to) <> (d.slot_from, d.slot_to)`
}

/** How many letters and late events are open of shards that there will be no more. */
export function shardsInTheWaySql(
  { deadLetters, lateEventUnits }: CheckpointTables,
  version: Version,
  slots: readonly SlotRange[],
): string {
  const isGone = (row: string): string => isGoneSql(row, version, slots)
  return `select (select count(*) from ${deadLetters} d where ${isGone('d')} and d.open_id is not null)::text as letters,
    (select count(*) from ${lateEventUnits} l where ${isGone('l')} and l.closed_as is null)::text as late`
}

/** How far each is to come for now; the others as far as there are events. */
export function boundSql(
  { checkpoints }: CheckpointTables,
  version: Version,
  { bounds, forMs }: Gathering,
): string {
  const none = `update ${checkpoints} c set bound = null, bound_until = null where ${isOfSql('c', version)} and c.bound is not null`
  if (bounds.length === 0) return none
  const rows = bounds.map(
    ({ slots, position }) =>
      `(${integerSql(slots.from)}, ${integerSql(slots.to)}, ${quoteLiteral(position)})`,
  )
  return `${none}; update ${checkpoints} c set bound = n.position,
      bound_until = clock_timestamp() + ${integerSql(Math.ceil(forMs))} * interval '1 millisecond'
    from (values ${rows.join(', ')}) as n (slot_from, slot_to, position)
    where ${isOfSql('c', version)} and n.slot_from = c.slot_from and n.slot_to = c.slot_to`
}

/** Those that hold, hold for so long from now on; 0: no more. Of those that nobody is at work on. */
export function holdBoundsSql(tables: CheckpointTables, version: Version, forMs: number): string {
  const { checkpoints } = tables
  const set =
    forMs > 0
      ? `bound_until = clock_timestamp() + ${integerSql(Math.ceil(forMs))} * interval '1 millisecond'`
      : 'bound = null, bound_until = null'
  return `update ${checkpoints} c set ${set}
    from (
      select o.slot_from from ${checkpoints} o
      where ${isOfSql('o', version)} and o.bound is not null and ${areBoundSql(tables, 'o')}
      for update of o skip locked
    ) f
    where ${isOfSql('c', version)} and c.slot_from = f.slot_from`
}

/** Makes the row of one, and notes that. The row it comes from is there still. No former owner has its fence, or ever will. */
export function makeShardsSql(
  { checkpoints, audit }: CheckpointTables,
  version: Version,
  { slots, heirOf, to, before }: MadeShard & { readonly before: ControlledUnit },
  { who, why }: { readonly who: string; readonly why: string },
): string {
  const { role, desired, position, furthest, skipped } = to
  return `with made as (
      insert into ${checkpoints} (projection, version, slot_from, slot_to, source, position, settled, incarnation, log_position,
        started_at_head, skipped, desired, desired_by, desired_why, desired_since, role, furthest, effects, fence)
      select c.projection, c.version, ${integerSql(slots.from)}, ${integerSql(slots.to)}, c.source, ${quoteLiteral(position)}, c.settled,
        c.incarnation, c.log_position, c.started_at_head, ${quoteLiteral(formatSkipTotals(skipped))}::jsonb, ${quoteLiteral(desired)},
        c.desired_by, c.desired_why, c.desired_since, ${quoteLiteral(role)}, ${quoteLiteral(furthest)}, c.effects,
        (select max(o.fence) + 1 from ${checkpoints} o where ${isOfSql('o', version)})
      from ${checkpoints} c
      where ${isOfSql('c', version)} and c.slot_from = ${integerSql(heirOf.from)} and c.slot_to = ${integerSql(heirOf.to)}
      returning projection, version, slot_from, slot_to, source
    )
    insert into ${audit} (source, projection, version, slot_from, slot_to, operation, who, why, before, after)
    select source, projection, version, slot_from, slot_to, 'reshard', ${quoteLiteral(who)}, ${quoteLiteral(why)},
      ${stateSql(before)}, ${stateSql(to)}
    from made
    returning ${AUDIT_COLUMNS}`
}

/** Deletes the rows of the others, and what failed there. */
export function replaceShardsSql(
  { checkpoints, failures }: CheckpointTables,
  version: Version,
  slots: readonly SlotRange[],
): string {
  const isGone = (row: string): string => isGoneSql(row, version, slots)
  return `delete from ${checkpoints} c where ${isGone('c')}; delete from ${failures} f where ${isGone('f')}`
}

/** Of a shard that is not among these. */
function isGoneSql(row: string, version: Version, slots: readonly SlotRange[]): string {
  return `${isOfSql(row, version)} and not exists (
      select from ${shardsSql(slots)} where n.slot_from = ${row}.slot_from and n.slot_to = ${row}.slot_to)`
}

function shardsSql(slots: readonly SlotRange[]): string {
  const rows = slots.map(({ from, to }) => `(${integerSql(from)}, ${integerSql(to)})`).join(', ')
  return `(values ${rows}) as n (slot_from, slot_to)`
}

function isOfSql(row: string, { projection, version }: Version): string {
  return `${row}.projection = ${quoteLiteral(projection)} and ${row}.version = ${integerSql(version)}`
}
