import { OperationRefusedError } from '../kernel/errors.ts'
import type { ControlledUnit, Gathering, MadeShard, Resharding } from '../ports/control.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'
import { passedByEach, wholeSkipped } from '../ports/skip-totals.ts'
import { bySlots, haveSlotsInCommon, isSameSlots } from '../ports/slot.ts'
import { type SlotRange, unitName, versionName } from '../ports/unit.ts'
import { type Asker, isPending } from './decisions.ts'
import type { NewShards } from './new-shards.ts'

/** What has to be known for shards that stand apart. */
interface Meeting<P> {
  /** How positions are compared; `undefined`: that is not known. */
  readonly order: PositionOrder<P> | undefined
  /** For how long none may pass where they meet. */
  readonly forMs: number
}

/**
 * What the shards of a version become when it is to have others: each of them goes on from where those stand whose slots it has. Where
 * those stand apart, they are to meet first, at the furthest of them. Pure. `undefined`: it has these. Throws `OperationRefusedError`.
 */
export function toBeResharded<P>(
  wanted: NewShards,
  asker: Asker,
  meeting: Meeting<P>,
): (found: readonly ControlledUnit[]) => Resharding | Gathering | undefined {
  return (found) => {
    const slots = wanted(found)
    const isThere = (range: SlotRange): boolean => found.some(({ unit }) => isSameSlots(unit.slots, range))
    if (slots.length === found.length && slots.every(isThere)) return undefined
    for (const { unit, asked } of found) if (asked !== undefined) throw isPending(unit, asked)
    const groups = groupsOf(found, slots)
    for (const group of groups) requireAlike(group)
    const apart = groups.filter(isApart)
    if (apart.length > 0) {
      return { bounds: apart.flatMap((group) => boundsOf(group, meeting.order)), forMs: meeting.forMs }
    }
    const made = slots.filter((range) => !isThere(range)).map((range) => madeOf(range, found))
    return { who: asker.who, why: asker.why, slots, made }
  }
}

/** Where those stand that are to be others and stand apart; `undefined`: none does. Pure. */
export function describeApart(wanted: NewShards, found: readonly ControlledUnit[]): string | undefined {
  const apart = groupsOf(found, wanted(found)).filter(isApart)
  return apart.length === 0 ? undefined : apart.flat().map(describe).join(', ')
}

/** Shards that need one position: the slots of what is made of them are not parted where theirs are. */
type Group = readonly [ControlledUnit, ...ControlledUnit[]]

function groupsOf(found: readonly ControlledUnit[], slots: readonly SlotRange[]): readonly Group[] {
  const starts = new Set(slots.map(({ from }) => from))
  const groups: [ControlledUnit, ...ControlledUnit[]][] = []
  for (const unit of found.toSorted((a, b) => bySlots(a.unit.slots, b.unit.slots))) {
    const group = groups.at(-1)
    if (group === undefined || starts.has(unit.unit.slots.from)) groups.push([unit])
    else group.push(unit)
  }
  return groups
}

function isApart([first, ...others]: Group): boolean {
  return others.some(({ position }) => position !== first.position)
}

function requireAlike([first, ...others]: Group): void {
  const { unit, role, desired, furthest } = first
  for (const other of others) {
    if (other.desired === desired && other.role === role && other.furthest === furthest) continue
    throw new OperationRefusedError(
      versionName(unit),
      `of what is to be one shard, ${unitName(unit)} is ${desired}${moved(furthest)} and ${unitName(other.unit)} is ${other.desired}` +
        `${moved(other.furthest)}; let them be alike first`,
    )
  }
}

function boundsOf<P>(group: Group, order: PositionOrder<P> | undefined): Gathering['bounds'] {
  const [{ unit, desired }] = group
  const stand = `what is to be one shard stands apart: ${group.map(describe).join(', ')}`
  if (order === undefined) {
    throw new OperationRefusedError(
      versionName(unit),
      `${stand}; give createOperations the source, which compares positions, so that those behind come up to the furthest`,
    )
  }
  if (desired !== 'running') {
    throw new OperationRefusedError(
      versionName(unit),
      `${stand}, and it is paused; resume it, so that those behind come up to the furthest`,
    )
  }
  const furthest = group
    .flatMap(({ position }) => position ?? [])
    .reduce((a, b) => (isReached(order, order.parse(b), order.parse(a)) ? a : b))
  return group.map(({ unit: { slots } }) => ({ slots, position: furthest }))
}

function madeOf(slots: SlotRange, found: readonly ControlledUnit[]): MadeShard {
  const [first, ...others] = found.filter(({ unit }) => haveSlotsInCommon(unit.slots, slots))
  if (first === undefined) throw new TypeError('the slots of all shards are all slots')
  const { unit, role, desired, position, furthest } = first
  // What a shard has given up itself is told by its first part alone.
  const skipped = wholeSkipped(
    [first, ...others].map((each) =>
      each.unit.slots.from >= slots.from ? each.skipped : passedByEach(each.skipped),
    ),
  )
  return { slots, heirOf: unit.slots, to: { role, desired, position, furthest, skipped: skipped ?? {} } }
}

const moved = (furthest: string | undefined): string =>
  furthest === undefined ? '' : `, and was moved back from ${furthest}`

function describe({ unit, position }: ControlledUnit): string {
  return `${unit.slots.from}-${unit.slots.to} at ${position ?? 'no position yet'}`
}
