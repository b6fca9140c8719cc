import type { KeyOf } from '../failures/keys.ts'
import { requireKey } from '../failures/keys.ts'
import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireInteger } from '../kernel/validation.ts'
import type { EventSource } from '../ports/event-source.ts'
import { isInSlots, SLOTS, slotOf, slotRanges } from '../ports/slot.ts'
import { isWhole, type SlotRange, unitName } from '../ports/unit.ts'
import type { Part } from '../reading/part.ts'
import type { AutoShardOptions, Projection, ResolvedProjection } from './projection.ts'

/** What of a source says whether its events can be parted. */
export type PartedSource = Pick<EventSource<unknown, unknown>, 'filtersBySlot' | 'passesUnproven'>

type Options = Pick<
  Projection<never, never>,
  'shards' | 'shardBy' | 'autoShard' | 'version' | 'keyOf' | 'onSwitch'
>

/** The ranges of the shards that the options name. Throws `InvalidOptionError`. */
export function resolveShards(
  { shards = 1, shardBy, autoShard, version = 1, keyOf, onSwitch }: Options,
  option: string,
  { filtersBySlot, passesUnproven }: PartedSource,
): readonly SlotRange[] {
  requireInteger(`${option}.shards`, shards, 1)
  if (shards > SLOTS) throw new InvalidOptionError(`${option}.shards`, `at most ${SLOTS}`, shards)
  if (shardBy !== undefined) {
    if (typeof shardBy !== 'string' || shardBy === '' || shardBy.includes('\0'))
      throw new InvalidOptionError(`${option}.shardBy`, 'the name of a column', shardBy)
    if (filtersBySlot !== true) {
      throw new InvalidOptionError(
        `${option}.shardBy`,
        'none for this source, which compares no columns; give the projection keyOf instead',
        shardBy,
      )
    }
  }
  if (autoShard !== undefined) requireAutoShard(autoShard, shards, `${option}.autoShard`)
  if (shards === 1 && autoShard === undefined) return slotRanges(1)
  const since = autoShard === undefined ? 'shards is more than 1' : 'autoShard makes several shards'
  if (shardBy === undefined && keyOf === undefined) {
    throw new InvalidOptionError(
      `${option}.shardBy`,
      `the column of the key, or keyOf beside it, since ${since}`,
      shardBy,
    )
  }
  if (passesUnproven === true) {
    throw new InvalidOptionError(
      `${option}.${autoShard === undefined ? 'shards' : 'autoShard'}`,
      `${autoShard === undefined ? '1' : 'none'}, since the source passes positions without proof: what was skipped and what came late would be told once for each shard`,
      autoShard ?? shards,
    )
  }
  if (onSwitch !== undefined) {
    throw new InvalidOptionError(
      `${option}.onSwitch`,
      `none, since ${since}: versions in shards cannot be switched yet`,
      onSwitch,
    )
  }
  if (version !== 1) {
    throw new InvalidOptionError(
      `${option}.version`,
      `1, since ${since}: versions in shards cannot be switched yet; give it another name instead`,
      version,
    )
  }
  return slotRanges(shards)
}

function requireAutoShard(autoShard: AutoShardOptions, shards: number, option: string): void {
  requireKnownOptions(autoShard, AUTO_SHARD_OPTIONS, option)
  const { max } = autoShard
  requireInteger(`${option}.max`, max, 2)
  if (max > SLOTS) throw new InvalidOptionError(`${option}.max`, `at most ${SLOTS}`, max)
  if (max < shards) {
    throw new InvalidOptionError(`${option}.max`, `at least ${shards}, since shards is ${shards}`, max)
  }
}

const AUTO_SHARD_OPTIONS: Readonly<Record<keyof AutoShardOptions, true>> = { max: true }

/** Throws where a projection in shards has another version beside it: they could not be switched. */
export function requireOneVersion(projections: readonly ResolvedProjection<never, never>[]): void {
  for (const [index, { unit, shards, autoShard }] of projections.entries()) {
    const versions = projections.filter((other) => other.unit.projection === unit.projection).length
    if ((shards.length === 1 && autoShard === undefined) || versions === 1) continue
    throw new InvalidOptionError(
      `projections[${index}].${autoShard === undefined ? 'shards' : 'autoShard'}`,
      `${autoShard === undefined ? '1' : 'none'}, since there are ${versions} versions of the projection, and versions in shards cannot be switched yet`,
      autoShard ?? shards.length,
    )
  }
}

/** Whether it can be worked on in several shards: it is known whose an event is, and its source proves what it passes. */
export function canBeParted(
  { shardBy, keyOf }: { readonly shardBy: string | undefined; readonly keyOf: unknown },
  { passesUnproven }: Pick<PartedSource, 'passesUnproven'>,
): boolean {
  return (shardBy !== undefined || keyOf !== undefined) && passesUnproven !== true
}

/** One shard of it: what is handed out, and stored, of that part alone. With every slot it is the projection as it is. */
export function inSlots<E, Tx>(
  projection: ResolvedProjection<E, Tx>,
  slots: SlotRange,
): ResolvedProjection<E, Tx> {
  if (isWhole(slots)) return projection
  const unit = { ...projection.unit, slots }
  return Object.freeze({ ...projection, unit, name: unitName(unit), part: partOf(projection, slots) })
}

function partOf<E, Tx>(
  { shardBy, keyOf }: Pick<ResolvedProjection<E, Tx>, 'shardBy' | 'keyOf'>,
  slots: SlotRange,
): Part<E> {
  if (shardBy !== undefined) return { slots: Object.freeze({ column: shardBy, ...slots }) }
  if (keyOf === undefined) throw new TypeError('shards are made by a column, or by keyOf')
  return { isOwn: ownBy(keyOf, slots) }
}

function ownBy<E>(keyOf: KeyOf<E>, slots: SlotRange): (event: E) => boolean {
  return (event) => isInSlots(slots, slotOf(requireKey(keyOf(event))))
}
