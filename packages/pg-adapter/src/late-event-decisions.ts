import type { LateDecision, LateRange, OperationName } from '@tidemark/core/adapter'
import type { CheckpointTables } from './checkpoint-tables.ts'
import { quoteLiteral, quoteTexts } from './identifiers.ts'
import { isSameSql, KEY, numeric } from './late-event-rows.ts'
import { hasPassedSql } from './skip-rows.ts'

/** How many are open and are asked for, those that were before too. Of a unit that is retired nobody handles any. */
export function askSql(tables: CheckpointTables, range: LateRange, decision: LateDecision): string {
  return decideSql(tables, range, decision, {
    operation: 'reprocess',
    ofUnits: `c.role <> 'retired'`,
    set: decidedSql('asked', decision),
    isDecided: 'f.asked_at is not null',
    left: 'f.open',
  })
}

/** How many were open. */
export function discardSql(tables: CheckpointTables, range: LateRange, decision: LateDecision): string {
  return decideSql(tables, range, decision, {
    operation: 'discard_late_events',
    ofUnits: 'true',
    set: `closed_as = 'discarded', ${decidedSql('closed', decision)}`,
    isDecided: 'false',
    left: '0',
  })
}

const decidedSql = (what: 'asked' | 'closed', { who, why }: LateDecision): string =>
  `${what}_by = ${quoteLiteral(who)}, ${what}_why = ${quoteLiteral(why)}, ${what}_at = clock_timestamp()`

interface Deciding {
  readonly operation: OperationName
  /** Of the unit in the row `c`. */
  readonly ofUnits: string
  readonly set: string
  /** Of those that are open: it was decided so before. */
  readonly isDecided: string
  /** How many stay open afterwards, and are asked for. */
  readonly left: string
}

/**
 * A row is made for each that nobody has opened yet, and changed in a second statement, which counts those that were decided
 * so before and are still open. That statement also writes an audit entry for each unit of which it has changed something.
 */
function decideSql(
  tables: CheckpointTables,
  range: LateRange,
  { who, why }: LateDecision,
  { operation, ofUnits, set, isDecided, left }: Deciding,
): string {
  const { lateEvents, lateEventUnits, checkpoints, audit } = tables
  const { source, projections, from, to } = range
  const inRange = (row: string): string =>
    `${row}.source = ${quoteLiteral(source)} and ${row}.position between ${numeric(from)} and ${numeric(to)}`
  const isOf = (row: string): string =>
    projections === undefined ? 'true' : `${row}.projection = any (${quoteTexts(projections)})`
  const unit = 'projection, version, slot_from, slot_to'
  return `insert into ${lateEventUnits} (${KEY})
      select c.projection, c.version, c.slot_from, c.slot_to, l.source, l.position
      from ${lateEvents} l join ${checkpoints} c on c.source = l.source
      where ${inRange('l')} and ${isOf('c')} and ${hasPassedSql('l.source', 'l.position')}
      on conflict do nothing;
    with found as (
      select o.* from ${lateEventUnits} o join ${lateEvents} l on l.source = o.source and l.position = o.position
      join ${checkpoints} c on ${isSameSql('c', 'o')} and ${hasPassedSql('l.source', 'l.position')}
      where ${inRange('o')} and ${isOf('o')} and o.closed_as is null and ${ofUnits}
      order by ${KEY.split(', ')
        .map((key) => `o.${key}`)
        .join(', ')} for update of o
    ), changed as (
      update ${lateEventUnits} o set ${set} from found f
      where ${isSameSql('o', 'f')} and o.source = f.source and o.position = f.position and not (${isDecided})
      returning o.projection, o.version, o.slot_from, o.slot_to
    ), noted as (
      insert into ${audit} (source, ${unit}, operation, who, why, before, after)
      select ${quoteLiteral(source)}, c.projection, c.version, c.slot_from, c.slot_to,
        ${[operation, who, why].map(quoteLiteral).join(', ')},
        ${stateSql(range, 'f.open', 'f.asked')}, ${stateSql(range, left, left)}
      from (select ${unit}, count(*) as open, count(asked_at) as asked from found group by ${unit}) f
      join ${checkpoints} c on ${isSameSql('c', 'f')}
      where exists (select from changed d where ${isSameSql('d', 'f')})
    )
    select count(*)::text as count from found`
}

/** The state of the unit `c` in an audit entry, with that of its late events. */
function stateSql({ from, to }: LateRange, open: string, asked: string): string {
  const late = `'from', ${quoteLiteral(from)}, 'to', ${quoteLiteral(to)}, 'open', ${open}, 'asked', ${asked}`
  return `jsonb_build_object('role', c.role, 'desired', c.desired, 'position', c.position, 'furthest', c.furthest,
          'skipped', c.skipped, 'lateEvents', jsonb_build_object(${late}))`
}
