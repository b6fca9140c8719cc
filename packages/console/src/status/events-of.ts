import type { StoredUnit } from '@tidemark/core'
import type { EventsConfig } from './reader.ts'

/**
 * The table behind the name of a source, as checkpoints have it; pure. By itself a source is named after its table, so that a name is
 * a table where nobody has said otherwise. `undefined`: it cannot be told. `events`: what was said of tables. `sources`: all that there
 * are.
 */
export function eventsOf(
  events: EventsConfig | readonly EventsConfig[] | undefined,
  source: string,
  sources: readonly string[],
): EventsConfig | undefined {
  const said = [events ?? []].flat()
  const named = said.find((of) => nameOf(of) === source)
  const only = sources.length === 1 && said.length === 1 ? said[0] : undefined
  const found = named ?? only
  if (found !== undefined) return { ...found, name: source }
  // The rest of the name would be a condition: `events[tenant_id=acme]`.
  return source.includes('[') ? undefined : { table: source, name: source }
}

function nameOf({ name, table, where = {} }: EventsConfig): string {
  const conditions = Object.entries(where).map(([column, value]) => `${column}=${value}`)
  return name ?? table + (conditions.length === 0 ? '' : `[${conditions.toSorted().join(',')}]`)
}

/** Whether their positions are numbers, as those of a Postgres table; pure. */
export function isNumbered(units: readonly Pick<StoredUnit, 'position'>[]): boolean {
  return units.every(({ position }) => position === undefined || /^\d+$/.test(position))
}
