import type { LateAnswer } from '../../src/protocol.ts'

export interface LateRange {
  readonly source: string
  readonly from: string
  readonly to: string
  /** How many are open, each counted once for each projection that has missed it. */
  readonly events: number
}

/** From where to where the open ones of each source are that are shown, the highest first. Pure. */
export function lateRanges(late: LateAnswer['late'], projection: string): readonly LateRange[] {
  const ranges = new Map<string, LateRange>()
  for (const { source, position, units } of late) {
    const events = units.filter(
      (unit) => unit.state === 'open' && (projection === '' || unit.projection === projection),
    ).length
    if (events === 0) continue
    const known = ranges.get(source)
    ranges.set(source, {
      source,
      from: position,
      to: known?.to ?? position,
      events: events + (known?.events ?? 0),
    })
  }
  return [...ranges.values()]
}
