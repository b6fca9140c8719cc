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

export function isSameSlots(a: SlotRange, b: SlotRange): boolean {
  return a.from === b.from && a.to === b.to
}

export function haveSlotsInCommon(a: SlotRange, b: SlotRange): boolean {
  return a.from <= b.to && b.from <= a.to
}

/** Whether each slot is in one of them, and none in two. */
export function areAllSlots(ranges: readonly SlotRange[]): boolean {
  let next = 0
  for (const { from, to } of [...ranges].sort(bySlots)) {
    if (from !== next || to < from) return false
    next = to + 1
  }
  return next === SLOTS
}

/** What says that a unit has no row, and that its version is stored in other shards. */
export function inOtherShards(unit: Unit, stored: readonly SlotRange[]): ShardsStoredError {
  const told = ({ from, to }: SlotRange): string => `${from}-${to}`
  return new ShardsStoredError(versionName(unit), [...stored].sort(bySlots).map(told), told(unit.slots))
}
