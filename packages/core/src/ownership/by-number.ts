import { type Unit, unitKey } from '../ports/unit.ts'
import { assign } from './assignment.ts'

/**
 * Deals units out over that many nodes, numbered from 0: for each `unitKey` the number of its node. Where the nodes or the units are
 * others, few units go to another node. Pure.
 */
export function dealByNumber(units: readonly Unit[], of: number): ReadonlyMap<string, number> {
  const nodes = Array.from({ length: of }, (_, index) => numbered(index))
  const dealt = assign({ units: units.map(unitKey), nodes, held: new Map() })
  return new Map([...dealt].map(([unit, node]) => [unit, Number(node)]))
}

const numbered = (index: number) =>
  ({ id: String(index), has: () => true, capacity: 1, standing: 'open' }) as const
