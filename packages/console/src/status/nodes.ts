import { type Unit, unitKey } from '@tidemark/core/adapter'
import type { ControlledUnit, ListedNode } from '@tidemark/core/operations'

/** The nodes of a source that share its projections by leases. */
export interface SourceNodes {
  readonly source: string
  /** By name: those that are alive, those that have died less than an hour ago, and those that are not `open`. */
  readonly nodes: readonly ListedNode[]
  /** Units that no node has which is alive. Where there is no node at all, the daemons share nothing by leases. */
  readonly unowned: readonly Unit[]
}

/** Of each source of these units; pure. */
export function nodesBySource(
  nodes: readonly ListedNode[],
  units: readonly ControlledUnit[],
): readonly SourceNodes[] {
  const sources = [...new Set([...units, ...nodes].map(({ source }) => source))].toSorted()
  const owned = new Set(nodes.flatMap((node) => (node.isAlive ? node.units.map(unitKey) : [])))
  return sources.map((source) => ({
    source,
    nodes: nodes
      .filter((node) => node.source === source)
      .map((node) => ({ ...node, units: inOrder(node.units) })),
    unowned: units
      .filter((unit) => unit.source === source && !owned.has(unitKey(unit.unit)))
      .map(({ unit }) => unit),
  }))
}

/** A store lists them in no order. */
function inOrder(units: readonly Unit[]): readonly Unit[] {
  const byName = (a: Unit, b: Unit): number =>
    a.projection < b.projection ? -1 : a.projection > b.projection ? 1 : 0
  return units.toSorted((a, b) => byName(a, b) || a.version - b.version || a.slots.from - b.slots.from)
}
