import { createHash } from 'node:crypto'
import { ShardsStoredError } from '../kernel/errors.ts'
import { ALL_SLOTS, type SlotRange, type Unit, versionName } from './unit.ts'

/** How many slots there are. Never another number: stored ranges are made of them. */
export const SLOTS: number = ALL_SLOTS.to + 1

/**
 * The slot of a key, for ever: the first two bytes of the SHA-256 of its text in UTF-8, the high one first, modulo 1,024. A key that
 * is a number or a uuid is hashed as its text. No key (NULL) has slot 0. In Postgres it is the same for
 * `sha256(convert_to(key::text, 'UTF8'))`.
 */
export function slotOf(key: string | null): number {
  if (key === null) return 0
  return createHash('sha256').update(key, 'utf8').digest().readUInt16BE(0) % SLOTS
}

/** The ranges of so many shards: each slot is in one of them, and the largest has one slot more than the smallest. */
export function slotRanges(shards: number): readonly SlotRange[] {
  if (shards === 1) return [ALL_SLOTS]
  const bound = (index: number): number => Math.floor((index * SLOTS) / shards)
  return Array.from({ length: shards }, (_, index) => ({ from: bound(index), to: bound(index + 1) - 1 }))
}

export function isInSlots({ from, to }: SlotRange, slot: number): boolean {
  return slot >= from && slot <= to
}

/** The lowest first, of ranges that have no slot in common. */
export function bySlots(a: SlotRange, b: SlotRange): number {
  return a.from - b.from
}

/** Throws `ShardsStoredError` where a version of a projection is stored in other shards than it is to be in. */
export function requireSameShards(
  version: Pick<Unit, 'projection' | 'version'>,
  stored: readonly SlotRange[],
  wanted: readonly SlotRange[],
): void {
  const [found, told] = [stored, wanted].map((ranges) =>
    [...ranges].sort(bySlots).map(({ from, to }) => `${from}-${to}`),
  ) as [string[], string[]]
  if (found.join() !== told.join()) throw new ShardsStoredError(versionName(version), found, told)
}
