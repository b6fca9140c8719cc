import { OperationRefusedError } from '../kernel/errors.ts'
import type { ControlledUnit, Gathering, MadeShard, Resharding } from '../ports/control.ts'
import { isReached, laterOf, type PositionOrder } from '../ports/position.ts'
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
 * those stand apart, they are to meet first, at the furthest of them; where they replay up to different positions, at the furthest of
 * these, so that no event is taken to be replayed that was not, or the other way round. Pure. `undefined`: it has these. Throws
 * `OperationRefusedError`.
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
    const { order, forMs } = meeting
    const apart = groups.filter((group) => isApart(group, order))
    if (apart.length > 0) return { bounds: apart.flatMap((group) => boundsOf(group, order)), forMs }
    const made = slots.filter((range) => !isThere(range)).map((range) => madeOf(range, found, order))
    return { who: asker.who, why: asker.why, slots, made }
  }
}

/** Where those stand that are to be others and stand apart; `undefined`: none does. Pure. */
export function describeApart<P>(
  wanted: NewShards,
  found: readonly ControlledUnit[],
  order: PositionOrder<P> | undefined,
): string | undefined {
  const apart = groupsOf(found, wanted(found)).filter((group) => isApart(group, order))
  return apart.length === 0 ? undefined : describe(apart.flat(), order)
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

function isApart<P>([first, ...others]: Group, order: PositionOrder<P> | undefined): boolean {
  return others.some(
    (other) => other.position !== first.position || replaysUpTo(other, order) !== replaysUpTo(first, order),
  )
}

/** `undefined`: nothing that comes next was live before. What it has passed since does not tell it from others any more. */
function replaysUpTo<P>(
  { position, furthest }: ControlledUnit,
  order: PositionOrder<P> | undefined,
): string | undefined {
  if (furthest === undefined || order === undefined) return furthest
  const at = position === undefined ? undefined : order.parse(position)
  return isReached(order, order.parse(furthest), at) ? undefined : furthest
}

function requireAlike([first, ...others]: Group): void {
  const { unit, role, desired } = first
  for (const other of others) {
    if (other.desired === desired && other.role === role) continue
    throw new OperationRefusedError(
      versionName(unit),
      `of what is to be one shard, ${unitName(unit)} is ${desired} and ${unitName(other.unit)} is ${other.desired}; let them be alike first`,
    )
  }
}

function boundsOf<P>(group: Group, order: PositionOrder<P> | undefined): Gathering['bounds'] {
  const [{ unit, desired }] = group
  const stand = `what is to be one shard stands apart: ${describe(group, order)}`
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
  const bound = latest(
    order,
    group.flatMap((each) => [each.position, replaysUpTo(each, order)]),
  )
  // None of them has a position: then none stands apart.
  return bound === undefined ? [] : group.map(({ unit: { slots } }) => ({ slots, position: bound }))
}

function latest<P>(order: PositionOrder<P>, positions: readonly (string | undefined)[]): string | undefined {
  const last = positions
    .map((position) => (position === undefined ? undefined : order.parse(position)))
    .reduce((a, b) => laterOf(order, a, b))
  return last === undefined ? undefined : order.format(last)
}

function madeOf<P>(
  slots: SlotRange,
  found: readonly ControlledUnit[],
  order: PositionOrder<P> | undefined,
): MadeShard {
  const parts = found.filter(({ unit }) => haveSlotsInCommon(unit.slots, slots))
  const [first] = parts
  if (first === undefined) throw new TypeError('the slots of all shards are all slots')
  const { unit, role, desired, position } = first
  // They are of one where it says something: what was live is not live again, whatever they do next.
  const furthest =
    order === undefined
      ? first.furthest
      : latest(
          order,
          parts.map((part) => part.furthest),
        )
  // What a shard has given up itself is told by its first part alone.
  const skipped = wholeSkipped(
    parts.map((each) => (each.unit.slots.from >= slots.from ? each.skipped : passedByEach(each.skipped))),
  )
  return { slots, heirOf: unit.slots, to: { role, desired, position, furthest, skipped: skipped ?? {} } }
}

function describe<P>(units: readonly ControlledUnit[], order: PositionOrder<P> | undefined): string {
  return units
    .map((unit) => {
      const { slots } = unit.unit
      const replayed = replaysUpTo(unit, order)
      const replaying = replayed === undefined ? '' : ` (moved back from ${replayed})`
      return `${slots.from}-${slots.to} at ${unit.position ?? 'no position yet'}${replaying}`
    })
    .join(', ')
}
