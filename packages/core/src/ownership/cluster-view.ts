import { versionKeyOf } from '../ports/unit.ts'
import { assign } from './assignment.ts'
import type { ClusterView, LeaseContext, Suspect } from './lease-standing.ts'

/** A presence that was replaced is there again by then. */
export const SUSPECT_AGAIN_MS = 200

/** A presence is taken to be gone when two looks have missed it, some time apart: a connection may be lost and made anew. */
export function look(
  before: ReadonlyMap<string, Suspect>,
  { nodes }: ClusterView,
  askedAtMs: number,
  nowMs: number,
): { readonly gone: ReadonlySet<string>; readonly suspects: ReadonlyMap<string, Suspect> } {
  const suspects = new Map<string, Suspect>()
  const gone = new Set<string>()
  for (const { id, isAlive, presence } of nodes) {
    if (!isAlive || presence.is !== 'gone') continue
    const { which } = presence
    const known = before.get(id)
    const sinceMs = known?.which === which ? known.sinceMs : nowMs
    suspects.set(id, { which, sinceMs })
    if (askedAtMs >= sinceMs + SUSPECT_AGAIN_MS) gone.add(id)
  }
  return { gone, suspects }
}

/** How many nodes look for others that are gone: one alone might be it. */
const WATCHING = 2

/** Whether this node is one of those that look whether others are gone. */
export function isWatching({ nodes }: Pick<ClusterView, 'nodes'>, node: string): boolean {
  const seen = nodes.filter(({ isAlive, presence }) => isAlive && presence.is === 'here').map(({ id }) => id)
  return seen.length > 1 && seen.toSorted().slice(0, WATCHING).includes(node)
}

/** Every node computes the same from the same rows. */
export function assignment(
  { nodes, leases }: ClusterView,
  isAlive: (id: string | undefined) => boolean,
  { node }: LeaseContext,
  isLeaving: boolean,
): ReadonlyMap<string, string> {
  const living = nodes.filter(({ id }) => isAlive(id))
  const held = leases.flatMap(({ unit, owner }): [string, string][] =>
    owner !== undefined && isAlive(owner) ? [[unit, owner]] : [],
  )
  return assign({
    units: leases.map(({ unit }) => unit),
    nodes: living.map((each) => {
      const units = new Set(each.units)
      const unable = new Set(each.unable)
      const isGoing = each.isLeaving || (each.id === node && isLeaving)
      return {
        id: each.id,
        has: (unit) => (units.has(unit) || units.has(versionKeyOf(unit))) && !unable.has(unit),
        capacity: each.capacity,
        standing: isGoing ? 'draining' : each.desired,
      }
    }),
    held: new Map(held),
  })
}
