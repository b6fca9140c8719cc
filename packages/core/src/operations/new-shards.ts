import { OperationRefusedError } from '../kernel/errors.ts'
import type { ControlledUnit } from '../ports/control.ts'
import { isSameSlots, slotRanges } from '../ports/slot.ts'
import { type SlotRange, versionName } from '../ports/unit.ts'

/** The shards that a version is to have, of those that are found, the lowest slots first. Throws `OperationRefusedError`. */
export type NewShards = (found: readonly ControlledUnit[]) => readonly SlotRange[]

/** So many, all of one size. Pure, as all that follow. */
export function ofNumber(count: number): NewShards {
  const slots = slotRanges(count)
  return () => slots
}

/** Two halves in place of that one. */
export function halvesOf({ from, to }: SlotRange): NewShards {
  const half = from + Math.floor((to - from + 1) / 2)
  const halves = [
    { from, to: half - 1 },
    { from: half, to },
  ]
  return (found) => {
    const slots = found.map(({ unit }) => unit.slots)
    if (halves.every((each) => slots.some((range) => isSameSlots(range, each)))) return slots
    if (!slots.some((range) => isSameSlots(range, { from, to })))
      throw noSuch(found, `is that of the slots ${from}-${to}`)
    return slots.flatMap((range) => (isSameSlots(range, { from, to }) ? halves : range))
  }
}

/** One in place of all that have these slots. */
export function joinedTo({ from, to }: SlotRange): NewShards {
  return (found) => {
    const slots = found.map(({ unit }) => unit.slots)
    const isBound = slots.some((range) => range.from === from) && slots.some((range) => range.to === to)
    if (!isBound) throw noSuch(found, `begins at the slot ${from}, or none ends at ${to}`)
    const others = slots.filter((range) => range.to < from || range.from > to)
    return [...others, { from, to }]
  }
}

function noSuch(found: readonly ControlledUnit[], what: string): OperationRefusedError {
  const [{ unit } = { unit: { projection: '', version: 1 } }] = found
  const there = found.map(({ unit: { slots } }) => `${slots.from}-${slots.to}`).join(', ')
  return new OperationRefusedError(versionName(unit), `no shard of it ${what}; there are ${there}`)
}
