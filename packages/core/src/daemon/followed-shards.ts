import { areAllSlots, bySlots } from '../ports/slot.ts'
import { type SlotRange, type Unit, versionKey } from '../ports/unit.ts'
import type { ResolvedProjection } from '../projection/projection.ts'
import { canBeParted, type PartedSource } from '../projection/shards.ts'

/** The slots of the shards of each version, by its `versionKey`. */
export type ShardsOfVersions = ReadonlyMap<string, readonly SlotRange[]>

/** The lowest slots first. Pure, as all that follow. */
export function shardsOfVersions(units: readonly { readonly unit: Unit }[]): ShardsOfVersions {
  const shards = new Map<string, SlotRange[]>()
  for (const { unit } of units) {
    const key = versionKey(unit)
    shards.set(key, [...(shards.get(key) ?? []), unit.slots].sort(bySlots))
  }
  return shards
}

/**
 * The shards that a projection is to run in: those that are stored. As its options say where nothing is stored of it, and as it runs
 * where it cannot run in what is stored: then the checkpoints say why (`ShardsStoredError`).
 */
export function shardsToRun(
  { shards, shardBy, keyOf }: Pick<ResolvedProjection<never, never>, 'shards' | 'shardBy' | 'keyOf'>,
  {
    stored = [],
    running = shards,
  }: {
    readonly stored: readonly SlotRange[] | undefined
    readonly running: readonly SlotRange[] | undefined
  },
  source: PartedSource,
): readonly SlotRange[] {
  const isPossible = areAllSlots(stored) && (stored.length === 1 || canBeParted({ shardBy, keyOf }, source))
  return isPossible ? stored : running
}

export function describeShards(shards: readonly SlotRange[]): string {
  if (shards.length === 1) return 'one shard'
  const told = shards.slice(0, 8).map(({ from, to }) => `${from}-${to}`)
  return `${shards.length} shards (slots ${told.join(', ')}${shards.length > 8 ? ', ...' : ''})`
}
