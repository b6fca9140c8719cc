import type {
  FailedEvents,
  LetterError,
  NewFailure,
  Unit,
  UnitFailure,
  UnitFilter,
} from '@tidemark/core/adapter'
import { filterSql, msSql, textOf, toUnit, unitColumnsSql } from './checkpoint-rows.ts'
import { type CheckpointTables, integerSql, isUnitSql, type Row, unitValuesSql } from './checkpoint-tables.ts'
import { quoteLiteral } from './identifiers.ts'

const json = (value: unknown): string =>
  value === undefined ? 'null' : `${quoteLiteral(JSON.stringify(value))}::json`

/** Reads the checkpoint's row without a lock: whoever works on it has locked it. */
export function tellFailureSql(
  { checkpoints, failures }: CheckpointTables,
  { unit, position, stage, batch, error, failures: count, isPaused, node, fence }: NewFailure,
): string {
  const isSame = 'not f.is_over and f.position is not distinct from excluded.position'
  return `insert into ${failures} as f (projection, version, slot_from, slot_to, position, stage, batch, error, failures, is_paused, node)
      select ${unitValuesSql(unit)}, ${quoteLiteral(position)}, ${quoteLiteral(stage)}, ${json(batch)}, ${json(error)},
        ${integerSql(count)}, ${isPaused}, ${quoteLiteral(node)}
      from ${checkpoints} c
      where ${isUnitSql('c', unit)} and c.position is not distinct from ${quoteLiteral(position)}${fence === undefined ? '' : ` and c.fence = ${fence}`}
      on conflict (projection, version, slot_from, slot_to) do update
      set position = excluded.position, stage = excluded.stage, batch = excluded.batch, error = excluded.error,
        failures = excluded.failures + case when ${isSame} then f.failures else 0 end,
        since = case when ${isSame} then f.since else excluded.since end,
        is_paused = excluded.is_paused, node = excluded.node, told_at = clock_timestamp(), is_over = false`
}

export function endFailureSql({ failures }: CheckpointTables, unit: Unit, node: string): string {
  return `update ${failures} f set is_over = true
      where ${isUnitSql('f', unit)} and f.node = ${quoteLiteral(node)} and not f.is_over`
}

/** As `toFailure` takes them. */
export function listFailuresSql({ checkpoints, failures }: CheckpointTables, filter: UnitFilter): string {
  return `select ${unitColumnsSql('f.')}, f.position, f.stage, f.batch::text as batch, f.error::text as error,
        f.failures::text as failures, f.is_paused::text as "isPaused", f.node, ${msSql('f.since')} as since, ${msSql('f.told_at')} as "toldAt"
      from ${failures} f join ${checkpoints} c using (projection, version, slot_from, slot_to)
      where ${['not f.is_over', 'c.position is not distinct from f.position', ...filterSql(filter)].join(' and ')}`
}

export function toFailure(row: Row): UnitFailure {
  const batch = textOf(row.batch)
  return {
    unit: toUnit(row),
    position: textOf(row.position),
    stage: row.stage as UnitFailure['stage'],
    batch: batch === undefined ? undefined : (JSON.parse(batch) as FailedEvents),
    error: JSON.parse(String(row.error)) as LetterError,
    isPaused: row.isPaused === 'true',
    node: String(row.node),
    failures: Number(row.failures),
    sinceMs: Number(row.since),
    atMs: Number(row.toldAt),
  }
}
