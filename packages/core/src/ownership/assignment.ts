/** A node, as far as units are given to it. */
export interface AssignableNode {
  readonly id: string
  /** Whether it has the handler of that unit, in that version. */
  has(unit: string): boolean
  /** How much it takes: one with 2 gets twice as many units as one with 1. Above 0. */
  readonly capacity: number
  /** `cordoned`: it keeps what it has, and is given no more. `draining`: it is to have nothing. */
  readonly standing: 'open' | 'cordoned' | 'draining'
}

export interface Assigning {
  /** `unitKey` of each. */
  readonly units: readonly string[]
  readonly nodes: readonly AssignableNode[]
  /** Which node has which unit now. */
  readonly held: ReadonlyMap<string, string>
}

/**
 * Which node is to have which unit. Whoever computes it from the same comes to the same, so that nobody has to lead. A unit
 * stays where it is, unless its node may not have it, or another one has so few that the move makes them more even: so the fewest
 * move, and where the result is carried out, nothing moves any more. What no node may have is left out. Pure.
 */
export function assign({ units, nodes, held }: Assigning): ReadonlyMap<string, string> {
  const byId = nodes.toSorted((a, b) => compare(a.id, b.id))
  const open = byId.filter(({ standing }) => standing === 'open')
  const keeping = new Map(
    byId.filter(({ standing }) => standing !== 'draining').map((node) => [node.id, node]),
  )
  const loads: Loads = new Map(open.map((node) => [node.id, new Set<string>()]))
  const assigned = new Map<string, string>()
  const give = (unit: string, id: string): void => {
    loads.get(assigned.get(unit) ?? '')?.delete(unit)
    loads.get(id)?.add(unit)
    assigned.set(unit, id)
  }
  for (const unit of units) {
    const holder = held.get(unit)
    if (holder !== undefined && keeping.get(holder)?.has(unit)) give(unit, holder)
  }
  const left = units.filter((unit) => !assigned.has(unit) && open.some((node) => node.has(unit)))
  place(left, open, loads, give)
  for (let move = evening(open, loads); move !== undefined; move = evening(open, loads)) {
    give(move.unit, move.to)
  }
  return assigned
}

/** What each open node is to have so far. */
type Loads = ReadonlyMap<string, Set<string>>
type Give = (unit: string, id: string) => void

/** Each goes to the node that it scores highest with, up to the share of that; the others to whoever has least. */
function place(units: readonly string[], open: readonly AssignableNode[], loads: Loads, give: Give): void {
  const total = [...loads.values()].reduce((sum, { size }) => sum + size, units.length)
  const capacity = open.reduce((sum, node) => sum + node.capacity, 0)
  const shareOf = (node: AssignableNode): number => Math.floor((total * node.capacity) / capacity)
  // What is left of whole shares: that many nodes have one more.
  let left = open.reduce((rest, node) => rest - Math.max(shareOf(node), sizeOf(loads, node)), total)
  const unplaced = new Set(units)
  const pairs = units
    .flatMap((unit) =>
      open.filter((node) => node.has(unit)).map((node) => ({ unit, node, score: score(unit, node.id) })),
    )
    .toSorted((a, b) => b.score - a.score || compare(a.unit, b.unit) || compare(a.node.id, b.node.id))
  for (const { unit, node } of pairs) {
    if (!unplaced.has(unit)) continue
    const over = sizeOf(loads, node) - shareOf(node)
    if (over > 0 || (over === 0 && left <= 0)) continue
    if (over === 0) left--
    unplaced.delete(unit)
    give(unit, node.id)
  }
  for (const unit of [...unplaced].toSorted(compare)) {
    const [least] = leastFirst(
      open.filter((node) => node.has(unit)),
      loads,
    )
    if (least) give(unit, least.id)
  }
}

/** A move that makes the nodes more even; `undefined` where there is none. */
function evening(
  open: readonly AssignableNode[],
  loads: Loads,
): { readonly unit: string; readonly to: string } | undefined {
  const takers = leastFirst(open, loads)
  const givers = open.toSorted(
    (a, b) => sizeOf(loads, b) * a.capacity - sizeOf(loads, a) * b.capacity || compare(a.id, b.id),
  )
  for (const giver of givers) {
    for (const taker of takers) {
      // So that no move is worth undoing.
      if ((sizeOf(loads, taker) + 1) * giver.capacity >= sizeOf(loads, giver) * taker.capacity) break
      const unit = closestTo(taker, loads.get(giver.id) ?? [])
      if (unit !== undefined) return { unit, to: taker.id }
    }
  }
  return undefined
}

function closestTo(node: AssignableNode, units: Iterable<string>): string | undefined {
  const [closest] = [...units]
    .filter((unit) => node.has(unit))
    .toSorted((a, b) => score(b, node.id) - score(a, node.id) || compare(a, b))
  return closest
}

const sizeOf = (loads: Loads, { id }: AssignableNode): number => loads.get(id)?.size ?? 0

/** By what each would have with one more. */
const leastFirst = (nodes: readonly AssignableNode[], loads: Loads): readonly AssignableNode[] =>
  nodes.toSorted(
    (a, b) =>
      (sizeOf(loads, a) + 1) * b.capacity - (sizeOf(loads, b) + 1) * a.capacity || compare(a.id, b.id),
  )

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * How close a unit is to a node (rendezvous hashing): FNV-1a, finished as in MurmurHash3. Processes of several releases work side by
 * side, so it must never change.
 */
export function score(unit: string, node: string): number {
  const text = `${node}\n${unit}`
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
