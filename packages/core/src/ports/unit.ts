/** A part of a projection's keys: an event belongs to the slot that the hash of its key names. Both ends are included. */
export interface SlotRange {
  readonly from: number
  readonly to: number
}

/** What is owned, checkpointed and moved by itself: a projection, a version of it, and a range of its slots. */
export interface Unit {
  readonly projection: string
  readonly version: number
  readonly slots: SlotRange
}

/** Every key of a projection. */
export const ALL_SLOTS: SlotRange = Object.freeze({ from: 0, to: 1_023 })

/** A projection as one unit. */
export function wholeUnit(projection: string): Unit {
  return { projection, version: 1, slots: ALL_SLOTS }
}

/** One text for each unit, to find it by. */
export function unitKey({ projection, version, slots }: Unit): string {
  return `${version}/${slots.from}-${slots.to}/${projection}`
}
