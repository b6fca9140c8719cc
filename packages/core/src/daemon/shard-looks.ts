import type { ControlledUnit } from '../ports/control.ts'
import type { Cluster } from '../ports/leases.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'
import { areAllSlots, bySlots } from '../ports/slot.ts'
import { type Unit, unitKey, versionKey } from '../ports/unit.ts'
import type { DealtTo } from '../projection/status.ts'
import { isLagging, type SeenNode, type SeenShard, type ShardLook } from './shard-history.ts'

/** An order that says how many positions lie between two. */
export type CountingOrder<P> = PositionOrder<P> & Required<Pick<PositionOrder<P>, 'distance'>>

/** Where units are worked on. */
export type Places =
  | { readonly by: 'leases'; readonly own: string; readonly cluster: Cluster | undefined }
  | {
      readonly by: 'number'
      readonly units: readonly { readonly unit: Unit; readonly dealtTo: DealtTo | undefined }[]
    }
  | { readonly by: 'conflict' }

/** What is known when the stored units were read. */
interface Around<P> {
  readonly order: CountingOrder<P>
  readonly mark: P
  /** Positions are counted from here. */
  readonly origin: P
  readonly firstSeenAboveMs: (position: P) => number | undefined
  readonly places: Places
  readonly busyShare: number
  readonly nowMs: number
}

/** What the stored units of a source say of the shards of one version. `undefined`: too little. Pure, as all that follow. */
export function lookAtShards<P>(
  version: Pick<Unit, 'projection' | 'version'>,
  stored: readonly ControlledUnit[],
  around: Around<P>,
): ShardLook | undefined {
  const { order, mark, origin, places, busyShare, nowMs } = around
  const key = versionKey(version)
  const ofName = stored.filter(({ unit }) => unit.projection === version.projection)
  const own = ofName
    .filter(({ unit }) => versionKey(unit) === key)
    .toSorted((a, b) => bySlots(a.unit.slots, b.unit.slots))
  const shards = own.flatMap((unit) => seenShard(unit, around) ?? [])
  if (shards.length < own.length || !areAllSlots(shards.map(({ slots }) => slots))) return undefined
  const lagging = stored.filter(
    (unit) => unit.desired === 'running' && isLagging(seenShard(unit, around)?.lagMs ?? 0),
  )
  return {
    atMs: nowMs,
    mark: Number(order.distance(origin, mark)),
    shards,
    nodes: seenNodes(key, lagging, places),
    busyShare,
    isHeld: ofName.length > own.length || own.some(isHeld),
  }
}

function isHeld({ desired, role, asked, bound }: ControlledUnit): boolean {
  return desired !== 'running' || role !== 'live' || asked !== undefined || bound !== undefined
}

/** `undefined`: it has no position yet. */
function seenShard<P>(
  { unit: { slots }, position }: ControlledUnit,
  around: Around<P>,
): SeenShard | undefined {
  const { order, mark, firstSeenAboveMs, nowMs } = around
  if (position === undefined) return undefined
  const at = order.parse(position)
  // What was read of the units may be newer than the mark.
  if (isReached(order, mark, at)) return { slots, behind: 0, lagMs: 0 }
  return { slots, behind: Number(order.distance(at, mark)), lagMs: nowMs - (firstSeenAboveMs(at) ?? nowMs) }
}

function seenNodes(key: string, lagging: readonly ControlledUnit[], places: Places): readonly SeenNode[] {
  if (places.by === 'conflict') return [{ isOwn: true, lagging: lagging.length }]
  const keys = new Set(lagging.map(({ unit }) => unitKey(unit)))
  const laggingOf = (units: readonly { readonly unit: Unit }[]): number =>
    units.filter(({ unit }) => keys.has(unitKey(unit))).length
  if (places.by === 'leases') {
    const { nodes, leases } = places.cluster ?? { nodes: [], leases: [] }
    return nodes
      .filter(
        (node) => node.isAlive && !node.isLeaving && node.desired === 'open' && node.units.includes(key),
      )
      .map(({ id }) => ({
        isOwn: id === places.own,
        lagging: laggingOf(leases.filter(({ owner }) => owner === id)),
      }))
  }
  const { units } = places
  const [first] = units.flatMap(({ dealtTo }) => dealtTo ?? [])
  return Array.from({ length: first?.of ?? 0 }, (_, index) => {
    const dealt = units.filter(({ dealtTo }) => dealtTo?.index === index)
    return { isOwn: dealt.some(({ dealtTo }) => dealtTo?.isHere), lagging: laggingOf(dealt) }
  })
}
