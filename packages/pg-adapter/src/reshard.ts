import {
  type AuditEntry,
  type ControlledUnit,
  type DecideShards,
  type MadeShard,
  OperationRefusedError,
  type Resharding,
  type Unit,
  versionName,
} from '@tidemark/core/adapter'
import { lockProjectionSql, toUnit } from './checkpoint-rows.ts'
import type { CheckpointTables } from './checkpoint-tables.ts'
import type { BoundedClient } from './client.ts'
import { forControlSql, toAuditEntry, toControlledUnit } from './control-sql.ts'
import {
  boundSql,
  makeShardsSql,
  moveLettersSql,
  replaceShardsSql,
  shardsInTheWaySql,
  unitsOfProjectionSql,
} from './reshard-sql.ts'
import { begin, manyResults } from './transaction.ts'

type Version = Pick<Unit, 'projection' | 'version'>

interface Parts {
  readonly client: BoundedClient
  readonly tables: CheckpointTables
  /** How long the next lock may be waited for. */
  readonly waitMs: () => number
}

/** Locks the rows of all shards, decides, and replaces them, or bounds them: one transaction. Whatever ends it before its COMMIT leaves all as it was. */
export async function reshardVersion(
  { client, tables, waitMs }: Parts,
  version: Version,
  decide: DecideShards,
): Promise<readonly AuditEntry[]> {
  const begun = await begin(
    client,
    `${waitSql(waitMs())}; ${lockProjectionSql(tables, version.projection)}; ${unitsOfProjectionSql(tables, version)}`,
  )
  try {
    const units = (begun.at(-1)?.rows ?? []).map(toUnit)
    const ofVersion = units.filter((unit) => unit.version === version.version)
    const found = await lockEach({ client, tables, waitMs }, ofVersion)
    const versions = [...new Set(units.map((unit) => unit.version))]
    const change = found.length === 0 ? undefined : decide(found, versions)
    if (change === undefined) {
      await client.query('rollback')
      return []
    }
    if ('bounds' in change) {
      await client.query(`${boundSql(tables, version, change)}; commit`)
      return []
    }
    return await replace({ client, tables, waitMs }, version, found, change)
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  }
}

/**
 * One statement for each, so that each batch at hand is waited for by itself, however many there are. No two wait for each other: whoever
 * locks several rows of a projection holds its lock before, and takes the lowest slots first.
 */
async function lockEach(
  { client, tables, waitMs }: Parts,
  units: readonly Unit[],
): Promise<readonly ControlledUnit[]> {
  const found: ControlledUnit[] = []
  for (const unit of units) {
    const locked = await client.query(`${waitSql(waitMs())}; ${forControlSql(tables, unit)}`)
    // Somebody may have forgotten it.
    found.push(...(manyResults(locked).at(-1)?.rows ?? []).map(toControlledUnit))
  }
  return found
}

const waitSql = (ms: number): string => `set local lock_timeout = ${ms}`

async function replace(
  { client, tables }: Parts,
  version: Version,
  found: readonly ControlledUnit[],
  change: Resharding,
): Promise<readonly AuditEntry[]> {
  const { slots } = change
  const moved = await client.query(
    `${moveLettersSql(tables, version, slots)}; ${shardsInTheWaySql(tables, version, slots)}`,
  )
  const { letters, late } = manyResults(moved).at(-1)?.rows[0] ?? {}
  if (letters !== '0' || late !== '0') throw isOpen(version, Number(letters), Number(late))
  const made = change.made.map((shard) => ({ ...shard, before: heirOf(shard, found) }))
  const results = manyResults(
    await client.query(
      `${made.map((shard) => makeShardsSql(tables, version, shard, change)).join('; ')}; ${replaceShardsSql(tables, version, slots)}; commit`,
    ),
  )
  if (results.at(-1)?.command !== 'COMMIT')
    throw new TypeError(`the shards of ${JSON.stringify(versionName(version))} were not replaced`)
  return results.slice(0, made.length).flatMap(({ rows }) => rows.map(toAuditEntry))
}

function heirOf({ heirOf: { from, to } }: MadeShard, found: readonly ControlledUnit[]): ControlledUnit {
  const heir = found.find(({ unit: { slots } }) => slots.from === from && slots.to === to)
  if (heir === undefined)
    throw new TypeError(`a shard is made of one that is there, found none of ${from}-${to}`)
  return heir
}

function isOpen(version: Version, letters: number, late: number): OperationRefusedError {
  const what = [
    ...(letters > 0 ? [letters === 1 ? 'a dead letter' : `${letters} dead letters`] : []),
    ...(late > 0 ? [late === 1 ? 'a late event' : `${late} late events`] : []),
  ].join(' and ')
  return new OperationRefusedError(
    versionName(version),
    `${what} of a shard that is cut ${letters + late === 1 ? 'is' : 'are'} open, and nobody knows which part of it has the key; retry, ` +
      'resolve or discard them first',
  )
}
