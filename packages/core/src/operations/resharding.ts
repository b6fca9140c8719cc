import { OperationRefusedError } from '../kernel/errors.ts'
import type { ControlledUnit, MadeShard, Resharding } from '../ports/control.ts'
import { passedByEach, wholeSkipped } from '../ports/skip-totals.ts'
import { slotRanges } from '../ports/slot.ts'
import { type SlotRange, unitName, versionName } from '../ports/unit.ts'
import { type Asker, isPending } from './decisions.ts'

/** Shards that are to be one stand at several positions. It passes when nothing is appended for a moment. */
export class ShardsApart extends OperationRefusedError {}

/**
 * What the shards of a version become when there are to be so many: each of them goes on from where those stand whose slots it has. Pure.
 * `undefined`: they are so many. Throws `OperationRefusedError`.
 */
export function toBeResharded(
  count: number,
  asker: Asker,
): (found: readonly ControlledUnit[]) => Resharding | undefined {
  return (found) => {
    const slots = slotRanges(count)
    if (
      slots.length === found.length &&
      slots.every((range) => found.some(({ unit }) => isSame(unit.slots, range)))
    ) {
      return undefined
    }
    for (const { unit, asked } of found) if (asked !== undefined) throw isPending(unit, asked)
    const made = slots
      .filter((range) => !found.some(({ unit }) => isSame(unit.slots, range)))
      .map((range) => madeOf(range, found))
    return { ...asker, slots, made }
  }
}

function madeOf(slots: SlotRange, found: readonly ControlledUnit[]): MadeShard {
  const [first, ...others] = found.filter(
    ({ unit }) => unit.slots.from <= slots.to && slots.from <= unit.slots.to,
  )
  if (first === undefined) throw new TypeError('the slots of all shards are all slots')
  const { unit, role, desired, position, furthest } = first
  for (const other of others) {
    if (other.position !== position) {
      throw new ShardsApart(
        versionName(unit),
        `what is to be one shard stands apart: ${[first, ...others].map(describe).join(', ')}`,
      )
    }
    if (other.desired !== desired || other.role !== role || other.furthest !== furthest) {
      throw new OperationRefusedError(
        versionName(unit),
        `of what is to be one shard, ${unitName(unit)} is ${desired}${moved(furthest)} and ${unitName(other.unit)} is ${other.desired}` +
          `${moved(other.furthest)}; let them be alike first`,
      )
    }
  }
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

function isSame(a: SlotRange, b: SlotRange): boolean {
  return a.from === b.from && a.to === b.to
}
