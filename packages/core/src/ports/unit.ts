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

/** A version of a projection as one unit. */
export function wholeUnit(projection: string, version = 1): Unit {
  return { projection, version, slots: ALL_SLOTS }
}

/** The `projection_name` of the metrics of a version, whatever its shards: `orders`, and `orders@2` of its version 2. */
export function versionName({ projection, version }: Pick<Unit, 'projection' | 'version'>): string {
  return version === 1 ? projection : `${projection}@${version}`
}

/** What people are told of a unit: the name of its version, and of a shard its slots too: `orders[256-511]`. */
export function unitName(unit: Pick<Unit, 'projection' | 'version'> & Partial<Pick<Unit, 'slots'>>): string {
  const { slots } = unit
  return slots === undefined || isWhole(slots)
    ? versionName(unit)
    : `${versionName(unit)}[${slots.from}-${slots.to}]`
}

/** Whether it is no shard among others. */
export function isWhole({ from, to }: SlotRange): boolean {
  return from === ALL_SLOTS.from && to === ALL_SLOTS.to
}

/** One text for each unit, to find it by. */
export function unitKey({ projection, version, slots }: Unit): string {
  return `${version}/${slots.from}-${slots.to}/${projection}`
}

/** The same for a version, whatever its shards. */
export function versionKey({ projection, version }: Pick<Unit, 'projection' | 'version'>): string {
  return `${version}/*/${projection}`
}

/** The `versionKey` of the unit that has this `unitKey`. */
export function versionKeyOf(key: string): string {
  return key.replace(/\/[^/]*\//, '/*/')
}
