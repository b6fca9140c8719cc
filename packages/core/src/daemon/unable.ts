import { lostLoop } from '../health/signs-of-life.ts'
import type { UnableUnit } from '../ownership/lease-keeper.ts'
import type { Unit } from '../ports/unit.ts'
import type { Vitals } from '../projection/vitals.ts'

/** A unit of this process. */
interface Watched {
  readonly unit: Unit
  readonly vitals: Vitals
  /** How often in a row its checkpoint could not be opened, passing faults of the store aside. */
  readonly refusedOpens: number
}

/** With the pauses between them, some ten seconds. */
const MOST_REFUSED_OPENS = 10

/**
 * Which units this process cannot work on for the time being, so that others are to have them. What has failed is tried again all
 * the while. A handler that does not return says nothing: nobody can tell a slow one from one that hangs, and `handlerTimeoutMs` ends that. Pure.
 */
export function unableUnits(units: readonly Watched[], nowMs: number): readonly UnableUnit[] {
  return units.flatMap(({ unit, vitals, refusedOpens }): UnableUnit[] => {
    const lost = lostLoop(vitals.pulse, nowMs, vitals.waitingSinceMs)
    if (lost !== undefined) return [{ unit, why: lost, isLost: true }]
    if (refusedOpens < MOST_REFUSED_OPENS) return []
    const why = `its checkpoint could not be opened ${refusedOpens} times in a row`
    return [{ unit, why, isLost: false }]
  })
}
